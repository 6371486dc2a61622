"""Estimators for bits: their variances for a row and for an evaluation of f, against what enumeration says."""

from functools import partial

import numpy as np

from .. import estimators as est
from ..estimators import enumeration
from ..estimators.distributions import sigmoid
from ..plotting import style
from . import report
from .bits import DRAWS, NAMES, PROBLEMS, RELAXED, TEMPERATURE, methods, relaxed
from .discrete_exercises import ANSWERS

ROWS = 20_000
LOGITS = tuple(np.arange(-4.0, 4.5))
FINE = tuple(np.linspace(-4, 4, 25))
BOUNDS = {None: "score gradient", "arithmetic": "VIMCO, arithmetic mean", "geometric": "VIMCO, geometric mean"}
NUMBERS = ("exact_gradient", "measured_mean", "exact_mean", "exact_variance", "measured_variance", "standard_error")


def _rows(place, parameters, gradient, exact, estimates):
    """A table row for each parameter, from the exact mean and variance and the estimates (rows, parameters)."""
    mean, variance, error = report.moments(estimates)
    numbers = (gradient, mean, *exact, variance, error)
    for p, parameter in enumerate(parameters):
        yield place | {"parameter": parameter} | {n: float(v[p]) for n, v in zip(NUMBERS, numbers, strict=True)}


def rows_for(problem, logit, rng, rows=ROWS):
    """Table rows of the estimators for one problem with all logits alike."""
    f, bits = PROBLEMS[problem]
    q = est.Bernoulli((logit,) * bits)
    gradient = enumeration.gradient(f, q)
    for name, (evaluations, estimator, exact) in methods(f, q).items():
        place = {"problem": problem, "logit": float(logit), "estimator": name, "evaluations": evaluations}
        yield from _rows(place, q.names, gradient, exact, estimator(f, q, rng, rows))
    if bits == 1:
        pair = est.Categorical((logit, 0.0))
        for name, (estimator, exact) in relaxed(f.t, logit).items():
            place = {"problem": problem, "logit": float(logit), "estimator": name, "evaluations": 1}
            yield from _rows(place, q.names, gradient, exact, estimator(f, pair, rng, rows)[:, :1])


def bound_rows(draws, rng, rows=ROWS):
    """Table rows of the gradient of L_K for the network, q uniform."""
    f, q = PROBLEMS["network"][0], est.Bernoulli((0.0,) * 3)
    for baseline in BOUNDS if draws > 1 else (None,):
        exact = enumeration.vimco(f, q, draws, baseline)
        place = {"problem": "bound", "logit": 0.0, "estimator": f"vimco_{baseline}", "evaluations": draws}
        estimates = est.vimco(f, q, rng, rows, draws, baseline)
        yield from _rows(place, q.names, exact[0], exact, estimates)


def run(folder, seed=0, progress=None):
    rng, rows = np.random.default_rng([seed, 6]), []
    plan = [partial(rows_for, problem, logit, rng) for problem in PROBLEMS for logit in LOGITS]
    plan += [partial(bound_rows, k, rng) for k in (1, *DRAWS)]
    for part in report.bar(plan, "discrete", progress):
        rows += part()
    report.write_table(folder / "discrete.csv", rows)
    draw(rows, folder / "discrete.png")
    found, count = report.inside(rows)
    lines = [
        f"discrete.csv: {found} of {count} measured variances within their 99 % intervals of the exact ones "
        f"({ROWS:,} rows each)"
    ]
    return lines + [f"exercise {number}: {answer()}" for number, answer in enumerate(ANSWERS, 1)]


def total(rows, problem, name, column):
    """A column summed over the parameters, for each place on the x axis in the order of the rows."""
    result: dict[float, float] = {}
    for row in rows:
        if (row["problem"], row["estimator"]) == (problem, name):
            x = row["evaluations"] if problem == "bound" else row["logit"]
            result[x] = result.get(x, 0.0) + row[column]
    return np.array(list(result)), np.array(list(result.values()))


LOOKS = {
    "score_function": (report.COLOURS[0], 1.0),
    "baseline": (report.COLOURS[1], 1.0),
    **{f"leave_one_out_{k}": (report.COLOURS[2], alpha) for k, alpha in zip(DRAWS, (1, 0.7, 0.45, 0.25), strict=True)},
    "disarm": (report.COLOURS[3], 1.0),
    "rebar": (report.COLOURS[4], 1.0),
}


def draw(rows, path):
    squared = "\N{SUPERSCRIPT TWO}"
    text = "Left and middle: variance of the gradient with respect to the logits, added up; lower is better. "
    text += f"{report.MEASURED[0].upper() + report.MEASURED[1:]}. Temperature {TEMPERATURE:g}. "
    text += "One bit (top): the best baseline leaves no variance, nor does DisARM at logit 0; REBAR lies on the score "
    text += "function at left."
    figure = style.new_figure(style.WIDTH, 6.6, "Gradients through bits: what a row costs, and what it is worth", text)
    panels = figure.subplots(2, 3)
    for line, (problem, title) in enumerate((("t = 0.45", f"(b {style.MINUS} 0.45){squared}"), ("network", "network"))):
        f, bits = PROBLEMS[problem]
        exact = [methods(f, est.Bernoulli((logit,) * bits)) for logit in FINE]
        for axes, equal in zip(panels[line], (False, True), strict=False):
            what = f"{title}: variance x evaluations of f" if equal else f"{title}: variance of a row"
            report.panel(axes, what.replace(" x ", " \N{MULTIPLICATION SIGN} "), "logit", None, logy=True)
            for name, (colour, alpha) in LOOKS.items():
                curve = np.array([table[name][2][1].sum() for table in exact])
                factor = exact[0][name][0] if equal else 1
                x, measured = total(rows, problem, name, "measured_variance")
                curve, measured = (np.where(v > 1e-20, factor * v, np.nan) for v in (curve, measured))
                dashed = "--" if name == "rebar" else "-"
                axes.plot(FINE, curve, dashed, color=colour, alpha=alpha, linewidth=1.4, label=NAMES[name])
                axes.plot(x, measured, "o", color=colour, alpha=alpha, markersize=3.5, markeredgewidth=0)
    _draw_bias(rows, panels[0][2])
    _draw_bound(rows, panels[1][2])
    handles, labels = panels[0][0].get_legend_handles_labels()
    below = {"loc": "outside lower center", "ncols": 4, "fontsize": style.TICK, "frameon": False}
    figure.legend(handles, labels, **below)
    return style.finish(figure, style.check_path(path))


def _draw_bias(rows, axes):
    report.panel(axes, "t = 0.45: means, three of them biased", "logit", None)
    exact = [relaxed(0.45, logit) for logit in FINE]
    for name, colour in zip(RELAXED, report.COLOURS, strict=False):
        curve = [table[name][1][0][0] for table in exact]
        x, measured = total(rows, "t = 0.45", name, "measured_mean")
        report.exact_and_measured(axes, FINE, curve, x, measured, colour, RELAXED[name])
    p = sigmoid(np.array(FINE))
    axes.plot(FINE, p * (1 - p) * 0.1, color=style.INK, linewidth=2, linestyle="--", label="exact gradient")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.6 * (high - low))
    report.legend(axes, loc="upper left")


def _draw_bound(rows, axes):
    report.panel(axes, "network: variance of bounds' gradients", "K", None, logx=True, logy=True)
    for (baseline, label), colour in zip(BOUNDS.items(), report.COLOURS, strict=False):
        x, exact = total(rows, "bound", f"vimco_{baseline}", "exact_variance")
        measured = total(rows, "bound", f"vimco_{baseline}", "measured_variance")[1]
        report.exact_and_measured(axes, x, exact, x, measured, colour, label)
    axes.set_xticks((1, *DRAWS), (1, *DRAWS))
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * 20)
    report.legend(axes, loc="upper left")
