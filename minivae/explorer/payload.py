"""What of a model and its data goes into the page: parameters, some held-out examples, many posterior means. A page
has room for some megabytes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..datasets.values import check_labels, number_labels
from ..errors import as_array, expect
from ..evaluation.held_out import Pages
from ..kernels import load_backend
from .encoding import encoded, encoded_values, named
from .live import live, why_not

EXAMPLES = 60  # at most: what a strip of them still shows
POINTS = 2000  # at most, in a plane
MOST_VALUES = 1 << 18  # bytes of the examples, and of the points
MOST_ENCODED = 1 << 24  # values that the points are the means of
MOST_NUMBERED = 40  # classes that are told by their numbers; others get names


class Examples(NamedTuple):
    """Data as they were given: x (n, features), labels (n,) or None, the names of classes and columns or None."""

    name: str
    x: np.ndarray
    labels: np.ndarray | None
    classes: Sequence[str] | None
    columns: Sequence[str] | None
    shape: Sequence[int] | None


def payload(model: Any, data: Examples, name: str, pixels: str = "grey", seed: int = 0) -> dict[str, Any]:
    """The whole of it, ready for `page.render`; ValueError for data that do not suit the model."""
    x = model.as_data("data", data.x, pixels)
    numbers, classes = _numbered(data.labels, data.classes)
    most = min(_count(model.latent, POINTS, MOST_VALUES // 4), _count(model.features, POINTS, MOST_ENCODED))
    spread = np.unique(np.linspace(0, len(x) - 1, min(len(x), most), dtype=int))
    itemsize = 1 if x.dtype == np.uint8 or pixels != "grey" else 4
    index = _examples(spread, numbers, _count(model.features, EXAMPLES, MOST_VALUES // itemsize))
    values = _values(x, np.union1d(spread, index), pixels, seed)
    shown, seen = (np.stack([values[row] for row in rows]) for rows in (index, spread))
    kind = "image" if data.shape else "plane" if model.features == 2 else "profile"
    reason = why_not(model)
    low, high = (0.0, 1.0) if _within_unit(seen) else (float(seen.min()), float(seen.max()))
    return {
        "name": named(name),
        "beta": float(model.beta),
        "seed": seed if seed < 1 << 53 else str(seed),  # more than a number of JSON holds
        "model": None if reason else live(model),
        "reason": reason,
        "data": {
            "name": named(data.name),
            "kind": kind,
            "shape": data.shape and [int(side) for side in data.shape],
            "columns": data.columns and [named(column) for column in data.columns],
            "classes": classes and [named(label) for label in classes],
            "pixels": pixels,
            "held_out": len(x),
            "rows": len(index),
            "x": encoded_values(shown),
            "index": encoded(index.astype(np.int32)),
            "labels": None if numbers is None else encoded(numbers[index].astype(np.int32)),
            "low": low,
            "high": high if high > low else low + 1.0,
            "points": _points(model, seen, numbers, spread, kind, reason),
        },
    }


def _count(width, most, room):
    return max(1, min(most, room // width))


# Data


def _values(x, rows, pixels, seed):
    """From each of the rows to its values as the model evaluates them, float32."""
    if pixels == "grey":
        picked = x[rows]
        floats = np.divide(picked, 255, dtype=np.float32) if x.dtype == np.uint8 else picked.astype(np.float32)
        return dict(zip(rows.tolist(), floats, strict=True))
    values: dict[int, np.ndarray] = {}
    wanted = set(rows.tolist())
    for first, page in Pages(load_backend("numpy"), x, "float32", pixels, seed)(0):
        values |= {row: page[row - first].copy() for row in wanted.intersection(range(first, first + len(page)))}
    return values


def _within_unit(values):
    return bool(values.min() >= 0 and values.max() <= 1)


def _numbered(labels, classes):
    """Labels as numbers from 0, and the names of these, or None where the numbers say it all."""
    if labels is None:
        return None, None
    if classes is not None:
        fits = labels.min() >= 0 and labels.max() < len(classes)
        expect(fits, "labels", f"{labels.min()} to {labels.max()}", f"numbers of the {len(classes)} classes")
        return labels, classes
    if labels.min() >= 0 and labels.max() < MOST_NUMBERED:
        return labels, None
    found, numbers = np.unique(labels, return_inverse=True)
    return numbers, found.tolist()


def labels_of(labels: Any, rows: int) -> tuple[np.ndarray, Sequence[str] | None]:
    """Labels that a user gave, (rows,) whole numbers or texts, as numbers, and the classes' names where they are texts;
    ValueError where they are neither.
    """
    parts, classes, _ = number_labels("labels", {"test": as_array("labels", labels)})
    return check_labels("labels", parts["test"], rows), classes


def _examples(rows, labels, most):
    """Some of the rows: the first of each class, the second of each and so on."""
    if labels is None:
        return rows[:most]
    found = labels[rows]
    place = np.zeros(len(rows), int)  # of a row among those of its class
    for label in np.unique(found):
        place[found == label] = np.arange(np.count_nonzero(found == label))
    return rows[np.lexsort((found, place))][:most]


def _points(model, x, labels, rows, kind, reason):
    """Posterior means; None where a part of one's own cannot give them."""
    try:
        mu = model.encode(x)[0].astype(np.float32)
    except Exception:
        if not reason:
            raise
        return None
    if not np.isfinite(mu).all():
        return None
    found = {
        "mu": encoded(mu),
        "labels": None if labels is None else encoded(labels[rows].astype(np.int32)),
        "count": len(mu),
    }
    return found | ({"x": encoded(x)} if kind == "plane" else {})
