"""The curves of a training run."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import expect
from . import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TERMS = ("loss", "nll", "kl")
EXTRAS = {
    "active_units": "active latents",
    "beta": "beta, the weight of the KL",
    "learning_rate": "learning rate",
    "examples_per_second": "examples per second",
}


def plot_history(
    history: Mapping[str, Sequence[float | None]],
    path: str | os.PathLike[str] | None = None,
    *,
    beta: float = 1.0,
    loss: str | None = None,
    title: str = "Training",
    subtitle: str | None = None,
) -> "Figure":
    """Loss and its two terms against the epoch, in nats per example; below, what else varied.

    history : dict of equally long lists: "epoch", "train_loss", "train_nll", "train_kl", and where known
        "validation_loss", "validation_nll", "validation_kl" (None or nan where not measured), "learning_rate",
        "examples_per_second", "active_units", "beta"
    beta : weight of the KL in the loss; a "beta" column in the history takes its place
    loss : what the loss is, for its panel, where it is not nll + beta KL

    First epochs that would squash the rest are left out of the frame, and the picture says so.
    """
    columns = _columns(history)
    path = style.check_path(path)
    varied, constant = _extras(columns)
    names = _names(None if "beta" in varied else constant.pop("beta", beta), loss)
    best = _lowest_before_the_end(columns)
    subtitle = subtitle or ", ".join(_facts(columns, constant, best))

    main, strip = 2.9, 1.35
    figure = upper = style.new_figure(style.WIDTH, main + (strip if varied else 0), title, subtitle)
    if varied:
        upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=(main, strip))[:, 0]
        for axes, name in zip(lower.subplots(1, len(varied), squeeze=False)[0], varied, strict=True):
            _strip(axes, columns["epoch"], columns[name], EXTRAS[name])
    panels = upper.subplots(1, 3)
    for axes, term in zip(panels, TERMS, strict=True):
        _panel(axes, columns, term, names[term])
    if best is not None:
        ring = {"markersize": 8, "markerfacecolor": "none", "markeredgecolor": style.VALIDATION, "zorder": 4}
        panels[0].plot(columns["epoch"][best], columns["validation_loss"][best], "o", **ring)
    return style.finish(figure, path)


def _extras(columns):
    """What else was measured, by name: what varied, and the value of what did not."""
    measured = {name: columns[name][np.isfinite(columns[name])] for name in EXTRAS if name in columns}
    varied = [name for name, seen in measured.items() if seen.size and np.ptp(seen) > 0]
    return varied, {name: float(seen[-1]) for name, seen in measured.items() if seen.size and name not in varied}


def _names(beta, loss):
    """The panels' titles; beta is None where it varied."""
    weight = "beta " if beta is None else "" if beta == 1 else f"{beta:g} "
    formula = f"Loss = nll + {weight}KL" + (" (negative ELBO)" if beta == 1 else "")
    return {"loss": formula if loss is None else loss, "nll": "Reconstruction, nll", "kl": "KL(q || prior)"}


def _lowest_before_the_end(columns):
    """The place of the lowest validation loss, or None where that is the last epoch or there is none."""
    values = columns.get("validation_loss")
    best = None if values is None or np.isnan(values).all() else int(np.nanargmin(values))
    return None if best == len(columns["epoch"]) - 1 else best


def _facts(columns, constant, best):
    epochs = columns["epoch"]
    span = f"epoch {epochs[0]:g}" if len(epochs) == 1 else f"epochs {epochs[0]:g}{style.DASH}{epochs[-1]:g}"
    yield f"Nats per example, {span}"
    yield from (f"{EXTRAS[name]} {_plain(value)}" for name, value in constant.items())
    if best is not None:
        lowest = style.number(columns["validation_loss"][best])
        yield f"lowest validation loss {lowest} at epoch {epochs[best]:g} (ring)"


def frame(series):
    """(low, high): limits of the y axis.

    All epochs where that reads well; where the first twentieth (one epoch at least) would more than double the range,
    the limits come from the epochs after it.
    """
    table = np.array(series)
    first = max(1, round(0.05 * table.shape[1]))

    def reach(part):
        seen = part[np.isfinite(part)]
        return (float(seen.min()), float(seen.max())) if seen.size else None

    whole, tail = reach(table), reach(table[:, first:])
    if whole is None:
        return 0.0, 1.0
    if table.shape[1] < 4 or tail is None or whole[1] - whole[0] <= 2 * (tail[1] - tail[0]) or tail[0] == tail[1]:
        tail = whole
    pad = 0.06 * (tail[1] - tail[0]) or max(0.5, 0.02 * abs(tail[0]))
    return tail[0] - pad, tail[1] + pad


def _panel(axes, columns, term, title):
    epochs, validation = columns["epoch"], columns.get(f"validation_{term}")
    series = [(columns[f"train_{term}"], "train", style.TRAIN)]
    if validation is not None and np.isfinite(validation).any():
        series.append((validation, "validation", style.VALIDATION))
    from matplotlib.ticker import MaxNLocator

    low, high = frame([values for values, _, _ in series])
    style.style_axes(axes, title, xlabel="epoch", ylabel="nats per example" if term == "loss" else None)
    _epoch_axis(axes, epochs)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
    ends = []
    for values, name, colour in series:
        seen = np.flatnonzero(np.isfinite(values))
        if not seen.size:
            axes.text(0.5, 0.5, f"{name}: no finite value", transform=axes.transAxes, ha="center", fontsize=style.TICK)
            continue
        # Where validation ran in some epochs only, the line joins those: each measurement is a marker.
        every = 1 if seen.size <= 25 else [-1]
        look = {"linewidth": 1.5, "marker": "o", "markersize": 3.5, "markevery": every, "zorder": 3}
        axes.plot(epochs[seen], values[seen], color=colour, **look)
        ends.append((values[seen[-1]], f"{name}\n{style.number(values[seen[-1]])}", colour))
    style.end_labels(axes, ends, 0.15)
    _clipped(axes, epochs, series, low, high)


def _clipped(axes, epochs, series, low, high):
    """Say which epochs lie outside the frame, and how far, in the corner that least of the curves lies in."""
    lines = []
    for sign, edge in ((1, high), (-1, low)):
        notes = []
        for values, name, _ in series:
            out = np.flatnonzero(np.nan_to_num(sign * (values - edge), nan=-1.0) > 0)
            if out.size:
                which = f"epoch {epochs[out[0]]:g}" if out.size == 1 else f"{out.size} epochs"
                extreme = sign * np.max(sign * values[out])
                way = "" if out.size == 1 else "up to " if sign > 0 else "down to "
                notes.append(f"{name}, {which}: {way}{style.number(extreme)}")
        if notes:
            lines += ["above the frame:" if sign > 0 else "below the frame:", *notes]
    if not lines:
        return
    across = np.linspace(0, 1, 400)
    x = epochs[0] + across * (epochs[-1] - epochs[0])
    seen = [np.isfinite(values) for values, _, _ in series]
    curves = [np.interp(x, epochs[s], values[s]) for s, (values, _, _) in zip(seen, series, strict=True) if s.any()]
    up, tall = (np.array(curves) - low) / (high - low), 0.05 + 0.06 * len(lines)

    def crossed(corner):
        beside = across < 0.7 if corner[0] == "left" else across > 0.3
        within = (up > 1 - tall) & (up <= 1) if corner[1] == "top" else (up < tall) & (up >= 0)
        return np.count_nonzero(within & beside)

    side, end = min([(side, end) for end in ("top", "bottom") for side in ("right", "left")], key=crossed)
    place = (0.02 if side == "left" else 0.98, 0.97 if end == "top" else 0.03)
    look = {"fontsize": style.SMALL, "color": style.MUTED, "linespacing": 1.3, "path_effects": style.halo()}
    axes.text(*place, "\n".join(lines), transform=axes.transAxes, ha=side, va=end, **look)


def _strip(axes, epochs, values, label):
    from matplotlib.ticker import MaxNLocator

    style.style_axes(axes, label)
    _epoch_axis(axes, epochs)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    seen = np.isfinite(values)
    look = {"linewidth": 1.2, "marker": "o" if len(epochs) <= 25 else None, "markersize": 2.5}
    axes.plot(epochs[seen], values[seen], color=style.MUTED, **look)
    axes.set_ylim(min(0.0, values[seen].min()), 1.15 * max(values[seen].max(), 0.0) or 1.0)
    style.end_labels(axes, [(values[seen][-1], _plain(values[seen][-1]), style.MUTED)], 0.0)


def _epoch_axis(axes, epochs):
    from matplotlib.ticker import FixedLocator, MaxNLocator

    if len(epochs) == 1:
        axes.set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
        axes.xaxis.set_major_locator(FixedLocator([epochs[0]]))
    else:
        space = 0.02 * (epochs[-1] - epochs[0])
        axes.set_xlim(epochs[0] - space, epochs[-1] + space)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10]))


def _plain(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _columns(history):
    required = ["epoch", *(f"train_{term}" for term in TERMS)]
    known = [*required, *(f"validation_{term}" for term in TERMS), *EXTRAS]
    missing = [name for name in required if name not in history]
    expect(not missing, "history", list(history), f"the columns {', '.join(required)}")
    columns = {}
    for name in known:
        if history.get(name) is None:
            continue
        try:
            values = np.array([math.nan if value is None else float(value) for value in history[name]])
        except (TypeError, ValueError):
            raise ValueError(f"history: got a column {name!r} with something else, expected numbers") from None
        columns[name] = np.where(np.isfinite(values), values, math.nan)
    lengths = {name: len(values) for name, values in columns.items()}
    expect(lengths["epoch"] and len(set(lengths.values())) == 1, "history", lengths, "columns of one length above 0")
    rises = np.isfinite(columns["epoch"]).all() and (np.diff(columns["epoch"]) > 0).all()
    expect(rises, "history", list(history["epoch"]), "a column 'epoch' that rises")
    return columns
