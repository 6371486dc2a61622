"""What the parts of a model are made of: objects within objects, and the arrays that they hold."""

from collections import deque
from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..errors import expect
from ..kernels import Backend
from .store import Arrays, Parameters, RowBuffers

# What no part of a model is in, and containers of more than this many items, if the first is such a thing.
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
    """(path, object) of parts and of the layers, and others with arrays of their own, that they are made of: through
    attributes, lists, tuples and dicts. What has neither `forward` nor arrays with gradients is passed through.
    """
    found: list[tuple[str, Any]] = []
    seen: dict[int, Any] = {}
    waiting: list[tuple[str, Any]] = [(f"{place}.", part) for place, part in enumerate(parts)]
    while waiting:
        path, item = waiting.pop()
        if isinstance(item, _LEAVES) or id(item) in seen or hasattr(type(item), "settle"):  # or another model
            continue
        seen[id(item)] = item
        if path.count(".") == 1 or callable(attribute(item, "forward")) or _has_arrays(item):
            found.append((path.partition(".")[2], item))
        waiting += reversed([(f"{path}{name}.", child) for name, child in _within(item)])
    return found


def _within(item):
    """(name, object) of what an object or a container holds."""
    inner: list[tuple[Any, Any]] = []
    if isinstance(item, dict):
        inner += [(key if isinstance(key, str) else f"[{key!r}]", value) for key, value in item.items()]
    elif isinstance(item, (list, tuple, deque)):
        inner += enumerate(item)
    if len(inner) > _MANY and isinstance(inner[0][1], _LEAVES):
        return []
    for cls in type(item).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            own = f"_{cls.__name__.lstrip('_')}{name}" if name.startswith("__") and not name.endswith("__") else name
            inner.append((name, attribute(item, own)))
    return [*inner, *(attribute(item, "__dict__") or {}).items()]


def attribute(item: Any, name: str) -> Any:
    """An attribute, or None where there is none, or none that can be read."""
    try:
        return getattr(item, name, None)
    except Exception:
        return None


def _has_arrays(item):
    parameters, gradients = attribute(item, "parameters"), attribute(item, "gradients")
    arrays = isinstance(parameters, Mapping) and isinstance(gradients, Mapping) and len(parameters) > 0
    return arrays and all(hasattr(array, "shape") for array in parameters.values())


def same_found(found: list[tuple[str, Any]], known: list[Any]) -> bool:
    """Whether a survey found the objects, with as many parameters and a mode or none, that `kept` noted."""
    return len(found) == len(known) and all(
        item is one and _state(item) == state for (_, item), (one, state) in zip(found, known, strict=True)
    )


def kept(found: list[tuple[str, Any]]) -> list[Any]:
    """What a later survey is compared with. It holds the objects: an id is used again where none does."""
    return [(item, _state(item)) for _, item in found]


def _state(item):
    parameters = attribute(item, "parameters")
    return len(parameters) if isinstance(parameters, Mapping) else None, has_mode(item)


def has_mode(item: Any) -> bool:
    """Whether it is a layer that acts differently in training."""
    return isinstance(attribute(item, "training"), bool) and callable(attribute(item, "forward"))


def holders(name: str, part: Any) -> Iterator[tuple[str, Any]]:
    """(prefix, object) of what has the mappings `parameters` and `gradients` in a part: the part itself and all in it,
    but for those whose arrays another one gives already. One alone needs no prefix.

    Raises ValueError, calling the part `name`, for a layer whose `parameters` are no mapping.
    """
    found: dict[str, Any] = {}
    taken: list[np.ndarray] = []
    for path, item in survey([part]):
        parameters = attribute(item, "parameters")
        if isinstance(parameters, Mapping):
            arrays = [*parameters.values()]
            if any(not _among(array, taken) for array in arrays):
                found[path] = item
            taken += arrays
        elif parameters is not None:
            expect(False, f"{name}.{path}parameters", parameters, "a mapping from names to arrays")
    for path, item in found.items():
        yield ("" if len(found) == 1 else path), item


def _among(array, others):
    """Whether an array is one of the others, or all in the memory of one."""
    on_host = isinstance(array, np.ndarray)
    return any(array is one or (on_host and isinstance(one, np.ndarray) and _same_place(array, one)) for one in others)


def _same_place(array, other):
    return array.__array_interface__["data"] == other.__array_interface__["data"] and array.shape == other.shape


def expect_float_array(name, array, shape=None):
    """Raises ValueError unless a part of one's own gave a float array, of this shape; None in it is any length."""
    text = "" if shape is None else f" of shape ({', '.join('any' if n is None else str(n) for n in shape)})"
    right = isinstance(array, np.ndarray) and array.dtype.kind == "f"
    if right and shape is not None:
        right = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    expect(right, name, array, f"a float array{text}")
