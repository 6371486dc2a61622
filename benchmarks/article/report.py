"""The tables of docs/the-article.md and its figure, from benchmarks/results/article.json."""

import re

import numpy as np

from minivae import load_dataset
from minivae.plotting import style

from .checks import CHECKS
from .runs import DRAWN, TRAINED

NAMES = {
    "right": "right",
    "sampler": "sampler: exp(softplus)",
    "wide": "exp(softplus) in both",
    "no_kl": "no KL term",
    "printed": "as printed: sampler and no KL",
    "sign": "ELBO minimised",
    "backward_negated": "gradient of the other sign",
}
COSTS = {
    "loss shown": "loss_shown",
    "-ELBO, z as drawn": "neg_elbo_drawn",
    "-ELBO, right model": "neg_elbo_read",
    "-log p(x)": "neg_log_density",
    "the same, importance-sampled": "neg_log_likelihood",
    "energy distance": "energy_distance",
}
POSTERIORS = {
    "softplus(rho)": "sigma_meant",
    "sd of z": "sigma_drawn",
    "spread of mu": "mu_spread",
    "KL, z as drawn": "kl_drawn",
}
FRAME = 13.0


def write_page(path, results):
    """Puts the tables between their markers; a page without one of them is refused before it is written."""
    page = path.read_text()
    tables = {"costs": _costs, "posteriors": _posteriors, "sign": _sign, "checks": _checks, "scale": _scale}
    for name, make in tables.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)"
        table = make(results)
        page, count = re.subn(pattern, lambda match, table=table: match[1] + table + match[2], page, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"{path}: {count} places between '<!-- {name} -->' and '<!-- end {name} -->', expected 1")
    path.write_text(page)


def _table(head, rows):
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _spread(values, digits=None):
    """Mean and standard deviation over the runs, to three digits of the mean or as many as the mean is large."""
    values = np.asarray(values, np.float64)
    mean, deviation = values.mean(), values.std(ddof=1) if len(values) > 1 else 0.0
    if digits is None:
        digits = int(np.clip(2 - np.floor(np.log10(max(abs(mean), 1e-9))), 0, 2))
    if abs(mean) >= 1e5:
        return f"{mean:.1e}"
    if 0 < abs(mean) < 0.005:
        return "below 0.005"
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def _runs_of(results, mistake):
    """The runs with this mistake, with the signs of the tables."""
    runs = [run for run in results["trained"] if run["mistake"] == mistake]
    names = {"log_density": "neg_log_density", "log_likelihood": "neg_log_likelihood"}
    return [run | {new: -run[old] for old, new in names.items() if old in run} for run in runs]


def _costs(results):
    rows = []
    for mistake in TRAINED:
        runs = _runs_of(results, mistake)
        rows.append([NAMES[mistake], *(_spread([r[k] for r in runs]) if k in runs[0] else "" for k in COSTS.values())])
    return _table(["", *COSTS], rows)


def _posteriors(results):
    rows = []
    for mistake in TRAINED:
        runs = _runs_of(results, mistake)
        low, high = np.mean([run["sigma_drawn_5_95"] for run in runs], axis=0)
        cells = {title: _spread([run[key] for run in runs]) for title, key in POSTERIORS.items()}
        if high >= 0.005:
            cells["sd of z"] += f" ({low:.2f} to {high:.2f})"
        rows.append([NAMES[mistake], *cells.values()])
    return _table(["", *POSTERIORS], rows)


def _sign(results):
    steps, rows = list(results["sign"][0]["right"]), []
    for title, key in (("-ELBO, loss minimised", "right"), ("-ELBO, ELBO minimised", "sign")):
        rows.append([title, *(_spread([run[key][step] for run in results["sign"]]) for step in steps)])
    return _table(["after step", *steps], rows)


def _checks(results):
    word = {True: "passes", False: "**fails**"}
    rows = [[NAMES[m], *(word[row[check]["passed"]] for check in CHECKS)] for m, row in results["checks"].items()]
    return _table(["", *CHECKS], rows)


def _scale(results):
    rows = []
    for name in dict.fromkeys(run["name"] for run in results["scale"]):
        runs = [run for run in results["scale"] if run["name"] == name]
        units = sorted({run["active_units"] for run in runs})
        sigma, kl = (_spread([run[key] for run in runs], 2) for key in ("observation_sigma", "kl"))
        log_density = _spread([-run["log_density"] for run in runs], 2)
        rows.append([name, sigma, kl, " or ".join(map(str, units)), log_density])
    return _table(["", "likelihood's sigma at the end", "KL", "active latents", "-log p(x)"], rows)


def draw(path, results):
    """Data, and draws from each model of seed 0, on the same axes."""
    data = load_dataset("pinwheel").test[:DRAWN]
    floor = results["noise_floor"]
    title = "What the model draws after each mistake"
    subtitle = (
        f"{DRAWN:,} draws of decoder(z) + noise, z from the prior, over the data in grey; seed 0, "
        f"{results['epochs']} epochs. D: energy distance to held-out data"
    )
    figure = style.new_figure(style.WIDTH, 7.0, title, subtitle)
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    _panel(panels.flat[0], data, "held-out data", f"training data: D = {_distance(floor)}", style.INK)
    for axes, mistake in zip(panels.flat[1:], TRAINED, strict=True):
        run = next(run for run in results["trained"] if run["mistake"] == mistake and "samples" in run)
        axes.plot(*data.T, "o", markersize=2.0, markeredgewidth=0, color=style.FAINT)
        colour = style.TRAIN if mistake == "right" else style.VALIDATION
        _panel(axes, np.array(run["samples"]), NAMES[mistake], f"D = {_distance(run)}", colour)
    for axes in panels[1]:
        axes.set_xlabel("feature 0", fontsize=style.LABEL, color=style.INK)
    for axes in panels[:, 0]:
        axes.set_ylabel("feature 1", fontsize=style.LABEL, color=style.INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    style.finish(figure, path)


def _distance(run):
    value = f"{run['energy_distance']:.3f}".replace("-", style.MINUS)
    return f"{value} ± {run['energy_error']:.3f}"


def _panel(axes, points, title, measured, colour):
    style.style_axes(axes, title)
    axes.plot(*points.T, "o", markersize=2.4, markeredgewidth=0, alpha=0.55, color=colour)
    axes.set(xlim=(-FRAME, FRAME), ylim=(-FRAME, FRAME), aspect="equal")
    place = {"transform": axes.transAxes, "fontsize": style.TICK, "color": style.INK, "path_effects": style.halo()}
    axes.text(0.02, 0.97, measured, va="top", **place)
    outside = int(np.count_nonzero(np.abs(points).max(axis=1) > FRAME))
    if outside:
        axes.text(0.98, 0.02, f"{outside} outside the frame", ha="right", **place)
