"""The graph of a sample without and with the reparameterization trick, and the numbers that flow through it."""

import numpy as np

from ..plotting import style
from ..reparam import Reparameterize
from . import report

POINT = {"mu": 1.0, "sigma": 0.5, "noise": 0.6}
DRAWS = 100_000
FORWARD, BACK, BLOCKED = style.MUTED, style.TRAIN, style.VALIDATION
EPSILON = "\N{GREEK SMALL LETTER EPSILON}"


def gradients(noise):
    """z, and the gradients of f = z^2 with respect to z, mu and sigma, (n,) each, by the layer's way back."""
    layer = Reparameterize("exp", dtype="float64")
    mu, rho = (np.full((len(noise), 1), value) for value in (POINT["mu"], np.log(POINT["sigma"])))
    z = layer.forward(mu, rho, noise[:, None])
    dmu, drho = layer.backward(2 * z)
    return z[:, 0], 2 * z[:, 0], dmu[:, 0], drho[:, 0] / POINT["sigma"]  # exp: drho = dsigma * sigma


def measure():
    """{node: row}: the value and gradient of one draw, the mean of the gradient over many, and the exact one."""
    z, dz, dmu, dsigma = (float(column[0]) for column in gradients(np.array([POINT["noise"]])))
    _, _, many_mu, many_sigma = gradients(np.random.default_rng(0).standard_normal(DRAWS))
    rows = {"f": {"value": z**2, "gradient": 1.0}, "z": {"value": z, "gradient": dz}}
    for name, one, many in (("mu", dmu, many_mu), ("sigma", dsigma, many_sigma)):
        mean = {"mean_gradient": float(many.mean()), "exact_gradient": 2 * POINT[name]}
        rows[name] = {"value": POINT[name], "gradient": one} | mean
    return {name: {"mean_gradient": "", "exact_gradient": ""} | row for name, row in rows.items()}


def run(folder, seed=0, progress=None):
    rows = measure()
    report.write_table(folder / "graphs.csv", [{"node": name, **row} for name, row in rows.items()])
    draw(rows, folder / "graphs.png")
    return [
        f"graphs.csv: d/d{name} of E[z^2]: {rows[name]['mean_gradient']:.2f} by {DRAWS:,} draws with the trick, "
        f"exact {rows[name]['exact_gradient']:g}"
        for name in ("mu", "sigma")
    ]


PLACES = {"mu": (1.3, 5.2), "sigma": (1.3, 3.0), "noise": (1.3, 0.8), "z": (5.2, 3.0), "f": (8.8, 3.0)}
RADIUS = 0.62


def _node(axes, name, text, stochastic, below=None):
    from matplotlib.patches import Circle, FancyBboxPatch

    x, y = PLACES[name]
    look = {"facecolor": "#f7e3df" if stochastic else "white", "edgecolor": style.INK, "linewidth": 1.2, "zorder": 3}
    size = 2 * RADIUS - 0.3
    box = FancyBboxPatch((x - size / 2, y - size / 2), size, size, boxstyle="square,pad=0.12", **look)
    axes.add_patch(Circle((x, y), RADIUS, **look) if stochastic else box)
    axes.text(x, y, text, ha="center", va="center", fontsize=12, color=style.INK, zorder=4)
    if below:
        axes.text(x, y - RADIUS - 0.16, below, ha="center", va="top", fontsize=style.TICK, color=style.INK)


def _arrow(axes, start, end, colour, bend=0.0, dashed=False):
    from matplotlib.patches import FancyArrowPatch

    look = {"arrowstyle": "-|>", "mutation_scale": 12, "linewidth": 1.6, "color": colour, "shrinkA": 0, "shrinkB": 0}
    dash = (0, (4, 2)) if dashed else "-"
    axes.add_patch(FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={bend}", linestyle=dash, zorder=2, **look))


def _edge(axes, a, b, back=None, blocked=False):
    """The way down from a to b, and beside it the way back with a label; a blocked one ends at b with a cross."""
    start, end = (np.array(PLACES[name]) for name in (a, b))
    along = (end - start) / np.hypot(*(end - start))
    aside = np.array([along[1], -along[0]]) * 0.17  # to the right of the way down
    near, far = start + along * (RADIUS + 0.12), end - along * (RADIUS + 0.12)
    if back is None:
        _arrow(axes, near, far, FORWARD)
        return
    _arrow(axes, near - aside, far - aside, FORWARD)
    middle = (near + far) / 2 + aside
    turn = np.degrees(np.arctan2(along[1], along[0]))
    if blocked:
        stop = far + aside - along * 0.75
        axes.plot(*zip(far + aside, stop, strict=True), color=BLOCKED, linewidth=1.6, linestyle=(0, (4, 2)))
        axes.plot(*stop, "x", color=BLOCKED, markersize=9, markeredgewidth=2.4, zorder=4)
    else:
        _arrow(axes, far + aside, near + aside, BACK, dashed=True)
    place = middle + aside * 1.15
    text = {"rotation": turn, "rotation_mode": "anchor", "ha": "center", "va": "top", "fontsize": style.TICK}
    axes.text(*place, back, color=BLOCKED if blocked else BACK, **text)


def draw(rows, path):
    title = "Where the gradient stops at a sample, and how the trick lets it through"
    text = "Circles are drawn at random, squares are computed. Grey: the way down; dashed: the way back, for f = z"
    text += f"\N{SUPERSCRIPT TWO} at {style.MU} = {POINT['mu']:g}, {style.SIGMA} = {POINT['sigma']:g} and the draw "
    text += (
        f"{EPSILON} = {POINT['noise']:g}, so z = {rows['z']['value']:g}. Numbers by the layer of minivae/reparam.py."
    )
    figure = style.new_figure(style.WIDTH, 3.9, title, text)
    for axes, trick in zip(figure.subplots(1, 2), (False, True), strict=True):
        axes.set(xlim=(0, 10), ylim=(-1.5, 6.6), aspect="equal")
        axes.set_axis_off()
        heading = f"with it: z = {style.MU} + {style.SIGMA} {EPSILON}" if trick else "without"
        axes.set_title(heading, fontsize=style.PANEL, color=style.INK, loc="left")
        _node(axes, "mu", style.MU, False)
        _node(axes, "sigma", style.SIGMA, False)
        _node(axes, "z", "z", not trick, None if trick else f"z ~ N({style.MU}, {style.SIGMA}\N{SUPERSCRIPT TWO})")
        _node(axes, "f", "f", False)
        dz, dmu, dsigma = (rows[name]["gradient"] for name in ("z", "mu", "sigma"))
        _edge(axes, "z", "f", f"df/dz = 2z = {dz:g}")
        if trick:
            _node(axes, "noise", EPSILON, True, f"{EPSILON} ~ N(0, 1)")
            _edge(axes, "noise", "z")
            _edge(axes, "mu", "z", f"df/d{style.MU} = {dz:g} x 1 = {dmu:g}")
            _edge(axes, "sigma", "z", f"df/d{style.SIGMA} = {dz:g} x {POINT['noise']:g} = {dsigma:g}")
        else:
            _edge(axes, "mu", "z", f"dz/d{style.MU}: none", blocked=True)
            _edge(axes, "sigma", "z", f"dz/d{style.SIGMA}: none", blocked=True)
    return style.finish(figure, style.check_path(path))
