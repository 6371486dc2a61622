"""What the parts of a model are made of: objects within objects, and the arrays that they hold."""

from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..errors import expect
from ..kernels import Backend
from .store import Arrays, Parameters, RowBuffers

# What no part of a model is in, and containers of more than this many items.
_LEAVES: tuple[type, ...] = (
    str,
    bytes,
    int,
    float,
    complex,
    np.ndarray,
    np.generic,
    np.random.Generator,
    type,
    ModuleType,
    FunctionType,
)
_LEAVES += (BuiltinFunctionType, MethodType, Arrays, Parameters, RowBuffers, Backend, type(None))
_MANY = 100


def survey(parts: Any) -> list[tuple[str, Any]]:
    """(path, object) of parts and all that they are made of, through attributes, lists, tuples and dicts."""
    found: list[tuple[str, Any]] = []
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [(f"{place}.", part) for place, part in enumerate(parts)]
    while waiting:
        path, item = waiting.pop()
        if isinstance(item, _LEAVES) or id(item) in seen or hasattr(type(item), "settle"):  # or another model
            continue
        seen.add(id(item))
        if isinstance(item, (list, tuple, dict)):
            inner = [*(item.items() if isinstance(item, dict) else enumerate(item))] if len(item) <= _MANY else []
        else:
            found.append((path.partition(".")[2], item))
            slots = (name for cls in type(item).__mro__ for name in getattr(cls, "__slots__", ()))
            inner = [*getattr(item, "__dict__", {}).items()]
            inner += [(name, getattr(item, name, None)) for name in slots if name[:2] != "__"]
        waiting += reversed([(f"{path}{name}.", child) for name, child in inner])
    return found


def ids_of(found):
    """What tells two surveys apart: the objects, how many parameters each has, whether it has a mode."""
    ids: list[Any] = []
    for _, item in found:
        parameters = getattr(item, "parameters", None)
        ids += id(item), len(parameters) if isinstance(parameters, Mapping) else -1, hasattr(item, "training")
    return ids


def holders(name: str, part: Any) -> Iterator[tuple[str, Any]]:
    """(prefix, object) of what has the mappings `parameters` and `gradients` in a part: the part itself and all in it,
    but for those whose arrays another one gives already. One alone needs no prefix.

    Raises ValueError, calling the part `name`, for a layer whose `parameters` are no mapping.
    """
    found: dict[str, Any] = {}
    taken: set[int] = set()
    for path, item in survey([part]):
        parameters = getattr(item, "parameters", None)
        if isinstance(parameters, Mapping):
            ids = {id(array) for array in parameters.values()}
            if ids - taken:
                found[path] = item
            taken |= ids
        elif hasattr(item, "forward") and parameters is not None:
            expect(False, f"{name}.{path}parameters", parameters, "a mapping from names to arrays")
    for path, item in found.items():
        yield ("" if len(found) == 1 else path), item


def expect_float_array(name, array, shape=None):
    """Raises ValueError unless a part of one's own gave a float array, of this shape; None in it is any length."""
    text = "" if shape is None else f" of shape ({', '.join('any' if n is None else str(n) for n in shape)})"
    right = isinstance(array, np.ndarray) and array.dtype.kind == "f"
    if right and shape is not None:
        right = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    expect(right, name, array, f"a float array{text}")
