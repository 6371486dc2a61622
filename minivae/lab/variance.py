"""The variance of each gradient estimator over mu, sigma and the number of draws, against what theory says; for one
draw, and at equal cost: times the evaluations of f or f' that a draw takes.
"""

import math
from itertools import product
from typing import Any

import numpy as np

from .. import estimators as est
from ..estimators.functions import Cosine, Exponential, Quadratic, quadrature
from ..plotting import style
from . import report

DRAWS = 40_000
KS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
SIGMAS = (0.1, 0.3, 1.0, 3.0)
COUNTS = (1, 4, 16, 64, 256, 1024)
REPEATS = 200
NAMES = ("score_function", "baseline", "pathwise", "measure_valued")
# of f or f', for one parameter and draw; those that found the baseline are not counted
EVALUATIONS = {"score_function": 1, "baseline": 1, "pathwise": 1, "measure_valued": 2}
LABELS = ("score function", "with best baseline", "pathwise", "measure-valued")
PARAMETERS, LETTERS = ("mu", "sigma"), (style.MU, style.SIGMA)
NUMBERS = ("exact_gradient", "measured_mean", "exact_variance", "measured_variance", "standard_error")


def measure(name, f, q, rng, draws, baseline):
    """One-draw estimates, (draws, 2)."""
    if name == "baseline":
        return est.score_function(f, q, rng, draws, baseline=baseline)
    return getattr(est, name)(f, q, rng, draws)


def _rows(sweep, f, q, x, estimator, *numbers):
    """A table row for each parameter; the numbers, (2,) each, in the order of NUMBERS."""
    for p, parameter in enumerate(PARAMETERS):
        row = {"sweep": sweep, "f": type(f).__name__.lower(), "k": f.k, "mu": q.mu, "sigma": q.sigma, "x": float(x)}
        row |= {"estimator": estimator, "parameter": parameter}
        row |= {name: float(values[p]) for name, values in zip(NUMBERS, numbers, strict=True)}
        cost = EVALUATIONS[estimator]
        yield row | {"evaluations": cost, "variance_at_equal_cost": cost * row["exact_variance"]}


def crossing(evaluations=1):
    """|mu - k| at which pathwise and measure-valued gradients with respect to mu of E[(z - k)^2] vary alike at
    sigma = 1, 4 = evaluations 1.0930 d^2: 1.9131 for a draw, and 1.3527 at equal cost, where one takes twice as many.
    """
    exact = Quadratic(0.0).variances(est.Normal(1.0, 1.0))
    return math.sqrt(exact["pathwise"][0] / (evaluations * exact["measure_valued"][0]))


def rows_for(sweep, f, q, x, rng):
    """A table row for each estimator and parameter: exact and measured mean and variance of one draw."""
    exact = quadrature(f, q)
    best = est.optimal_baseline(f, q, rng, DRAWS)
    for name in NAMES:
        mean, variance, error = report.moments(measure(name, f, q, rng, DRAWS, best))
        yield from _rows(sweep, f, q, x, name, f.gradient(q), mean, exact[name][1], variance, error)


def counted_rows(rng):
    """Root mean square errors of means of n draws, against sqrt(variance / n)."""
    f, q = Quadratic(0.0), est.Normal(1.0, 1.0)
    exact, gradient = f.variances(q), f.gradient(q)
    for name in NAMES:
        estimates = measure(name, f, q, rng, REPEATS * max(COUNTS), f.baseline(q)).reshape(REPEATS, -1, 2)
        for n in COUNTS:
            groups = estimates.reshape(-1, n, 2).mean(axis=1)
            rmse, theory = np.sqrt(((groups - gradient) ** 2).mean(axis=0)), exact[name] / n
            error = theory * np.sqrt(2 / len(groups))
            yield from _rows("draws", f, q, n, name, gradient, groups.mean(axis=0), theory, rmse**2, error)


def run(folder, seed=0, progress=None):
    rng = np.random.default_rng(seed)
    plan: list[tuple[str, Any, est.Normal, float]]
    plan = [("k", Quadratic(k), est.Normal(1.0, 1.0), k) for k in KS]
    plan += [("sigma", Quadratic(0.0), est.Normal(1.0, s), s) for s in SIGMAS]
    plan += [("exponential", Exponential(k), est.Normal(1.0, 1.0), k) for k in (0.1, 0.3, 1.0, 3.0, 10.0)]
    plan += [("cosine", Cosine(k), est.Normal(1.0, 1.0), k) for k in (0.5, 1.0, 2.0, 3.0, 5.0)]
    rows = []
    for sweep, f, q, x in report.bar(plan, "variance", progress):
        rows += rows_for(sweep, f, q, x, rng)
    rows += counted_rows(rng)
    report.write_table(folder / "variance.csv", rows)
    draw(rows, folder / "variance.png")
    draw_functions(rows, folder / "variance-functions.png")

    found, count = report.inside(row for row in rows if row["sweep"] in ("k", "sigma"))
    line = f"variance.csv: {found} of {count} measured variances within their 99 % intervals of the "
    mu = f"|mu - k| = {crossing():.4f} per draw, {crossing(EVALUATIONS['measure_valued']):.4f} at equal evaluations"
    sigma = "variance.csv: with respect to sigma measure-valued varies least per draw, pathwise at equal evaluations"
    return [
        f"{line}closed form ({DRAWS:,} draws each)",
        f"variance.csv: with respect to mu measure-valued varies less than pathwise below {mu}",
        sigma,
    ]


def _select(rows, sweep, name, parameter):
    found = [row for row in rows if (row["sweep"], row["estimator"], row["parameter"]) == (sweep, name, parameter)]
    return [np.array([row[key] for row in found]) for key in ("x", "exact_variance", "measured_variance")]


def _floor(values):
    return np.where(np.asarray(values) > 1e-12, values, np.nan)


def draw(rows, path):
    squared, mu, sigma = "\N{SUPERSCRIPT TWO}", style.MU, style.SIGMA
    title = f"Four ways to estimate the gradient of E[(z {style.MINUS} k){squared}], z ~ N({mu}, {sigma}{squared})"
    text = f"Variance of the gradient with respect to {mu} (top) and {sigma} (bottom), {mu} = 1; lower is better. "
    text += f"{report.MEASURED[0].upper() + report.MEASURED[1:]}. Left and middle: one draw, and dashed measure-valued "
    text += f"at the cost of the others, twice its variance for its two evaluations of f. With respect to {mu} it is "
    text += "exactly 0 at k = 1."
    figure = style.new_figure(style.WIDTH, 6.0, title, text)
    panels = figure.subplots(2, 3)
    fine_k, fine_sigma = np.linspace(-3, 3, 121), np.geomspace(0.1, 3, 60)
    by_k = [Quadratic(k).variances(est.Normal(1.0, 1.0)) for k in fine_k]
    by_sigma = [Quadratic(0.0).variances(est.Normal(1.0, s)) for s in fine_sigma]
    for p, (parameter, letter) in enumerate(zip(PARAMETERS, LETTERS, strict=True)):
        left, middle, right = panels[p]
        report.panel(left, f"d/d{letter}: over k, {sigma} = 1", "k", "variance of one draw", logy=True)
        report.panel(middle, f"over {sigma}, k = 0", sigma, None, logx=True, logy=True)
        report.panel(right, "at equal cost, k = 0", "evaluations of f or f'", "mean square error", logx=True, logy=True)
        for name, label, colour in zip(NAMES, LABELS, report.COLOURS, strict=False):
            for axes, fine, exact, sweep in ((left, fine_k, by_k, "k"), (middle, fine_sigma, by_sigma, "sigma")):
                x, _, measured = _select(rows, sweep, name, parameter)
                line = _floor([variances[name][p] for variances in exact])
                report.exact_and_measured(axes, fine, line, x, _floor(measured), colour, label)
                if EVALUATIONS[name] > 1:
                    axes.plot(fine, EVALUATIONS[name] * line, "--", color=colour, linewidth=1)
            x, exact, measured = _select(rows, "draws", name, parameter)
            x = EVALUATIONS[name] * x
            report.exact_and_measured(right, x, exact, x, measured, colour, label)
    panels[0][0].set_ylim(0.03, 2000)
    report.legend(panels[0][2])
    return style.finish(figure, style.check_path(path))


def draw_functions(rows, path):
    text = (
        f"Variance of one draw with respect to {style.MU} and {style.SIGMA} at {style.MU} = {style.SIGMA} = 1, lower "
    )
    text += "is better. Points: measured; lines: quadrature. After Mohamed et al. (arXiv:1906.10652), figure 3."
    figure = style.new_figure(style.WIDTH, 3.2, "No estimator is best for every function", text)
    panels = figure.subplots(1, 4)
    titles = {Exponential: f"exp({style.MINUS}k z\N{SUPERSCRIPT TWO})", Cosine: "cos(k z)"}
    for axes, (make, p) in zip(panels, product(titles, (0, 1)), strict=True):
        ylabel = "variance of one draw" if axes is panels[0] else None
        report.panel(axes, f"{titles[make]}, d/d{LETTERS[p]}", "k", ylabel, logx=make is Exponential, logy=True)
        ends = [row["x"] for row in rows if row["sweep"] == make.__name__.lower()]
        fine = np.geomspace(min(ends), max(ends), 60)
        exact = [quadrature(make(k), est.Normal(1.0, 1.0)) for k in fine]
        for name, label, colour in zip(NAMES, LABELS, report.COLOURS, strict=False):
            x, _, measured = _select(rows, make.__name__.lower(), name, PARAMETERS[p])
            line = [variances[name][1][p] for variances in exact]
            report.exact_and_measured(axes, fine, line, x, measured, colour, label)
    report.legend(panels[3])
    return style.finish(figure, style.check_path(path))
