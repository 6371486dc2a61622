"""Data that is not an image: points of the plane, and rows of numbers as profiles."""

import os
from typing import TYPE_CHECKING

import numpy as np

from ..errors import expect
from . import checks, style
from .colouring import KEY_ROWS, classes_of, inset_bar, key, name_classes, scatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PROFILES = 30


def plot_points(
    data: np.ndarray | None = None,
    reconstructions: np.ndarray | None = None,
    samples: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    ax: "Axes | None" = None,
    title: str | None = None,
    subtitle: str | None = None,
) -> "Figure":
    """Points of the plane, side by side in panels of the same limits, and of equal scale but for features in units that
    are far apart.

    data : (n, 2), or None for the samples alone; reconstructions : (n, 2), coloured as the data; samples : (m, 2), in
        one colour
    labels : (n,), classes (up to a hundred) or numbers; None colours by density
    ax : as of `plot_samples`; for one set of points
    """
    panels: list[tuple[str, np.ndarray, np.ndarray | None]] = []
    if data is not None or reconstructions is not None or samples is None:
        data = checks.matrix("data", data, columns=2)
        labels = checks.vector("labels", labels, len(data))
        panels.append(("data", data, labels))
    if reconstructions is not None:
        reconstructions = checks.matrix("reconstructions", reconstructions, rows=len(panels[0][1]), columns=2)
        panels.append(("reconstructions", reconstructions, labels))
    if samples is not None:
        panels.append(("samples from the prior", checks.matrix("samples", samples, columns=2), None))
    style.check_axes(ax, path, len(panels))
    path = style.check_path(path)
    if title is None:
        title = ", ".join(name for name, _, _ in panels).capitalize()

    low, high, aspect = frame([points for _, points, _ in panels], flattest=0.6)
    sides = (high - low) / (high - low).max() if aspect == "equal" else np.ones(2)
    wide, tall = sides * (style.WIDTH - 0.6) / 3
    key_width = 0.5 if labels is None else 1.0
    if ax is None:
        figure = style.new_figure(len(panels) * (wide + 0.15) + key_width, tall + 0.8, title, subtitle)
        grid = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    else:
        grid = [ax]
    mappings = []
    for axes, (name, points, colours) in zip(grid, panels, strict=True):
        ylabel = "feature 1" if axes is grid[0] else None
        style.style_axes(axes, f"{name} ({len(points):,})", xlabel="feature 0", ylabel=ylabel)
        mappings.append(scatter(axes, points, colours, by_density=labels is None))
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect=aspect)
        outside = int(np.count_nonzero(((points < low) | (points > high)).any(axis=1)))
        if outside:
            look = {"fontsize": style.SMALL, "color": style.MUTED, "ha": "right"}
            axes.text(0.98, 0.02, f"{outside} outside the frame", transform=axes.transAxes, **look)
    classes = classes_of(labels)
    if classes is not None and (ax is not None or len(classes) > KEY_ROWS):  # beside the caller's axes there is no room
        name_classes(grid[0], data, labels, classes, low, high)
    if ax is not None:
        if labels is not None and classes is None:
            inset_bar(ax, mappings[0])
        return style.head_axes(ax, title, subtitle)
    if labels is not None:
        key(figure, grid[-1], labels, mappings[0])
    return style.finish(figure, path)


def plot_profiles(
    originals: np.ndarray,
    reconstructions: np.ndarray | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    ax: "Axes | None" = None,
    nll: np.ndarray | None = None,
    title: str = "Reconstructions",
    subtitle: str | None = None,
) -> "Figure":
    """Feature value against feature index for each example, original against reconstruction where there is one.

    originals, reconstructions : (n, features), at most 30 rows, all panels on one scale
    nll : (n,), nats per example, written above each panel
    ax : as of `plot_samples`; for one row
    """
    originals = checks.matrix("originals", originals)
    shape = {"rows": len(originals), "columns": originals.shape[1]}
    if reconstructions is not None:
        reconstructions = checks.matrix("reconstructions", reconstructions, **shape)
    nll = checks.vector("nll", nll, len(originals))
    count, features = originals.shape
    style.check_axes(ax, path, count)
    path = style.check_path(path)
    expect(count <= MOST_PROFILES, "originals", f"{count} rows", f"at most {MOST_PROFILES}, a panel each")
    columns = min(count, 3)
    rows = -(-count // columns)
    if ax is None:
        figure = style.new_figure(3.4 * columns, 1.9 * rows + 0.25, title, subtitle)
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    else:
        grid = [ax]
    marker = {"marker": "o", "markersize": 3} if features <= 32 else {}
    index, name = np.arange(features), "sample" if reconstructions is None else "example"
    for example, axes in enumerate(grid):
        if example >= count:
            axes.set_axis_off()
            continue
        heading = f"{name} {example}" + ("" if nll is None else f": nll {style.number(nll[example])} nats")
        last_row, first_column = example + columns >= count, example % columns == 0
        xlabel, ylabel = "feature index" if last_row else None, "feature value" if first_column else None
        style.style_axes(axes, heading, xlabel=xlabel, ylabel=ylabel)
        axes.plot(index, originals[example], color=style.TRAIN, linewidth=1.6, **marker)
        if reconstructions is not None:
            axes.plot(index, reconstructions[example], color=style.VALIDATION, linewidth=1.0, **marker)
        # The grid below hides its inner tick labels, so the last row has to show them also where a column ends early.
        axes.tick_params(labelbottom=last_row)
    if reconstructions is not None:
        last = columns - 1
        original, reconstruction = originals[last, -1], reconstructions[last, -1]
        ends = (original, "original", style.TRAIN), (reconstruction, "reconstruction", style.VALIDATION)
        style.end_labels(grid[last], ends, 0.13)
    return style.finish(figure, path) if ax is None else style.head_axes(ax, title, subtitle)


def frame(clouds, flattest=1.0):
    """`frame_limits` and an aspect: "equal", or "auto" where one feature varies ten times as much as the other, as
    features in different units do."""
    low, high = frame_limits(clouds, flattest=0.0)
    if 0 < 10 * (high - low).min() < (high - low).max():
        return low, high, "auto"
    return *frame_limits(clouds, flattest), "equal"


def frame_limits(clouds, flattest=1.0):
    """Lower and upper corner of a frame around all points of all clouds, far outliers aside.

    The shorter side is at least `flattest` times the longer: 1 gives a square.
    """
    points = np.concatenate(clouds).astype(np.float64)
    inner = np.percentile(points, (0.1, 99.9), axis=0)
    inner += np.outer((-0.2, 0.2), np.ptp(inner, axis=0))
    low, high = points.min(axis=0), points.max(axis=0)
    # Outliers are cut only where they would squash the rest.
    squash = (high - low) > 1.2 * (inner[1] - inner[0])
    low, high = np.where(squash, inner[0], low), np.where(squash, inner[1], high)
    centre = (low + high) / 2
    half = 0.54 * (high - low)
    if half.max() > 0:
        half = np.maximum(half, flattest * half.max())
    else:
        half = np.full(2, 0.5 * max(1.0, np.abs(centre).max()))
    return centre - half, centre + half
