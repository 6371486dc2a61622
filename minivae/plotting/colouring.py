"""Points coloured by class, by number, or by their density."""

import colorsys
from typing import Any

import numpy as np

from .style import CLASS_COLOURS, COLOUR_MAP, INK, PANEL, SINGLE, SMALL, TICK

MOST_CLASSES = 100  # that can be told apart by the names on their discs
LONGEST_NAME = 4  # characters on a disc
KEY_ROWS = 13  # classes in a key beside a panel


def classes_of(labels) -> Any:
    """The distinct labels where they are whole numbers, not too many and not too long, else None: they are read from a
    colour map."""
    if labels is None:
        return None
    distinct = np.unique(labels)
    few = distinct.size <= MOST_CLASSES and np.all(distinct == np.rint(distinct))
    return distinct if few and all(len(f"{value:.0f}") <= LONGEST_NAME for value in distinct) else None


def class_colours(classes):
    """A colour per class; digits keep their colours when some of them are missing.

    Of more than ten classes those that follow one another differ the most; their names tell the others apart.
    """
    if len(classes) > len(CLASS_COLOURS):
        hues = [(0.618034 * place % 1, (0.45, 0.62, 0.32)[place % 3], 0.65) for place in range(len(classes))]
        return ["#" + "".join(f"{round(255 * part):02x}" for part in colorsys.hls_to_rgb(*hue)) for hue in hues]
    own = classes.min() >= 0 and classes.max() < len(CLASS_COLOURS)
    return [CLASS_COLOURS[int(value) if own else place] for place, value in enumerate(classes)]


def scatter(axes, points, labels=None, *, by_density=True):
    """Points (n, 2) on the axes; returns the mappable whose colour bar explains them, or None."""
    # A fixed shuffle: where the rows come sorted by class, the last class would cover the others.
    order = np.random.default_rng(0).permutation(len(points))
    points = points[order]
    style = {"s": float(np.clip(9000 / len(points), 2.5, 28)), "linewidths": 0, "rasterized": True}
    style["alpha"] = 0.9 if len(points) < 1000 else 0.65
    x, y = points.T
    if labels is None:
        if by_density and len(points) >= 500:
            axes.scatter(x, y, c=density(points), cmap=COLOUR_MAP, **style)
        else:
            axes.scatter(x, y, color=SINGLE, **style)
    elif (classes := classes_of(labels)) is None:
        return axes.scatter(x, y, c=labels[order], cmap=COLOUR_MAP, **style)
    else:
        colours = np.array(class_colours(classes))
        axes.scatter(x, y, c=colours[np.searchsorted(classes, labels[order])], **style)
    return None


def name_classes(axes, points, labels, classes, low, high):
    """Each class's label, on a disc of its colour, at the median of its points; discs keep apart, the smaller the more
    there are, and within the frame, whose corners are `low` and `high`.
    """
    low, high = np.array(low), np.array(high)
    places = np.array([np.median(points[labels == value], axis=0) for value in classes])
    size, pad, edge, gap = (PANEL, 0.22, 1.4, 0.115) if len(classes) <= len(CLASS_COLOURS) else (SMALL, 0.12, 0.8, 0.08)
    gap *= (high - low).max() / 2
    size *= min(1.0, 2.6 / max(len(f"{value:.0f}") for value in classes))  # a long name takes no more room
    places = apart(places, gap, low + gap / 2, high - gap / 2)
    for value, (x, y), colour in zip(classes, places, class_colours(classes), strict=True):
        disc = {"boxstyle": f"circle,pad={pad}", "facecolor": colour, "edgecolor": "white", "linewidth": edge}
        style = {"fontsize": size, "weight": "bold", "color": "white" if _luminance(colour) < 0.3 else INK}
        axes.text(x, y, f"{value:.0f}", ha="center", va="center", zorder=6, bbox=disc, **style)


def apart(places, gap, low=-np.inf, high=np.inf):
    """Points (n, 2), n small, pushed away from one another until they are `gap` apart, between `low` and `high`."""
    # Points that coincide, as at an edge, need some direction to part in: a tiny turn for each.
    turn = np.arange(len(places)) * 2.4
    turn = 1e-6 * gap * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    places = np.clip(places, low, high) + turn
    for _ in range(200):
        away = places[:, None] - places[None]
        distance = np.hypot(*away.transpose(2, 0, 1))
        np.fill_diagonal(distance, np.inf)
        lack = np.maximum(0.0, 1.001 * gap - distance)
        if not lack.any():
            break
        places = np.clip(places + 0.5 * (away * (lack / distance)[..., None]).sum(axis=1), low, high) + turn
    return places


def key(figure, axes, labels, mappable):
    """To the right of the axes: the classes in their colours, the colour bar of a continuous label, or nothing where
    classes are too many for a key, and named elsewhere.
    """
    if (classes := classes_of(labels)) is None:
        bar = figure.colorbar(mappable, ax=axes, fraction=0.05, pad=0.02)
        bar.set_label("label", fontsize=TICK, color=INK)
        bar.ax.tick_params(labelsize=TICK)
        bar.solids.set_alpha(1)
        bar.outline.set_visible(False)
        return
    if len(classes) > KEY_ROWS:
        return
    for place, (value, colour) in enumerate(zip(classes, class_colours(classes), strict=True)):
        y = 0.97 - 0.075 * place
        axes.plot([1.06], [y], marker="o", markersize=6, color=colour, transform=axes.transAxes, clip_on=False)
        axes.text(1.10, y, f"{value:g}", transform=axes.transAxes, fontsize=TICK, color=INK, va="center")


def inset_bar(axes, mappable):
    """A small colour bar in the lower right corner of the axes."""
    inner = axes.inset_axes((0.66, 0.075, 0.31, 0.022))
    bar = axes.figure.colorbar(mappable, cax=inner, orientation="horizontal")
    bar.solids.set_alpha(1)
    bar.outline.set_visible(False)
    inner.set_title("label", fontsize=TICK, color=INK, pad=3)
    inner.tick_params(labelsize=SMALL, length=2)
    inner.xaxis.get_offset_text().set_fontsize(SMALL)


def _luminance(colour):
    """Relative luminance (WCAG 2) of "#rrggbb", in [0, 1]."""
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def density(points, bins=64):
    """Log density at each point, from a smoothed two-dimensional histogram, (n,)."""
    cells = []
    for values in points.T:
        low, high = values.min(), values.max()
        width = (high - low) or 1.0
        cells.append(np.minimum(((values - low) * (bins / width)).astype(int), bins - 1))
    counts = np.zeros((bins, bins))
    np.add.at(counts, tuple(cells), 1.0)
    kernel = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    for axis in (0, 1):
        counts = np.apply_along_axis(np.convolve, axis, counts, kernel, "same")
    return np.log(counts[tuple(cells)])
