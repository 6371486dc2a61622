"""The picture of `minivae gradcheck`: the error of a difference against its step, and the step that is chosen."""

import numpy as np

from ..gradcheck.numerics.differences import Derivative, Differences, differentiate
from ..gradcheck.numerics.judge import rms
from ..gradcheck.numerics.probe import coordinate_line
from ..gradcheck.subject.targets import Target, flat
from ..plotting import style

CURVES = {"forward": "#b9ac70", "central": style.TRAIN, "extrapolated": style.VALIDATION}
TINY = 1e-17  # errors of exactly zero are drawn here


def _layer(dtype, activation, kink=None):
    """A dense layer, its input, and its derivative with respect to one weight; `kink`: a unit's distance to it."""
    from ..layers import Dense

    layer = Dense(6, 4, activation, dtype=dtype, seed=2)
    x = np.random.default_rng(3).standard_normal((3, 6)).astype(dtype)
    if kink is not None:
        # Moving weight[0, 0] by t moves the unit of row 0 by t * x[0, 0]: it reaches the kink at |t| = kink.
        unit = float(x[0] @ layer.parameters["weight"][:, 0])
        layer.parameters["bias"][0] = -unit + kink * abs(float(x[0, 0]))
    return layer, x


def _curves(dtype, activation, kink=None) -> tuple[np.ndarray, np.ndarray, Derivative, float]:
    """Steps, errors of forward, central and extrapolated differences, and the Derivative that the checker takes."""
    layer, x = _layer(dtype, activation, kink)
    target = Target(layer, {"x": x})
    outputs = target.outputs()
    target.draw_cotangents(outputs)
    cotangent, start = flat(target.cotangents), target.vector()
    weight = target.arrays["weight"]
    exact = float(_exact(target, layer, x))
    line = coordinate_line(target, weight, (0, 0))
    lowest = -44 if dtype == "float64" else -22
    steps = 2.0 ** np.arange(lowest, 2)
    eps = float(np.finfo(dtype).eps)
    curves = []
    for h in steps:
        rows = Differences(line, start, cotangent, eps)
        for factor in (4.0, 2.0, 1.0):
            rows.add(factor * h)
        up, moved_up, down, moved_down = rows.rows[h]
        if up is None or down is None:
            curves.append([np.nan] * 3)
        else:
            curves.append([up / moved_up, (up - down) / (moved_up + moved_down), _richardson(rows, h)])
    scale = abs(exact)
    found = differentiate(Differences(line, start, cotangent, eps), rms(weight), exact, np.sqrt(eps), 0.0)
    errors = np.maximum(np.abs(np.array(curves).T - exact) / scale, TINY)
    return steps, errors, found, max(abs(found.value - exact) / scale, TINY)


def _exact(target, layer, x):
    """The derivative in float64, from the formula and not from the layer."""
    x, w, b = (np.asarray(v, dtype=np.float64) for v in (x, layer.parameters["weight"], layer.parameters["bias"]))
    a = x @ w + b
    slope = 1.0 - np.tanh(a) ** 2 if layer.activation == "tanh" else a > 0
    return np.sum((np.asarray(target.cotangents[0], dtype=np.float64) * slope)[:, 0] * x[:, 0])


def _richardson(rows, h):
    table = [(u - d) / (a + b) for u, a, d, b in (rows.rows[f * h] for f in (4.0, 2.0, 1.0))]
    first = [(4.0 * table[1] - table[0]) / 3.0, (4.0 * table[2] - table[1]) / 3.0]
    return (16.0 * first[1] - first[0]) / 15.0


def draw_steps(path=None):
    """Three panels: float64, float32, and float64 beside a kink. Returns the figure, written to a path if given."""
    path = style.check_path(path)
    title = "The derivative of a dense layer with respect to one weight: error against the step of the difference"
    text = (
        "Large steps truncate, small ones round; the extrapolation of steps 4h, 2h, h has its best place at larger h. "
        "The dot is what the checker takes: its last step and its error."
    )
    figure = style.new_figure(style.WIDTH, 3.7, title, text)
    panels = figure.subplots(1, 3)
    cases = (("tanh", "float64", None), ("tanh", "float32", None), ("relu", "float64", 1e-5))
    for axes, (activation, dtype, kink) in zip(panels, cases, strict=True):
        name = f"{activation}, {dtype}" + ("" if kink is None else ", a kink at 1e-5")
        _panel(axes, name, kink, axes is panels[0], *_curves(dtype, activation, kink))
    return style.finish(figure, path)


def _panel(axes, name, kink, first, steps, errors, found, error):
    style.style_axes(axes, name, xlabel="step h", ylabel="relative error" if first else None)
    axes.set(xscale="log", yscale="log", ylim=(3e-18, 30))
    for curve, (label, colour) in zip(errors, CURVES.items(), strict=True):
        axes.plot(steps, curve, color=colour, linewidth=1.2, label=label)
    axes.plot([found.step], [error], "o", color=style.INK, markersize=6, zorder=5, label="taken")
    axes.axvline(1e-6, color=style.MUTED, linewidth=0.8, linestyle=":")
    note = {"fontsize": style.SMALL, "rotation": 90, "va": "bottom"}
    axes.annotate("1e-6, torch's", (1e-6, 6e-18), color=style.MUTED, ha="right", **note)
    if kink is not None:
        axes.axvline(kink, color=style.INK, linewidth=0.8, linestyle="--")
        axes.annotate("the kink", (kink, 6e-18), color=style.INK, ha="left", **note)
    if first:
        axes.legend(fontsize=style.TICK, frameon=False, loc="lower left")
