"""The variance of each gradient estimator over mu, sigma and the number of draws, against what theory says."""

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
LABELS = ("score function", "with best baseline", "pathwise", "measure-valued")
PARAMETERS = ("mu", "sigma")


def measure(name, f, q, rng, draws, baseline):
    """One-draw estimates, (draws, 2)."""
    if name == "baseline":
        return est.score_function(f, q, rng, draws, baseline=baseline)
    return getattr(est, name)(f, q, rng, draws)


def rows_for(sweep, f, q, x, rng):
    """A table row for each estimator and parameter: exact and measured mean and variance of one draw."""
    exact = quadrature(f, q)
    best = est.optimal_baseline(f, q, rng, DRAWS)
    for name in NAMES:
        estimates = measure(name, f, q, rng, DRAWS, best)
        centred = estimates - estimates.mean(axis=0)
        variance = (centred**2).mean(axis=0)
        error = np.sqrt(np.maximum((centred**4).mean(axis=0) - variance**2, 0) / DRAWS)
        for p, parameter in enumerate(PARAMETERS):
            yield {
                "sweep": sweep,
                "f": type(f).__name__.lower(),
                "k": f.k,
                "mu": q.mu,
                "sigma": q.sigma,
                "x": float(x),
                "estimator": name,
                "parameter": parameter,
                "exact_gradient": float(f.gradient(q)[p]),
                "measured_mean": float(estimates.mean(axis=0)[p]),
                "exact_variance": float(exact[name][1][p]),
                "measured_variance": float(variance[p]),
                "standard_error": float(error[p]),
            }


def counted_rows(rng):
    """Root mean square errors of means of n draws, against sqrt(variance / n)."""
    f, q = Quadratic(0.0), est.Normal(1.0, 1.0)
    exact, gradient = f.variances(q), f.gradient(q)
    for name in NAMES:
        estimates = measure(name, f, q, rng, REPEATS * max(COUNTS), f.baseline(q)).reshape(REPEATS, -1, 2)
        for n in COUNTS:
            groups = estimates.reshape(-1, n, 2).mean(axis=1)
            rmse = np.sqrt(((groups - gradient) ** 2).mean(axis=0))
            for p, parameter in enumerate(PARAMETERS):
                theory = float(exact[name][p] / n)
                yield {"sweep": "draws", "f": "quadratic", "k": f.k, "mu": 1.0, "sigma": 1.0, "x": float(n)} | {
                    "estimator": name,
                    "parameter": parameter,
                    "exact_gradient": float(gradient[p]),
                    "measured_mean": float(groups.mean(axis=0)[p]),
                    "exact_variance": theory,
                    "measured_variance": float(rmse[p] ** 2),
                    "standard_error": theory * np.sqrt(2 / len(groups)),
                }


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

    checked = [row for row in rows if row["sweep"] in ("k", "sigma") and row["exact_variance"] > 1e-20]
    inside = sum(
        abs(row["measured_variance"] - row["exact_variance"]) < 2.576 * row["standard_error"] for row in checked
    )
    return [
        f"variance.csv: {inside} of {len(checked)} measured variances within their 99 % intervals of the closed form "
        f"({DRAWS:,} draws each)"
    ]


def _select(rows, sweep, name, parameter):
    found = [row for row in rows if (row["sweep"], row["estimator"], row["parameter"]) == (sweep, name, parameter)]
    return [np.array([row[key] for row in found]) for key in ("x", "exact_variance", "measured_variance")]


def _floor(values):
    return np.where(np.asarray(values) > 1e-12, values, np.nan)


def draw(rows, path):
    figure = style.new_figure(
        style.WIDTH,
        6.0,
        "Four ways to estimate the gradient of E[(z - k)\N{SUPERSCRIPT TWO}], z ~ N(\N{GREEK SMALL LETTER MU}, "
        f"{style.SIGMA}\N{SUPERSCRIPT TWO})",
        f"Variance of one draw by \N{GREEK SMALL LETTER MU} (top) and by {style.SIGMA} (bottom), "
        f"\N{GREEK SMALL LETTER MU} = 1; lower is better. {report.MEASURED[0].upper() + report.MEASURED[1:]}. "
        "Measure-valued by \N{GREEK SMALL LETTER MU} is exactly 0 at k = 1.",
    )
    panels = figure.subplots(2, 3)
    fine_k, fine_sigma = np.linspace(-3, 3, 121), np.geomspace(0.1, 3, 60)
    for p, (parameter, letter) in enumerate(zip(PARAMETERS, ("\N{GREEK SMALL LETTER MU}", style.SIGMA), strict=True)):
        by_k, by_sigma, by_draws = panels[p]
        report.panel(by_k, f"d/d{letter}: over k, {style.SIGMA} = 1", "k", "variance of one draw", logy=True)
        report.panel(by_sigma, f"over {style.SIGMA}, k = 0", style.SIGMA, None, logx=True, logy=True)
        report.panel(by_draws, "means of n draws, k = 0", "n", "mean square error", logx=True, logy=True)
        for name, label, colour in zip(NAMES, LABELS, report.COLOURS, strict=False):
            lines = [
                (by_k, fine_k, [Quadratic(k).variances(est.Normal(1.0, 1.0))[name][p] for k in fine_k], "k"),
                (
                    by_sigma,
                    fine_sigma,
                    [Quadratic(0.0).variances(est.Normal(1.0, s))[name][p] for s in fine_sigma],
                    "sigma",
                ),
            ]
            for axes, fine, exact, sweep in lines:
                x, _, measured = _select(rows, sweep, name, parameter)
                report.exact_and_measured(axes, fine, _floor(exact), x, _floor(measured), colour, label)
            x, exact, measured = _select(rows, "draws", name, parameter)
            report.exact_and_measured(by_draws, x, exact, x, measured, colour, label)
    panels[0][0].set_ylim(0.03, 2000)
    report.legend(panels[0][2])
    return style.finish(figure, style.check_path(path))


def draw_functions(rows, path):
    figure = style.new_figure(
        style.WIDTH,
        3.2,
        "No estimator is best for every function",
        f"Variance of one draw by \N{GREEK SMALL LETTER MU} and by {style.SIGMA} at \N{GREEK SMALL LETTER MU} = "
        f"{style.SIGMA} = 1, lower is better. Points: measured; lines: quadrature. After Mohamed et al. "
        "(arXiv:1906.10652), figure 3.",
    )
    panels = figure.subplots(1, 4)
    titles = {"exponential": "exp(-k z\N{SUPERSCRIPT TWO})", "cosine": "cos(k z)"}
    place = 0
    for sweep, title in titles.items():
        make = {"exponential": Exponential, "cosine": Cosine}[sweep]
        for p, parameter in enumerate(PARAMETERS):
            axes = panels[place]
            place += 1
            letter = ("\N{GREEK SMALL LETTER MU}", style.SIGMA)[p]
            ylabel = "variance of one draw" if place == 1 else None
            report.panel(axes, f"{title}, d/d{letter}", "k", ylabel, logx=sweep == "exponential", logy=True)
            for name, label, colour in zip(NAMES, LABELS, report.COLOURS, strict=False):
                x, _, measured = _select(rows, sweep, name, parameter)
                fine = np.geomspace(x[0], x[-1], 60)
                exact = [quadrature(make(k), est.Normal(1.0, 1.0))[name][1][p] for k in fine]
                report.exact_and_measured(axes, fine, exact, x, measured, colour, label)
    report.legend(panels[3])
    return style.finish(figure, style.check_path(path))
