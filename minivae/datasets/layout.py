"""The axes of an array: which counts the rows, which are an image's height and width, which its colours."""

from collections.abc import Sequence

import numpy as np

from ..errors import check_data, expect, is_mapped
from .options import SHAPE

CHANNELS = (1, 3)  # grey, and red, green, blue
LAYOUTS = "(rows, features), (rows, height, width), or a fourth axis of 1 or 3 colours behind or before these two"


def as_rows(
    name: str, values: np.ndarray, shape: Sequence[int] | None = None, transpose: bool = False
) -> tuple[np.ndarray, tuple[int, ...] | None, str]:
    """Values of 2 to 4 dimensions as checked rows; the shape of an image, (height, width) or (height, width, 3), if a
    row is one; and what was made of the axes, where that is not plain.

    shape : that of an image, as `ReadOptions` has it; transpose : whether images lie on their side
    """
    if values.ndim == 2:
        rows, image_shape, said = _flat(name, values, shape)
    else:
        what = ": are these labels, and the images in another file?" * (values.ndim == 1)
        what += ": others are flattened by x.reshape(len(x), -1)" * (values.ndim == 4)
        ways = _readings(values.shape)
        expect(ways, name, values, LAYOUTS + what)
        right = [way for way in ways if shape is None or way[1] == _grey(_colours_last(shape))]
        known = " or ".join(" ".join(map(str, way[1])) for way in ways)
        expect(right, f"{name}: image_shape", shape, f"{known} for an array of shape {values.shape}")
        expected = f"{SHAPE} to say what an image is: {known}"
        expect(len(right) == 1 or shape is not None, name, values, expected)
        axes, image_shape = right[0]
        said = "images are on the last axis" if axes[0] else ""
        said = "images are stored colour by colour" if axes[1:] == (2, 3, 1) and len(image_shape) == 3 else said
        rows = values.transpose(axes)  # a view
    kept = not (transpose or said) or not is_mapped(values)
    expect(kept, name, f"images to be turned in a file of {values.nbytes / 1e9:.1f} GB", "rows as they are to be used")
    if transpose:
        expect(image_shape is not None, f"{name}: transpose", transpose, f"images: {SHAPE} says their height and width")
        height, width, *colours = image_shape
        rows = rows.reshape(-1, height, width, *colours).swapaxes(1, 2)
        image_shape = (width, height, *colours)
    # Before any split, so that a message counts the rows of the file.
    return check_data(name, rows.reshape(len(rows), -1)), image_shape, said


def _flat(name, rows, shape):
    if shape is None:
        return rows, (28, 28) if rows.shape[1] == 784 else None, ""
    count = int(np.prod(shape))
    expect(count == rows.shape[1], f"{name}: image_shape", shape, f"as many values as the {rows.shape[1]} of a row")
    last = _colours_last(shape)
    if last == tuple(shape):
        return rows, _grey(last), ""
    return rows.reshape(-1, *shape).transpose(0, 2, 3, 1), _grey(last), "images are stored colour by colour"


def _readings(shape):
    """What an array of that shape can be: (its axes as rows, height, width, colours; the shape of an image)."""
    ways: list = []
    if len(shape) == 3:
        ways = [((0, 1, 2), shape[1:])]
        if shape[0] == shape[1] != shape[2]:
            ways.append(((2, 0, 1), shape[:2]))  # as MATLAB's users keep them
    elif len(shape) == 4:
        ways = [((0, 1, 2, 3), shape[1:])] if shape[3] in CHANNELS else []
        if shape[1] in CHANNELS:
            ways.append(((0, 2, 3, 1), (shape[2], shape[3], shape[1])))
        if shape[2] in CHANNELS and shape[0] == shape[1]:
            ways.append(((3, 0, 1, 2), shape[:3]))
    return [(axes, _grey(image)) for axes, image in ways]


def _colours_last(shape):
    """The shape of an image that a user gave as (height, width), (height, width, colours) or (colours, height, width);
    what can be the second is."""
    return tuple(shape) if len(shape) == 2 or shape[2] in CHANNELS else (*shape[1:], shape[0])


def _grey(shape):
    """The shape without an axis of one colour."""
    return tuple(shape[:2]) if len(shape) == 3 and shape[2] == 1 else tuple(shape)
