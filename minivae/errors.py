"""Checks of arguments, each with one message form: the argument, what came, what was expected."""

import functools
import math
import mmap
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
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


def brief(text: object, longest: int = 240) -> str:
    """A text as one line of bounded length, whatever is in it: without its middle where that is too long, and with what
    cannot be printed as Python escapes it.
    """
    line = " ".join(str(text).split())
    if len(line) > longest:
        line = f"{line[: longest * 2 // 3]} ... {line[-longest // 3 :]}"
    return escaped(line)


def escaped(text: str) -> str:
    """A text with what cannot be printed, or would not stay in its line, as Python escapes it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def described(value: object) -> str:
    """A value as messages show it: an array by its dtype and shape, what takes long to say by its type."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"{value.dtype} of shape {value.shape}"
    text = repr(plain(value))
    return text if len(text) <= 200 and "\n" not in text else type(value).__name__


def as_array(name: str, value: Any) -> np.ndarray:
    """What `np.asarray` makes of it; ValueError for what it cannot take. A data frame or series of numbers of which it
    makes objects, since some may be missing or they are of different kinds, becomes float64, nan where one is."""
    expect_unmasked(name, value)
    try:
        array = np.asarray(value)
        if array.dtype == object and hasattr(value, "dtypes"):
            kinds = [value.dtypes] if array.ndim == 1 else value.dtypes
            if all(getattr(kind, "kind", "O") in "biuf" for kind in kinds):
                return value.to_numpy(np.float64, na_value=np.nan)
        return array
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name}: got {type(value).__name__}, expected an array or what makes one: {error}") from error


def expect_unmasked(name: str, value: Any, depth: int = 3) -> None:
    """Raises ValueError where NumPy would drop a mask: for a masked entry of an array, or of arrays in lists."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        mask = np.ma.getmaskarray(value)
        place = ", ".join(map(str, np.argwhere(mask)[0].tolist()))
        got = f"{np.count_nonzero(mask)} masked value(s), the first at [{place}]"
        raise ValueError(f"{name}: got {got}, expected none: fill them, or leave their rows out")
    if isinstance(value, (list, tuple)) and depth:
        for item in value:
            if not isinstance(item, (float, int)):
                expect_unmasked(name, item, depth - 1)


def expect_choice(name: str, got: object, choices: Collection[object]) -> None:
    known = isinstance(got, (str, bool, type(None))) and got in choices
    expect(known, name, got, "one of " + ", ".join(map(repr, choices)))


def plain(value: Any) -> Any:
    """A NumPy scalar or 0-d array as the Python number in it, anything else as it is."""
    return value.item() if isinstance(value, (np.generic, np.ndarray)) and value.ndim == 0 else value


def expect_integer(name: str, got: Any, minimum: int) -> int:
    """The number as an int; ValueError unless it is whole, by its type (not True, not 3.0), and large enough."""
    value = plain(got)
    whole = isinstance(value, int) and not isinstance(value, bool)
    expect(whole and value >= minimum, name, got, f"a whole number of at least {minimum}")
    return value


def expect_seed(seed: Any) -> int:
    value = plain(seed)
    whole = isinstance(value, int) and not isinstance(value, bool)
    expect(whole and 0 <= value < 2**64, "seed", seed, "a whole number from 0 to 2^64 - 1")
    return value


def expect_number(name: str, got: Any, holds: Callable[[float], bool], expected: str) -> float:
    """The number as an int or float of Python's; ValueError unless it is one (not True) for which `holds` is true."""
    value = plain(got)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    expect(number and holds(value), name, got, expected)
    return value


LARGEST = sys.float_info.max  # there are integers beyond, which no array can hold


def expect_positive(name: str, got: Any) -> float:
    return expect_number(name, got, lambda value: 0 < value <= LARGEST, "a finite number above 0")


def expect_not_negative(name: str, got: Any) -> float:
    return expect_number(name, got, lambda value: 0 <= value <= LARGEST, "a finite number, 0 or more")


def expect_fraction(name: str, got: Any) -> float:
    return expect_number(name, got, lambda value: 0 <= value < 1, "a number in [0, 1)")


_MASKED = np.ma.MaskedArray
_DTYPES = {name: np.dtype(name) for name in ("float32", "float64")}  # a dtype is compared sooner than its name


def expect_array(name: str, array: Any, shape: Sequence[int | None], dtype: str) -> None:
    """Raises ValueError unless the array has this dtype and shape; None in `shape` matches any length of at least 1."""
    if isinstance(array, _MASKED):
        expect_unmasked(name, array)
    got: Any = getattr(array, "shape", None)
    given = getattr(array, "dtype", None)
    if given is _DTYPES.get(dtype) or given == dtype:  # at every pass of every layer: the quick questions come first
        if got == shape and 0 not in shape:
            return
        if len(got) == 2 == len(shape) and got[0] and shape[0] is None and (got[1] == shape[1] or shape[1] is None):
            return
        if len(got) == len(shape) and all(g == s or (s is None and g) for g, s in zip(got, shape, strict=True)):
            return
    text = ", ".join("any" if length is None else str(length) for length in shape)
    came = type(array).__name__ if got is None else f"{array.dtype} of shape {tuple(got)}"
    raise ValueError(f"{name}: got {came}, expected {dtype} of shape ({text})")


def expect_multiple(name: str, rows: int, other: str, n: int) -> None:
    """Raises ValueError unless `name` has the same number of rows for each of the n rows of `other`."""
    if rows % n:
        expect(False, name, f"{rows} rows", f"a multiple of the {n} rows of {other}")


CHUNK = 1 << 20  # values looked at in one go: bounds the memory of a check, and a chunk of float32 stays in cache
SAMPLED = 16  # chunks that are looked at of what is mapped from a file


def is_mapped(array: np.ndarray) -> bool:
    """Whether the values are those of a file, in memory only once they are asked for: `numpy.memmap`, and its views."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap)


def is_sampled(array: np.ndarray) -> bool:
    """Whether only a sample of the values is looked at before they are used: it is mapped, and too large for more."""
    return array.size > SAMPLED * CHUNK and is_mapped(array)


def chunks(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, rows) of a 2-D array, some CHUNK values at a time; where `is_sampled` those of SAMPLED places."""
    rows = max(1, CHUNK // array.shape[1])
    starts: Sequence[int] = range(0, len(array), rows)
    if len(starts) > SAMPLED and is_sampled(array):
        starts = [starts[i * (len(starts) - 1) // (SAMPLED - 1)] for i in range(SAMPLED)]
    return ((start, array[start : start + rows]) for start in starts)


def sampled(array: np.ndarray) -> np.ndarray:
    """A 2-D array as it is; where `is_sampled` some of its rows."""
    if not is_sampled(array):
        return array
    return np.concatenate([chunk[: 1 + len(chunk) // 4] for _, chunk in chunks(array)])


def check_data(
    name: str, data: Any, *, features: int | None = None, dtype: str | None = None, unit: bool = False
) -> np.ndarray:
    """`data` as a NumPy array of examples, one per row; ValueError unless it is one.

    It may be whatever `np.asarray` takes: lists, data frames, memory maps, tensors. It must have the shape (rows,
    features), with at least one row and one feature, and booleans, integers or finite real floats. An array is not
    copied, and looking at it takes no more than a few MiB whatever its size. Of one that is mapped from a file (see
    `is_sampled`) a sample is looked at.

    Parameters
    ----------
    name : str
        What the message calls the data.
    features : int, optional
        The number of columns it must have.
    dtype : str, optional
        The floats must be finite in this one.
    unit : bool
        Whether values must lie in [0, 1]; uint8 arrays are pixels 0..255, scaled when a minibatch is gathered, and
        always pass.
    """
    array = as_array(name, data)
    kind = array.dtype.kind
    expect(array.ndim == 2, name, array, "two dimensions (rows, features)")
    expect(kind in "buif", name, array, "real numbers")
    expect(array.size > 0, name, array, "at least one row and one feature")
    if features not in (None, array.shape[1]):
        expect(False, name, array, f"{features} features per row")
    unit = unit and kind in "fiu" and array.dtype != np.uint8
    largest = _largest(array.dtype, dtype) if kind == "f" else math.inf
    least, most = (0, 1) if unit else (-largest, largest)
    if most < math.inf and not _within(array, least, most):
        if kind == "f":
            expect_everywhere(name, array, np.isfinite, "finite numbers")
            expect_everywhere(name, array, lambda chunk: np.abs(chunk) <= largest, f"numbers that {dtype} can hold")
        expect_unit_interval(name, array)
    return array


@functools.cache
def _largest(*dtypes):
    """The largest number that is finite in each of the float dtypes; None is no dtype."""
    return min(np.finfo(dtype).max.item() for dtype in dtypes if dtype is not None)


def _within(array, least, most):
    """Whether all values lie in [least, most]; NaN does not, and is what argmin and argmax find. For a minibatch they
    cost a third of min and max.
    """
    for _, chunk in chunks(array):
        if not (least <= chunk.item(int(chunk.argmin())) and chunk.item(int(chunk.argmax())) <= most):
            return False
    return True


def expect_pixels(name: str, array: np.ndarray) -> None:
    """Raises ValueError for bytes that are 0 and 1 only: as pixels they would be divided by 255."""
    if array.dtype == np.uint8 and sampled(array).max() == 1:
        ways = f"0 and 1 as they are by {name}.astype('float32'), pixels so dark by {name} / 255"
        expect(False, name, "uint8 of 0 and 1 only", f"pixels up to 255, since bytes are divided by it: {ways}")


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
    for start, chunk in chunks(array):
        right = holds(chunk)
        if not right.all():
            row, column = np.unravel_index(right.argmin(), right.shape)
            value = f"{array[start + row, column]} at row {start + row}, column {column}"
            raise ValueError(f"{name}: got {value}, expected {expected}{advice(array)}")


def _advice(array):
    array = sampled(array)
    if array.min() < 0:
        return ": use the Gaussian likelihood, or scale the data"
    return f": the largest is {array.max()}; divide pixels by 255, or use the Gaussian likelihood"
