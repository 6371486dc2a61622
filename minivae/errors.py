"""Checks of arguments, each with one message form: the argument, what came, what was expected."""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np


class TrainingDiverged(ArithmeticError):
    """The loss became infinite or NaN. The model holds the parameters of the last epoch that ended well."""


def add_note(error: BaseException, note: str) -> None:
    """Adds a line to what an exception says, whatever its type."""
    if hasattr(error, "add_note"):
        error.add_note(note)
    elif error.args and isinstance(error.args[0], str):  # Python 3.10
        error.args = (f"{error.args[0]}\n{note}", *error.args[1:])


def expect(condition: object, name: str, got: object, expected: str) -> None:
    """Raises ValueError("name: got ..., expected ...") unless the condition holds."""
    if not condition:
        raise ValueError(f"{name}: got {described(got)}, expected {expected}")


def described(value: object) -> str:
    """A value as messages show it: an array by its dtype and shape, what takes long to say by its type."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"{value.dtype} of shape {value.shape}"
    text = repr(value)
    return text if len(text) <= 200 and "\n" not in text else type(value).__name__


def as_array(name: str, value: Any) -> np.ndarray:
    """What `np.asarray` makes of it; ValueError for what it cannot take."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name}: got {type(value).__name__}, expected an array or what makes one: {error}") from error


def expect_choice(name: str, got: object, choices: Collection[object]) -> None:
    expect(got in choices, name, got, "one of " + ", ".join(map(repr, choices)))


def expect_integer(name: str, got: Any, minimum: int) -> None:
    whole = isinstance(got, int) and not isinstance(got, bool)
    expect(whole and got >= minimum, name, got, f"a whole number of at least {minimum}")


def expect_seed(seed: Any) -> None:
    whole = isinstance(seed, int) and not isinstance(seed, bool)
    expect(whole and 0 <= seed < 2**64, "seed", seed, "a whole number from 0 to 2^64 - 1")


def expect_positive(name: str, got: Any) -> None:
    number = isinstance(got, (int, float)) and not isinstance(got, bool)
    expect(number and 0 < got < math.inf, name, got, "a finite number above 0")


def expect_fraction(name: str, got: Any) -> None:
    number = isinstance(got, (int, float)) and not isinstance(got, bool)
    expect(number and 0 <= got < 1, name, got, "a number in [0, 1)")


def expect_array(name: str, array: Any, shape: Sequence[int | None], dtype: str) -> None:
    """Raises ValueError unless the array has this dtype and shape; None in `shape` matches any length of at least 1."""
    got = getattr(array, "shape", None)
    fits = got is not None and len(got) == len(shape)
    fits = fits and all(g == s if s is not None else g >= 1 for g, s in zip(got or (), shape, strict=True))
    if not fits or array.dtype != dtype:
        wanted = ", ".join("any" if s is None else str(s) for s in shape)
        came = type(array).__name__ if got is None else f"{array.dtype} of shape {tuple(got)}"
        raise ValueError(f"{name}: got {came}, expected {dtype} of shape ({wanted})")


CHUNK = 1 << 20  # values looked at in one go: bounds the memory of a check, and a chunk of float32 stays in cache


def check_data(name: str, array: Any, *, features: int | None = None) -> None:
    """Raise ValueError unless `array` can be used as examples, one per row.

    It must be a NumPy array (rows, features) with at least one row and one feature, of booleans, integers or real
    floats, all finite. The extra memory is a few MiB whatever the array's size.

    Parameters
    ----------
    name : str
        What the message calls the array.
    features : int, optional
        The number of columns it must have.
    """
    expect(isinstance(array, np.ndarray), name, array, "a NumPy array (rows, features)")
    expect(array.ndim == 2, name, array, "two dimensions (rows, features)")
    expect(array.dtype.kind in "buif", name, array, "real numbers")
    expect(array.size > 0, name, array, "at least one row and one feature")
    expect(features in (None, array.shape[1]), name, array, f"{features} features per row")
    if array.dtype.kind == "f":
        expect_everywhere(name, array, np.isfinite, "finite numbers")


def expect_unit_interval(name: str, array: np.ndarray) -> None:
    """Raises ValueError unless all values lie in [0, 1]."""
    within = "values in [0, 1] for the Bernoulli likelihood"
    expect_everywhere(name, array, lambda chunk: (chunk >= 0) & (chunk <= 1), within, _advice)


def expect_everywhere(
    name: str,
    array: np.ndarray,
    holds: Callable[[np.ndarray], np.ndarray],
    expected: str,
    advice: Callable[[np.ndarray], str] = lambda array: "",
) -> None:
    """Raises ValueError with the first value of a 2-D array that does not meet `holds` (chunk -> bools); in chunks."""
    rows = max(1, CHUNK // array.shape[1])
    for start in range(0, len(array), rows):
        right = holds(array[start : start + rows])
        if not right.all():
            row, column = np.unravel_index(right.argmin(), right.shape)
            value = f"{array[start + row, column]} at row {start + row}, column {column}"
            raise ValueError(f"{name}: got {value}, expected {expected}{advice(array)}")


def _advice(array):
    if array.min() < 0:
        return ": use the Gaussian likelihood, or scale the data"
    return f": the largest is {array.max()}; divide pixels by 255, or use the Gaussian likelihood"
