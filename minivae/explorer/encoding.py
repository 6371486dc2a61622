"""Arrays and names as they stand in the page.

An array is {"dtype", "shape", "data"}: "float32", "int32" or "uint8"; and in base64 the deflated bytes of the numbers,
little-endian, all first bytes, then all second bytes and so on, because the signs and exponents of parameters are alike
and the rest of their bits are not. With "divisor" the values are the numbers divided by it, rounded to float32.
"""

import base64
import zlib
from typing import Any

import numpy as np

from ..errors import brief

LONGEST = 100  # characters of a name


def named(text: Any) -> str:
    """A name as one line of bounded length, in which nothing is hidden: marks that turn the text round, or cannot be
    printed, as Python escapes them.
    """
    return brief(text, LONGEST)


def encoded(array: np.ndarray, divisor: int | None = None) -> dict[str, Any]:
    """An array as the page reads it (see above)."""
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    planes = array.reshape(-1, 1).view(np.uint8).T
    data = base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data} | (
        {} if divisor is None else {"divisor": divisor}
    )


def encoded_values(values: np.ndarray) -> dict[str, Any]:
    """float32 values; such as are bytes divided by 255, or 0 and 1, as bytes."""
    for divisor in (1, 255):
        with np.errstate(over="ignore", invalid="ignore"):  # numbers too large to be bytes
            bytes_ = np.clip(np.rint(values * divisor), 0, 255).astype(np.uint8)
        if np.array_equal(np.divide(bytes_, divisor, dtype=np.float32), values):
            return encoded(bytes_, divisor)
    return encoded(values)
