"""What every array of examples must satisfy before anything is computed from it."""

import numpy as np

CHUNK = 1 << 20  # values looked at in one go: bounds the memory of a check, and a chunk of float32 stays in cache


def check_data(name, array, *, features=None, likelihood=None):
    """Raise ValueError unless `array` can be used as examples, one per row.

    It must be a NumPy array (rows, features) with at least one row and one feature, of booleans, integers or real
    floats, all finite. The extra memory is a few MiB whatever the array's size.

    Parameters
    ----------
    name : str
        What the message calls the array.
    features : int, optional
        The number of columns it must have.
    likelihood : str, optional
        For "bernoulli", values must lie in [0, 1]; uint8 arrays are pixels 0..255, scaled when a minibatch is
        gathered, and always pass. Other likelihoods accept every finite value.
    """
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name} must be a NumPy array (rows, features), got {type(array).__name__}")
    if array.ndim != 2:
        raise ValueError(f"{name} must be 2-D (rows, features), got shape {array.shape}")
    if array.dtype.kind not in "buif":
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if 0 in array.shape:
        raise ValueError(f"{name} must have at least one row and one feature, got shape {array.shape}")
    if features is not None and array.shape[1] != features:
        raise ValueError(f"{name} must have {features} features per row, got {array.shape[1]}")
    if array.dtype.kind == "f":
        found = first_where(array, lambda chunk: ~np.isfinite(chunk))
        if found:
            row, column = found
            raise ValueError(f"{name} must be finite, got {array[row, column]} at row {row}, column {column}")
    if likelihood == "bernoulli" and array.dtype != np.uint8:
        found = first_where(array, lambda chunk: (chunk < 0) | (chunk > 1))
        if found:
            row, column = found
            raise ValueError(
                f"{name} must lie in [0, 1] for the Bernoulli likelihood, got {array[row, column]} at row {row}, "
                f"column {column}{_advice(array)}"
            )


def first_where(array, condition):
    """The first (row, column) of a 2-D array whose value meets `condition` (chunk -> bools), or None; in chunks."""
    rows = max(1, CHUNK // array.shape[1])
    for start in range(0, len(array), rows):
        hits = condition(array[start : start + rows])
        if hits.any():
            row, column = np.unravel_index(hits.argmax(), hits.shape)
            return start + int(row), int(column)
    return None


def _advice(array):
    if array.min() < 0:
        return ": use the Gaussian likelihood, or scale the data"
    return f": the largest is {array.max()}; divide pixels by 255, or use the Gaussian likelihood"
