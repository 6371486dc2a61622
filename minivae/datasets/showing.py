"""A data set in a notebook: its first images, the ranges of its values, its labels."""

import numpy as np

from ..files import html

IMAGES = 10
TALL = 56  # pixels, of an image
ROWS = 10_000  # that ranges are taken from: what is mapped from a file may be larger than memory
CLASSES = 20  # that are told one by one


def page(data) -> str:
    """HTML of a `Dataset`."""
    parts = {name: (getattr(data, name), getattr(data, f"{name}_labels")) for name in ("train", "test")}
    columns = ("part", "rows", "features", "dtype", "least", "largest", "mean")
    table = html.table(columns, [_ranges(name, rows) for name, (rows, _) in parts.items()], "lrrlr")
    shown = [html.heading(data.name), data.source, table]
    if any(len(rows) > ROWS for rows, _ in parts.values()):
        shown.append(html.text(f"values of the first {ROWS:,} rows of each part"))
    if data.image_shape:
        apart = -(-max(data.image_shape) // (2 * TALL))  # of a large picture every so many pixels: a page stays small
        images = data.train[:IMAGES].reshape(-1, *data.image_shape)[:, ::apart, ::apart]
        shown.append(html.Markup(f"<p>{html.picture(np.concatenate(_bytes(images), axis=1), TALL)}</p>"))
    told = {name: labels for name, (_, labels) in parts.items() if labels is not None}
    return html.block(*shown, *(_labels(name, labels) for name, labels in told.items()))


def _ranges(name, rows):
    seen = rows[:ROWS]
    values = (float(value) for value in (seen.min(), seen.max(), seen.mean(dtype=np.float64)))
    sizes = (html.number(size) for size in rows.shape)
    return (name, *sizes, rows.dtype, *map(html.number, values))


def _bytes(images):
    """uint8 pixels; other numbers than bytes from black at the least to white at the largest, [0, 1] as it is."""
    if images.dtype == np.uint8:
        return images
    low, high = min(0.0, float(images.min())), max(1.0, float(images.max()))
    return np.rint((images / (high - low) - low / (high - low)) * 255).astype(np.uint8)


def _labels(name, labels):
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) > CLASSES:
        return html.heading(f"{name} labels: {len(classes):,} values, {classes[0]} to {classes[-1]}")
    head = (f"{name} labels", *classes)
    return html.table(head, [("rows", *map(html.number, counts.tolist()))], "lr")
