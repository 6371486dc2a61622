"""Walks through the latent space: what the decoder makes of points along a line, a row of the picture for each line."""

import math
import os
from typing import TYPE_CHECKING

import numpy as np

from ..errors import expect
from . import checks, style
from .images import EDGE, gray_levels, mosaic, value_limits, whole_scale
from .points import frame_limits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LETTER = 9.5  # pixels, the width of a letter of the names left of the rows
TICKS = 26  # pixels above the rows
BETWEEN = 52  # pixels, from the number of one step to that of the next, at least
APART = 14  # pixels between the originals and the walk


def plot_walks(
    decoded: np.ndarray,
    image_shape: tuple[int, int] | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    names: list[str],
    steps: list[str] | None = None,
    ends: np.ndarray | None = None,
    title: str = "Latent traversal",
    subtitle: str | None = None,
) -> "Figure":
    """One row for each walk: images from left to right; of other data, a panel with a line for each step.

    decoded : (walks, steps, features), decoder means, on one common scale (see `plot_samples`)
    image_shape : (h, w), or None for rows of numbers, drawn against the feature's index, and for points of the plane
    names : of the walks; steps : of the steps, or None
    ends : (walks, 2, features), the examples that a walk leads from and to, or None
    """
    decoded = np.asarray(decoded)
    expect(decoded.ndim == 3, "decoded", decoded, "(walks, steps, features)")
    walks, count, features = decoded.shape
    expect(len(names) == walks, "names", names, f"{walks}, one a walk")
    expect(steps is None or len(steps) == count, "steps", steps, f"{count}, one a step")
    if ends is not None:
        expect(np.shape(ends) == (walks, 2, features), "ends", np.asarray(ends), f"of shape ({walks}, 2, {features})")
    flat = decoded.reshape(walks * count, features)
    flat_ends = None if ends is None else np.asarray(ends).reshape(2 * walks, features)
    path = style.check_path(path)
    if image_shape is None:
        flat, ends = checks.matrix("decoded", flat), None if ends is None else checks.matrix("ends", flat_ends)
        figure = _lines(flat.reshape(decoded.shape), ends, names, steps, title, subtitle)
    else:
        tiles = checks.images("decoded", flat, image_shape)
        outer = None if ends is None else checks.images("ends", flat_ends, image_shape)
        figure = _images(tiles, outer, walks, names, steps, title, subtitle)
    return style.finish(figure, path)


def _images(tiles, ends, walks, names, steps, title, subtitle):
    """The sheet of images, with the originals at its sides where there are any."""
    count, (height, width) = len(tiles) // walks, tiles.shape[1:3]
    limits = value_limits(*(tiles, ends) if ends is not None else (tiles,))
    across = count if ends is None else count + 2
    scale = whole_scale(width, across, min(1300, max(600, 110 * across)), height * walks, 2400)
    if limits != (0.0, 1.0):
        scaled = f"black {limits[0]:.3g} to white {limits[1]:.3g} (percentiles 0.5 and 99.5)"
        subtitle = f"{subtitle or ''}\n{scaled}".strip()
    sheets = [mosaic(gray_levels(tiles, limits), count, scale)]
    if ends is not None:
        first, last = (mosaic(gray_levels(ends[side::2], limits), 1, scale) for side in (0, 1))
        sheets = [first, *sheets, last]
    tall, wide = len(sheets[0]), sum(sheet.shape[1] + APART for sheet in sheets) - APART
    margin = round(LETTER * max(map(len, names))) + 24
    size = max(wide + margin + 2 * EDGE, 480), tall + TICKS + EDGE
    figure = style.new_figure(size[0] / style.DPI, size[1] / style.DPI, title, subtitle, constrained=False)
    muted = {"fontsize": style.TICK, "color": style.MUTED, "ha": "center", "va": "center"}
    left, look = EDGE + margin, {"fontsize": style.TICK, "color": style.INK}
    for place, sheet in enumerate(sheets):
        axes = style.axes_at(figure, left, EDGE, sheet.shape[1], tall)
        axes.set_axis_off()
        axes.imshow(sheet, extent=(0, sheet.shape[1], tall, 0), interpolation="none", aspect="auto")
        axes.set(xlim=(0, sheet.shape[1]), ylim=(tall, 0))
        is_walk = place == len(sheets) // 2
        heads = steps or [] if is_walk else ["from" if place == 0 else "to"]
        pitch = sheet.shape[1] / max(1, len(heads))
        every = max(1, math.ceil(BETWEEN / pitch))
        for column, head in [*enumerate(heads)][::every]:
            axes.text((column + 0.5) * pitch, -TICKS / 2, head, **muted)
        for row, name in enumerate(names if place == 0 else ()):
            axes.text(-10, (row + 0.5) * tall / walks, name, ha="right", va="center", parse_math=False, **look)
        left += sheet.shape[1] + APART
    return figure


def _lines(decoded, ends, names, steps, title, subtitle):
    """Panels of lines, or of points of the plane, coloured by how far along the walk they are."""
    from matplotlib import colormaps

    walks, count, features = decoded.shape
    columns = min(walks, 3)
    rows = -(-walks // columns)
    plane = features == 2
    side = (style.WIDTH - 0.9) / 3
    tall = side if plane else 1.9
    figure = style.new_figure(columns * (side + 0.1) + 0.8, rows * tall + 0.3, title, subtitle)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    colours = colormaps[style.COLOUR_MAP](np.linspace(0, 0.92, count))
    dashes = {"linewidth": 1.1, "linestyle": (0, (2, 2))}
    for walk, axes in enumerate(grid):
        if walk >= walks:
            axes.set_axis_off()
            continue
        labels = ("feature 0", "feature 1") if plane else ("feature index", "feature value")
        below, first = walk + columns >= walks, walk % columns == 0
        style.style_axes(axes, names[walk], xlabel=labels[0] if below else None, ylabel=labels[1] if first else None)
        axes.tick_params(labelbottom=below)
        if plane:
            axes.plot(*decoded[walk].T, color=style.FAINT, linewidth=1.0)
            axes.scatter(*decoded[walk].T, color=colours, s=14, zorder=3)
        else:
            marker = {"marker": "o", "markersize": 2.5} if features <= 32 else {}
            for line, colour in zip(decoded[walk], colours, strict=True):
                axes.plot(np.arange(features), line, color=colour, linewidth=1.2, **marker)
        for side, end in enumerate(() if ends is None else ends[2 * walk : 2 * walk + 2]):
            if plane:
                axes.plot(*end, color=colours[-side], marker="x", markersize=7, markeredgewidth=1.6, zorder=4)
            else:
                axes.plot(np.arange(features), end, color=colours[-side], **dashes)
    if plane:
        low, high = frame_limits([decoded.reshape(-1, 2), *([] if ends is None else [ends])], flattest=0.6)
        grid[0].set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    _bar(figure, grid[:walks], steps)
    return figure


def _bar(figure, panels, steps):
    """What the colours mean: the first and the last step."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    mapping = ScalarMappable(Normalize(0, 1 / 0.92), style.COLOUR_MAP)
    bar = figure.colorbar(mapping, ax=list(panels), fraction=0.04, pad=0.01)
    bar.ax.set_ylim(0, 1)
    bar.set_ticks([0, 1], labels=[steps[0], steps[-1]] if steps else ["from", "to"])
    bar.ax.tick_params(labelsize=style.TICK, length=0)
    bar.outline.set_visible(False)
