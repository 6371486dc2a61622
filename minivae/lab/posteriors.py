"""What richer q's are worth: how far the best ELBO of each stays below log p(x), where that is known.

Two posteriors of two latents, of one example x each:

* correlated: probabilistic PCA whose W has rows that are not orthogonal. p(z|x) is N(m, S), and the best diagonal q has
  the variances 1 / P_ii of the precision P = S^-1; its gap is KL(q || p(z|x)) = (sum_i log P_ii - log|P|) / 2.
* curved: z ~ N(0, I), x = z_2 + z_1^2 + s noise. log p(x) and every ELBO by quadrature.
"""

import math

import numpy as np

from .. import estimators as est
from ..optim import Adam
from ..plotting import style
from ..schedules import Cosine
from . import linear_gaussian, report

DRAWS, RATE = 64, 0.03  # of a step; of Adam, which falls to 0 by half a cosine
STEPS = 1000, 4000  # for the correlated posterior, for the curved one
DEPTHS, STARTS = (0, 2, 4, 8), 3
# where a Gaussian starts, (mean, r, v) as in `gaussian_of`: in the middle, and on either wing of the curved posterior
MIDDLE, *WINGS = (0, 0, 0, 0, 0.3, -0.3), (1, 0.5, -1, -1, 0.3, -0.3), (-1, 0.5, -1, -1, 0.3, 0.3)
WEIGHTS = ((1.2, 0.9, -0.3, 0.8), (0.7, 0.9, 0.5, 0.2))  # W of the correlated posterior: rows at an angle
X, NOISE = 1.5, 0.3  # x and s of the curved one
GRID = np.linspace(-8, 8, 401)
SHOWN = (0, 2, 8)  # depths in the picture
NAMES = ("diagonal", "full covariance")
MASS = (0.95, 0.5)  # of the contours


class Correlated:
    """log p(x, z) of probabilistic PCA for one x, in nats, and its derivative with respect to z."""

    def __init__(self):
        self.model = linear_gaussian.make(backend="numpy")
        self.model.backend.assign(self.model.parameters["likelihood.weight"], np.array(WEIGHTS))
        self.w, self.b, self.variance = linear_gaussian.matrices(self.model)
        self.x = linear_gaussian.draw(self.model, 1, seed=1)
        gain, self.covariance = linear_gaussian.posterior(self.model)
        self.mean = ((self.x - self.b) @ gain)[0]
        self.log_evidence = float(linear_gaussian.log_likelihood(self.model, self.x)[0])

    def __call__(self, z):
        residual, features = self.x - self.b - z @ self.w, self.model.features
        squares = (z**2).sum(axis=1) + (residual**2).sum(axis=1) / self.variance
        return -0.5 * (squares + features * math.log(self.variance) + (2 + features) * math.log(2 * math.pi))

    def derivative(self, z):
        return -z + (self.x - self.b - z @ self.w) @ self.w.T / self.variance

    def gap(self, q):
        """KL(q || p(z|x)) of a Gaussian q, nats: how far its ELBO stays below log p(x)."""
        precision, off = np.linalg.inv(self.covariance), q.mean - self.mean
        logs = np.linalg.slogdet(self.covariance)[1] - 2 * np.log(np.diag(q.factor)).sum()
        return float(0.5 * (np.trace(precision @ q.covariance) + off @ precision @ off - q.size + logs))

    def best_diagonal_gap(self):
        precision = np.linalg.inv(self.covariance)
        return float(0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1]))


class Curved:
    """log p(x, z) of z ~ N(0, I), x = z_2 + z_1^2 + s noise, in nats, and its derivative with respect to z."""

    def __call__(self, z):
        residual = (X - z[:, 1] - z[:, 0] ** 2) / NOISE
        return -0.5 * ((z**2).sum(axis=1) + residual**2) - math.log(NOISE) - 1.5 * math.log(2 * math.pi)

    def derivative(self, z):
        pull = (X - z[:, 1] - z[:, 0] ** 2) / NOISE**2
        return -z + np.stack([2 * z[:, 0] * pull, pull], axis=1)

    def log_evidence(self):
        """log p(x) by the trapezoidal rule."""
        return float(np.log(np.exp(self(plane(GRID))).sum()) + 2 * math.log(GRID[1] - GRID[0]))

    def elbo(self, q):
        """E_q[log p(x, z) - log q(z)], nats, by the trapezoidal rule over the noise."""
        noise = plane(GRID)
        weight = np.exp(-0.5 * (noise**2).sum(axis=1))
        z, log_q, _ = q.forward(noise)
        return float(weight @ (self(z) - log_q) / weight.sum())


class LessDensity:
    """log p(x, z) - log q(z) with q held as it is: the pathwise gradient of its mean is the ELBO's without the score's
    noise, zero for every draw where q is p(z|x) (sticking the landing).
    """

    def __init__(self, log_joint, q):
        self.log_joint, self.q = log_joint, q

    def derivative(self, z):
        return self.log_joint.derivative(z) + np.linalg.solve(self.q.covariance, (z - self.q.mean).T).T


def plane(line):
    """The points of a square grid, (len(line)^2, 2)."""
    return np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)


def ascend(vector, gradient_at, steps, observe=lambda step, vector: None):
    """Adam's way up from a vector of parameters, by gradient_at(vector)."""
    state: dict[str, np.ndarray] = {}
    rate = Cosine(RATE, steps)
    for step in range(steps):
        observe(step, vector)
        vector = Adam.textbook(state, vector, -gradient_at(vector), step + 1, rate(step), {})
    observe(steps, vector)
    return vector


def gaussian_of(vector):
    """N(mean, diag(exp(2 r)) + v v') of (mean, r, v), each (2,), as a network could give them."""
    mean, r, v = np.split(vector, 3)
    return est.Gaussian(mean, np.diag(np.exp(2 * r)) + np.outer(v, v))


def gaussian_gradient(log_joint, vector, rng, full):
    """Of the ELBO with respect to (mean, r, v): from the covariance on by the chain rule; v stays 0 unless `full`."""
    q = gaussian_of(vector)
    rows = est.pathwise(LessDensity(log_joint, q), q, rng, DRAWS).mean(axis=0)
    dcovariance = np.zeros((2, 2))
    dcovariance[np.tril_indices(2)] = rows[2:]
    symmetric = 0.5 * (dcovariance + dcovariance.T)
    _, r, v = np.split(vector, 3)
    return np.concatenate([rows[:2], 2 * np.diag(symmetric) * np.exp(2 * r), 2 * full * symmetric @ v])


def train_gaussian(log_joint, full, seed, steps, observe=lambda step, q: None, start=MIDDLE):
    """A Gaussian q, full or diagonal, trained on the ELBO."""
    rng = np.random.default_rng(seed)
    start = np.array(start) * ([1] * 4 + [full] * 2)
    vector = ascend(
        *(start, lambda vector: gaussian_gradient(log_joint, vector, rng, full), steps),
        lambda step, vector: observe(step, gaussian_of(vector)),
    )
    return gaussian_of(vector)


def flow_of(vector, depth):
    """A PlanarFlow from its parameters in the order of its names, with log sigma for sigma."""
    steps = vector[4:].reshape(depth, 5)
    return est.PlanarFlow(vector[:2], np.exp(vector[2:4]), steps[:, :2], steps[:, 2:4], steps[:, 4])


def train_flow(log_joint, depth, seed, steps):
    """A planar flow of this depth, trained on the ELBO."""
    rng = np.random.default_rng(seed)

    def gradient(vector):
        q = flow_of(vector, depth)
        rows = est.pathwise_elbo(log_joint, q, rng, DRAWS).mean(axis=0)
        rows[2:4] *= q.sigma
        return rows

    start = np.concatenate([np.zeros(4), 0.3 * rng.standard_normal(5 * depth)])
    return flow_of(ascend(start, gradient, steps), depth)


def measure(seed=0, progress=None, steps=STEPS):
    """A row for each trained q, the gap of the correlated ones over the steps, and the q's by what they are."""
    correlated, curved, rows, course, trained = Correlated(), Curved(), [], [], {}
    plan: list[tuple[str, int | None, int]] = [(name, None, 0) for name in NAMES]
    plan += [("planar flow", depth, start) for depth in DEPTHS for start in range(STARTS if depth else 1)]
    exact = dict(zip(NAMES, (correlated.best_diagonal_gap(), 0.0), strict=True))
    evidence = curved.log_evidence()
    for name, depth, start in report.bar(plan, "posteriors", progress):
        if depth is not None:
            q = trained[name, depth, start] = train_flow(curved, depth, [seed, 2, depth, start], steps[1])
            gap = evidence - curved.elbo(q)
            rows.append(_row("curved", evidence, name, depth, start, gap))
            continue

        def observe(step, q, name=name):
            if step % 20 == 0:
                course.append({"q": name, "step": step, "gap": correlated.gap(q), "exact_gap": exact[name]})

        full = name == NAMES[1]
        q = trained[name] = train_gaussian(correlated, full, [seed, 0, full], steps[0], observe)
        rows.append(_row("correlated", correlated.log_evidence, name, 0, 0, correlated.gap(q), exact[name]))
        if full:
            for number, place in enumerate((MIDDLE, *WINGS)):
                q = train_gaussian(curved, full, [seed, 1], steps[0], start=place)
                rows.append(_row("curved", evidence, name, 0, number, evidence - curved.elbo(q)))
    return rows, course, trained


def _row(posterior, evidence, q, depth, start, gap, exact=""):
    row = {"posterior": posterior, "q": q, "steps": depth, "start": start, "log_evidence": evidence}
    return row | {"elbo": evidence - gap, "gap": gap, "exact_gap": exact}


def best(rows):
    """{(posterior, q, steps): the least gap over the starts}, and the largest."""
    gaps: dict[tuple, list[float]] = {}
    for row in rows:
        gaps.setdefault((row["posterior"], row["q"], row["steps"]), []).append(row["gap"])
    return {key: (min(values), max(values)) for key, values in gaps.items()}


def nats(gap):
    return f"{gap:.4f}" if gap > 1e-9 else "below 1e-9"


def run(folder, seed=0, progress=None):
    rows, course, trained = measure(seed, progress)
    report.write_table(folder / "posteriors.csv", rows)
    report.write_table(folder / "posteriors-by-step.csv", course)
    draw(rows, course, trained, folder / "posteriors.png")
    lines = []
    for (posterior, name, depth), (least, most) in best(rows).items():
        text = f"{depth} planar steps" if depth else "diagonal" if name == "planar flow" else name
        text += f", best of {STARTS} (the worst: {nats(most)})" if most > least else ""
        lines.append(f"posteriors.csv: {posterior}, {text}: ELBO {nats(least)} nats below log p(x)")
    lines[0] += f", closed form of the best {nats(Correlated().best_diagonal_gap())}"
    return lines


def _levels(log_density, mass):
    """The values of a log density above which these shares of the mass lie, from points and their masses."""
    order = np.argsort(log_density.ravel())[::-1]
    total = np.cumsum(mass.ravel()[order])
    return [float(log_density.ravel()[order[np.searchsorted(total, share * total[-1])]]) for share in MASS]


def _shade(axes, log_joint, box):
    x, y = (np.linspace(low, high, 301) for low, high in box)
    points = np.stack(np.meshgrid(x, y), axis=-1)
    values = log_joint(points.reshape(-1, 2)).reshape(301, 301)
    levels = [*_levels(values, np.exp(values)), values.max()]
    axes.contourf(x, y, values, levels, colors=(style.GRID, style.FAINT))
    axes.set_xlim(*box[0])
    axes.set_ylim(*box[1])


def _outline(axes, q, colour):
    """Contours of q, drawn over the places to which a square grid of noise goes."""
    noise = plane(np.linspace(-4, 4, 241))
    z, log_q, _ = q.forward(noise)
    values = log_q.reshape(241, 241)
    levels = _levels(values, np.exp(-0.5 * (noise**2).sum(axis=1)))
    x, y = z.T.reshape(2, 241, 241)
    axes.contour(x, y, values, levels, colors=[colour], linewidths=1.4, linestyles="solid")


def draw(rows, course, trained, path):
    text = (
        f"ELBO against exact log p(x), one example each. Areas: p(z|x), lines: q; {MASS[1]:.0%} and {MASS[0]:.0%} of "
    )
    text += "the mass lie within. Top left and middle: probabilistic PCA, where a full covariance leaves no gap but "
    text += "rounding (dashed: the best diagonal q, exact). The others: "
    text += "x = z\N{SUBSCRIPT TWO} + z\N{SUBSCRIPT ONE}\N{SUPERSCRIPT TWO} + noise."
    figure = style.new_figure(style.WIDTH, 6.0, "What a richer q is worth, in nats", text)
    (pair, falling, depths), bent = figure.subplots(2, 3)
    correlated, curved, colours = Correlated(), Curved(), report.COLOURS[:2]
    report.panel(pair, "correlated posterior", "z\N{SUBSCRIPT ONE}", "z\N{SUBSCRIPT TWO}")
    _shade(pair, correlated, [(m - 2.2, m + 2.2) for m in correlated.mean])
    report.panel(falling, "its gap, over steps of Adam", "step", f"log p(x) {style.MINUS} ELBO", logy=True)
    for name, colour in zip(NAMES, colours, strict=True):
        _outline(pair, trained[name], colour)
        chosen = [row | {"gap": max(row["gap"], 1e-16)} for row in course if row["q"] == name]
        report.curve(falling, chosen, "step", "gap", color=colour, linewidth=1.4, label=name)
    falling.axhline(correlated.best_diagonal_gap(), color=style.INK, linewidth=0.8, linestyle="--")
    report.legend(falling)
    report.panel(depths, "gap of the curved one", "planar steps", f"log p(x) {style.MINUS} ELBO", logy=True)
    flows = [row for row in rows if row["q"] == "planar flow"]
    report.curve(depths, flows, "steps", "gap", "o", color=report.COLOURS[2], markersize=4, label="each start")
    least = [row for row in flows if row["gap"] == best(rows)["curved", "planar flow", row["steps"]][0]]
    report.curve(depths, least, "steps", "gap", color=report.COLOURS[2], linewidth=1.4, label="the best")
    depths.set_xticks(DEPTHS)
    report.legend(depths)
    for axes, depth in zip(bent, SHOWN, strict=True):
        row = next(row for row in least if row["steps"] == depth)
        title = f"{depth} planar steps" if depth else "diagonal"
        ylabel = "z\N{SUBSCRIPT TWO}" if axes is bent[0] else None
        report.panel(axes, f"{title}: gap {row['gap']:.3f}", "z\N{SUBSCRIPT ONE}", ylabel)
        _shade(axes, curved, [(-2.4, 2.4), (-2.8, 2.8)])
        _outline(axes, trained["planar flow", depth, row["start"]], report.COLOURS[2] if depth else colours[0])
    return style.finish(figure, style.check_path(path))
