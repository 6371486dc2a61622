"""Images in rows, grey or in colour: samples of the model, and originals above their reconstructions."""

import math
import os
from typing import TYPE_CHECKING

import numpy as np

from . import checks
from .style import DPI, INK, MARGIN, MUTED, SMALL, TICK, axes_at, check_path, finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEPARATOR = 205  # grey level of the lines between tiles
EDGE = round(MARGIN * DPI)
STRIP = 64  # rows of pixels that are drawn at once
BAR_HEIGHT = 46  # pixels below a sheet, for the scale of values that are not in [0, 1]
DIGIT = 8.7  # pixels, the width of a digit of the smallest text
LARGEST = 6000  # pixels, the side of a sheet that has numbers in it


def plot_samples(
    images: np.ndarray,
    image_shape: tuple[int, ...],
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = "Samples from the prior",
    subtitle: str | None = None,
) -> "Figure":
    """Tiles of images in a near-square grid.

    images : (n, h*w) or (n, h*w*3), means in [0, 1], or real values: then on one common scale from the 0.5th to the
        99.5th percentile, stated in a bar below. uint8 is read as 0..255.
    image_shape : (h, w), or (h, w, 3) for colours
    path : where to write the PNG, or None
    """
    tiles = checks.images("images", images, image_shape)
    path = check_path(path)
    count, height, width = tiles.shape[:3]
    columns = grid_columns(count, height, width)
    rows = -(-count // columns)
    limits = value_limits(tiles)
    scale = whole_scale(width, columns, min(1200, max(600, 130 * columns)), height * rows, 1200)
    sheet = mosaic(gray_levels(tiles, limits), columns, scale)
    figure, bottom = _sheet_figure(sheet, title, subtitle, limits)
    _show_sheet(figure, sheet, EDGE, bottom)
    return finish(figure, path)


def plot_reconstructions(
    originals: np.ndarray,
    reconstructions: np.ndarray,
    image_shape: tuple[int, ...],
    path: str | os.PathLike[str] | None = None,
    *,
    nll: np.ndarray | None = None,
    kl: np.ndarray | None = None,
    title: str = "Reconstructions",
    subtitle: str | None = None,
) -> "Figure":
    """Originals and, under each, its reconstruction (the mean of the decoder).

    originals, reconstructions : (n, h*w) or (n, h*w*3), on one common scale (see `plot_samples`)
    nll, kl : (n,), nats per example, written under each pair; either may be None
    """
    above = checks.images("originals", originals, image_shape)
    count, height, width = above.shape[:3]
    below = checks.images("reconstructions", reconstructions, image_shape, rows=count)
    nll, kl = checks.vector("nll", nll, count), checks.vector("kl", kl, count)
    path = check_path(path)
    parts = [(name, values) for name, values in (("nll", nll), ("KL", kl)) if values is not None]

    limits = value_limits(above, below)
    digits = max((len(f"{value:.1f}") for _, values in parts for value in values), default=0)
    columns, scale, fits = pair_layout(count, height, width, DIGIT * digits + 6, len(parts))
    if parts and not fits:
        parts, subtitle = [], f"{subtitle or ''}\n{count:,} pairs, too many to write their numbers".strip()
    rows = -(-count // columns)
    levels = [gray_levels(tiles, limits) for tiles in (above, below)]
    text = _text_height(len(parts))
    bands = []
    for row in range(rows):
        part = slice(row * columns, (row + 1) * columns)
        bands.append(np.concatenate([mosaic(tiles[part], columns, scale) for tiles in levels]))
    band_height, band_width = bands[0].shape[:2]
    pitch = band_height + text + 14
    sheet = np.full((pitch * rows - 14, band_width, 3), 255, np.uint8)
    for row, band in enumerate(bands):
        sheet[row * pitch : row * pitch + band_height] = band

    margin = 150
    figure, bottom = _sheet_figure(sheet, title, subtitle, limits, margin)
    axes = _show_sheet(figure, sheet, EDGE + margin, bottom)
    tile_height, tile_width = band_height / 2, band_width / columns
    for row in range(rows):
        top = row * pitch
        side = {"ha": "right", "va": "center", "color": INK}
        if tile_height > 18:  # else they would lie on each other
            axes.text(-10, top + tile_height / 2, "original", fontsize=TICK, **side)
            axes.text(-10, top + 1.5 * tile_height, "reconstruction", fontsize=TICK, **side)
        else:
            axes.text(-10, top + tile_height, "pairs", fontsize=TICK, **side)
        for line, (name, values) in enumerate(parts):
            y = top + band_height + 14 + 18 * line
            axes.text(-10, y, f"{name}, nats", fontsize=SMALL, **side)
            for column, value in enumerate(values[row * columns : (row + 1) * columns]):
                x = (column + 0.5) * tile_width
                axes.text(x, y, f"{value:.1f}", fontsize=SMALL, color=MUTED, ha="center", va="center")
    return finish(figure, path)


def pair_layout(count, height, width, room, lines):
    """Columns and scale of pairs of images with lines of text below each, and whether the text fits.

    Some ten columns; where tiles were then narrower than `room`, what the text takes, a sheet that is near a square.
    """
    most = min(count, max(1, round(10 * min(2.0, math.sqrt(height / width)))))
    rows = -(-count // most)
    columns = -(-count // rows)
    # Wide images get wider tiles: they would be too flat to see.
    most_width = min(1200, max(360, 120 * columns * math.sqrt(max(1.0, width / height))))
    scale = whole_scale(width, columns, most_width, 2 * height * rows, 2400)
    if scale * width >= max(room, 28):
        return columns, scale, True
    scale = max(room, 28) / width
    scale = math.ceil(scale) if scale > 1 else scale
    wide, tall = scale * width + 2, 2 * scale * height + _text_height(lines) + 14
    columns = grid_columns(count, tall, wide)
    if max(columns * wide, -(-count // columns) * tall) <= LARGEST:
        return columns, scale, True
    columns = grid_columns(count, 2 * height, width)
    return columns, whole_scale(width, columns, 2400, 2 * height * -(-count // columns), 2400), False


def _text_height(lines):
    return 18 * lines + 8 if lines else 0


def grid_columns(count, height, width):
    """Columns of the grid that is nearest to a square on the page and leaves few cells empty."""

    def cost(columns):
        rows = -(-count // columns)
        return abs(math.log(columns * width / (rows * height))) + (rows * columns - count) / count

    return min(range(1, count + 1), key=cost)


def value_limits(*arrays):
    """(0, 1) where all values lie in it; otherwise the 0.5th and 99.5th percentile of all values together."""
    if all(array.min() >= -1e-6 and array.max() <= 1 + 1e-6 for array in arrays):
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(np.concatenate([array.ravel() for array in arrays]), (0.5, 99.5)))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def gray_levels(tiles, limits):
    """Values as levels of grey or of a colour, uint8: `limits[0]` and below black, `limits[1]` and above white."""
    low, high = limits
    return np.rint(np.clip((tiles - low) * (255 / (high - low)), 0, 255)).astype(np.uint8)


def whole_scale(width, columns, most_width, total_height, most_height):
    """Pixels of the file per picture element: whole, so that no tile is blurred; below one only for large images."""
    room = min(most_width / (width * columns), most_height / total_height)
    return max(1, math.floor(room)) if room >= 1 else room


def mosaic(levels, columns, scale, gap=2):
    """Levels (n, h, w), grey, or (n, h, w, 3) as one RGB sheet, row by row, with separators of `gap` pixels around each
    tile."""
    if levels.ndim == 3:
        levels = levels[..., None]
    count, height, width, colours = levels.shape
    if scale >= 1:
        levels = levels.repeat(scale, axis=1).repeat(scale, axis=2)
    else:
        down = min(math.ceil(1 / scale), height, width)
        high, wide = height // down, width // down
        blocks = levels[:, : high * down, : wide * down].reshape(count, high, down, wide, down, colours)
        levels = blocks.mean(axis=(2, 4)).astype(np.uint8)
    count, height, width = levels.shape[:3]
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for index, tile in enumerate(levels):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        sheet[top : top + height + 2 * gap, left : left + width + 2 * gap] = SEPARATOR
        sheet[top + gap : top + gap + height, left + gap : left + gap + width] = tile
    return sheet


def _sheet_figure(sheet, title, subtitle, limits, margin=0):
    """A figure that fits the sheet pixel for pixel; returns it and the height of the sheet's lower edge."""
    height, width = sheet.shape[:2]
    bar = 0 if limits == (0.0, 1.0) else BAR_HEIGHT
    page = max(width + margin + 2 * EDGE, 480)
    figure = new_figure(page / DPI, (height + bar + EDGE) / DPI, title, subtitle, constrained=False)
    if bar:
        axes = axes_at(figure, EDGE + margin + 4, EDGE + 8, 160, 14)
        axes.set_axis_off()
        axes.imshow(np.linspace(0, 1, 160)[None], cmap="gray", aspect="auto", vmin=0, vmax=1)
        style = {"transform": axes.transAxes, "fontsize": SMALL, "color": MUTED, "va": "center"}
        low, high = (f"{limit:.3g}" for limit in limits)
        axes.text(1.04, 0.5, f"black {low} to white {high} (percentiles 0.5 and 99.5)", **style)
    return figure, EDGE + bar


def _show_sheet(figure, sheet, left, bottom):
    height, width = sheet.shape[:2]
    axes = axes_at(figure, left, bottom, width, height)
    axes.set_axis_off()
    # matplotlib takes a hundred bytes for a pixel of an image while it draws that image: strips keep this small
    for top in range(0, height, STRIP):
        strip = sheet[top : top + STRIP]
        axes.imshow(strip, extent=(0, width, top + len(strip), top), interpolation="none", aspect="auto")
    axes.set(xlim=(0, width), ylim=(height, 0))
    return axes
