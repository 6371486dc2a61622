"""The graph of a sample without and with the reparameterization trick, and the numbers that flow through it."""

from typing import Any

import numpy as np

from ..plotting import style
from ..reparam import Reparameterize
from . import report

POINT = {"mu": 1.0, "sigma": 0.5, "noise": 0.6}
DRAWS = 100_000
FORWARD, BACK, BLOCKED = style.MUTED, style.TRAIN, style.VALIDATION
EPSILON, SQUARED = "\N{GREEK SMALL LETTER EPSILON}", "\N{SUPERSCRIPT TWO}"


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


PLACES = {"mu": (0.9, 5.4), "sigma": (0.9, 3.0), "noise": (0.9, 0.55), "z": (6.0, 3.0), "f": (9.3, 3.0)}
RADIUS = 0.62
DASHES = (0, (4, 2))


def _node(axes, name, text, stochastic, below=None):
    from matplotlib.patches import Circle, FancyBboxPatch

    x, y = PLACES[name]
    look: dict[str, Any] = {
        "facecolor": "#f7e3df" if stochastic else "white",
        "edgecolor": style.INK,
        "linewidth": 1.2,
        "zorder": 3,
    }
    half = RADIUS - 0.12
    box = FancyBboxPatch((x - half, y - half), 2 * half, 2 * half, boxstyle="round,pad=0.04,rounding_size=0.12", **look)
    axes.add_patch(Circle((x, y), RADIUS, **look) if stochastic else box)
    axes.text(x, y, text, ha="center", va="center", fontsize=12, color=style.INK, zorder=4)
    if below:
        axes.text(x, y - RADIUS - 0.12, below, ha="center", va="top", fontsize=style.TICK, color=style.INK)


def _arrow(axes, start, end, colour, **options):
    from matplotlib.patches import FancyArrowPatch

    look: dict[str, Any] = {
        "arrowstyle": "-|>",
        "mutation_scale": 12,
        "linewidth": 1.6,
        "shrinkA": 0,
        "shrinkB": 0,
        "zorder": 2,
    }
    axes.add_patch(FancyArrowPatch(start, end, color=colour, **look | options))


def _edge(axes, a, b, back=None, blocked=False, side=-1):
    """The way down from a to b and, to its left (1) or right (-1), the way back, which may end in a cross."""
    start, end = (np.array(PLACES[name]) for name in (a, b))
    along = (end - start) / np.hypot(*(end - start))
    near, far = start + along * (RADIUS + 0.2), end - along * (RADIUS + 0.2)
    _arrow(axes, near, far, FORWARD)
    if back is None:
        return
    aside = side * np.array([-along[1], along[0]])
    near, far = near + 0.24 * aside, far + 0.24 * aside
    colour = BLOCKED if blocked else BACK
    if blocked:
        stop = far - along
        axes.plot(*zip(far, stop, strict=True), color=colour, linewidth=1.6, linestyle=DASHES)
        axes.plot(*stop, "x", color=colour, markersize=9, markeredgewidth=2.4, zorder=4)
    else:
        _arrow(axes, far, near, colour, linestyle=DASHES)
    place, turn = 0.57 * near + 0.43 * far + 0.14 * aside, np.degrees(np.arctan2(along[1], along[0]))
    text = {"rotation": turn, "rotation_mode": "anchor", "ha": "center", "va": "bottom" if side > 0 else "top"}
    axes.text(*place, back, color=colour, fontsize=style.TICK, **text)


def draw(rows, path):
    mu, sigma, times = style.MU, style.SIGMA, "\N{MULTIPLICATION SIGN}"
    dz, dmu, dsigma = (rows[name]["gradient"] for name in ("z", "mu", "sigma"))
    title = "Where the gradient stops at a sample, and how the trick lets it through"
    text = f"Circles are drawn at random, boxes are computed. Grey: forward; dashed: backward, for f = z{SQUARED}. "
    text += "Numbers by the layer of minivae/reparam.py."
    figure = style.new_figure(style.WIDTH, 3.7, title, text)
    panels = figure.subplots(1, 2)
    headings = (
        f"Without: z ~ N({mu}, {sigma}{SQUARED}) is drawn",
        f"With: z = {mu} + {sigma} {EPSILON}, {EPSILON} ~ N(0, 1)",
    )
    for axes, heading, trick in zip(panels, headings, (False, True), strict=True):
        axes.set(xlim=(0, 10), ylim=(-0.7, 6.1), aspect="equal")
        axes.set_axis_off()
        axes.set_title(heading, fontsize=style.PANEL, color=style.INK, loc="left")
        _node(axes, "mu", mu, False, f"{mu} = {POINT['mu']:g}")
        _node(axes, "sigma", sigma, False, f"{sigma} = {POINT['sigma']:g}")
        _node(axes, "z", "z", not trick, f"z = {rows['z']['value']:g}")
        _node(axes, "f", "f", False, f"f = {rows['f']['value']:g}")
        _edge(axes, "z", "f", f"df/dz = {dz:g}")
    left, right = panels
    _edge(left, "mu", "z", f"no dz/d{mu}", blocked=True, side=1)
    _edge(left, "sigma", "z", f"no dz/d{sigma}", blocked=True)
    _node(right, "noise", EPSILON, True, f"{EPSILON} = {POINT['noise']:g}")
    _edge(right, "noise", "z")
    _edge(right, "mu", "z", f"df/d{mu} = {dz:g} {times} 1 = {dmu:g}", side=1)
    _edge(right, "sigma", "z", f"df/d{sigma} = {dz:g} {times} {POINT['noise']:g} = {dsigma:g}")
    mean = [f"{rows[name]['mean_gradient']:.2f}" for name in ("mu", "sigma")]
    exact = f"those of E[f] are {rows['mu']['exact_gradient']:g} and {rows['sigma']['exact_gradient']:g}."
    drawn = f"The generator returned {rows['z']['value']:g}: a number, no function"
    many = f"Over {DRAWS:,} draws df/d{mu} and df/d{sigma}\nare {mean[0]} and {mean[1]} on average;\n{exact}"
    notes = f"{drawn}\nof {mu} and {sigma}. Its derivatives are 0 and 0;\n{exact}", many
    for axes, note, x, colour in zip(panels, notes, (2.9, 4.9), (BLOCKED, BACK), strict=True):
        axes.text(x, 0.55, note, fontsize=style.TICK, color=colour, va="center", linespacing=1.4)
    return style.finish(figure, style.check_path(path))
