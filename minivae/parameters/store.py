"""Named parameters and gradients as views of flat buffers, and row buffers that layers reuse."""

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, Protocol

import numpy as np

from ..errors import as_array, expect, expect_choice
from ..kernels import Backend, philox
from .memory import expect_room

DTYPES = ("float32", "float64")


class Arrays(dict[str, np.ndarray]):
    """Arrays by name, each a shaped view of one flat buffer of a `Parameters`.

    `arrays[name] = value`, `update` and `|=` copy an array of that shape, or a number, into the memory that layers and
    optimizers use. The names are fixed: one that is not there raises ValueError, what would add or remove an array
    TypeError. Pickled or copied deeply, it takes its whole `Parameters` along, so that all that is pickled together
    still shares memory.

    Parameters
    ----------
    store : a `Parameters`
    buffer : "flat" or "flat_gradients"
    names : from a name here to that in the store; by default all of the store's
    """

    def __init__(self, store: "Parameters", buffer: str, names: Mapping[str, str] | None = None) -> None:
        self._store, self._buffer = store, buffer
        self._names = {name: name for name in store.shapes} if names is None else dict(names)
        flat = getattr(store, buffer)
        super().__init__({name: store.view(flat, full) for name, full in self._names.items()})

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def update(self, *others: Any, **named: Any) -> None:
        """Copies every value, or none where one does not fit."""
        values = {name: self._fitting(name, value) for name, value in dict(*others, **named).items()}
        for name, value in values.items():
            self._store.backend.assign(self[name], value)

    def __ior__(self, others: Any) -> "Arrays":  # type: ignore[override,misc]
        self.update(others)
        return self

    def setdefault(self, name: str, default: Any = None) -> np.ndarray:
        return self[name] if name in self else self._fixed()

    def _fitting(self, name, value):
        expect_choice("name", name, self)
        array = self[name]
        if value is array:  # as in `arrays[name] -= step`
            return value
        value = as_array(name, value)
        shape = tuple(array.shape)
        expect(value.dtype.kind in "buif", name, value, "real numbers")
        expect(value.shape in ((), shape), name, value, f"an array of shape {shape}, or a number")
        with np.errstate(over="ignore"):
            value = value.astype(array.dtype)
        bad = value[~np.isfinite(value)]
        expect(not bad.size, name, bad.tolist()[:1], f"finite {array.dtype} numbers")
        return value

    def move(self, store: "Parameters", names: Mapping[str, str]) -> None:
        """Makes these arrays views of another buffer, under other names, for all who hold this object."""
        moved = Arrays(store, self._buffer, names)
        self._store, self._names = store, moved._names
        dict.update(self, moved)

    @property
    def store(self) -> "Parameters":
        return self._store

    def _fixed(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("the layout is fixed: no array can be added or removed")

    __delitem__ = pop = popitem = clear = _fixed

    def __reduce__(self) -> tuple[Any, ...]:
        return Arrays, (self._store, self._buffer, self._names)

    def __repr__(self) -> str:
        return f"Arrays({', '.join(f'{name}: {tuple(array.shape)}' for name, array in self.items())})"


class Mark:
    """Says to which model buffers belong. A copy is no one's (`live` is False) until a model is copied with it."""

    live = False

    def __reduce__(self) -> tuple[Any, ...]:
        return Mark, ()


class Parameters:
    """Named arrays that lie in one flat buffer, and their gradients in another of the same layout.

    An optimizer, a norm or a checkpoint touches one array; a layer sees its own shaped views. Each array starts on a
    cache line; the gaps between arrays are zero in both buffers and stay zero under every optimizer.

    Attributes
    ----------
    flat, flat_gradients : (size,) arrays of the backend; what is assigned to them is copied
    values, gradients : `Arrays`, from name to a shaped view
    """

    def __init__(self, shapes: Mapping[str, Iterable[int]], backend: Backend, dtype: str) -> None:
        self.mark: Mark | None = None
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.backend, self.dtype = backend, dtype
        line = 64 // np.dtype(dtype).itemsize
        self._slices, end = {}, 0
        for name, shape in self.shapes.items():
            size = math.prod(shape)
            self._slices[name] = slice(end, end + size)
            end += -(-size // line) * line
        self._flat, self._flat_gradients = backend.zeros((end,), dtype), backend.zeros((end,), dtype)

    @property
    def flat(self) -> np.ndarray:
        return self._flat

    @flat.setter
    def flat(self, values: Any) -> None:
        self.backend.assign(self._flat, values)  # all views of it stay

    @property
    def flat_gradients(self) -> np.ndarray:
        return self._flat_gradients

    @flat_gradients.setter
    def flat_gradients(self, values: Any) -> None:
        self.backend.assign(self._flat_gradients, values)

    @property
    def values(self) -> Arrays:
        return Arrays(self, "flat")

    @property
    def gradients(self) -> Arrays:
        return Arrays(self, "flat_gradients")

    def __repr__(self) -> str:
        return f"Parameters({len(self.shapes)} arrays, {self.flat.shape[0]} {self.dtype} numbers with gaps)"

    def views(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """Any buffer of this layout (a moment, a copy) as a dict from name to a shaped view."""
        return {name: self.view(flat, name) for name in self.shapes}

    def view(self, flat: np.ndarray, name: str) -> np.ndarray:
        """The array of this name in such a buffer."""
        return flat[self._slices[name]].reshape(self.shapes[name])

    def __getstate__(self) -> dict[str, Any]:
        buffers = {name: self.backend.to_host(getattr(self, name)) for name in ("_flat", "_flat_gradients")}
        return vars(self) | buffers

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for name in ("_flat", "_flat_gradients"):  # into aligned memory of the backend
            setattr(self, name, self.backend.zeros(state[name].shape, self.dtype))
            self.backend.assign(getattr(self, name), state[name])


class Model(Protocol):
    """What an optimizer needs of a model; `settle` as of `Assembled`."""

    backend: Backend
    dtype: str

    @property
    def store(self) -> Parameters: ...

    def settle(self) -> None: ...


class Portable:
    """What can be pickled and copied. copy.copy shares no memory with the original, as copy.deepcopy: two that wrote
    into the same buffers would spoil each other's passes.

    What the last pass left, the attributes named in `_transient`, does not go along: the next `forward` makes it again.
    """

    _transient: tuple[str, ...] = ()
    _shown: tuple[str, ...] = ()  # the attributes that tell one from another, for its repr

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | dict.fromkeys(self._transient)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for named in [vars(self), *(value for value in state.values() if type(value) is dict)]:
            for name, value in named.items():
                if isinstance(value, np.ndarray) and not value.flags.writeable:
                    named[name] = np.array(value)  # joblib maps large ones read-only, and kernels write to them

    def __copy__(self) -> Any:
        return copy.deepcopy(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self._shown)})"


class Holder(Portable):
    """What has arrays of its own in `parameters` and `gradients`. Where these are of flat buffers, what is assigned to
    them with the same names is copied there, as an optimizer and a file find it.
    """

    _parameters: Any
    _gradients: Any

    def joined(self, backend: Backend, dtype: str) -> None:
        """The arrays have become those of a model, which has this backend and dtype."""

    @property
    def parameters(self) -> Any:
        return self._parameters

    @parameters.setter
    def parameters(self, arrays: Any) -> None:
        self._parameters = _put("parameters", vars(self).get("_parameters"), arrays)

    @property
    def gradients(self) -> Any:
        return self._gradients

    @gradients.setter
    def gradients(self, arrays: Any) -> None:
        self._gradients = _put("gradients", vars(self).get("_gradients"), arrays)


def _put(name, held, given):
    """What an attribute holds after `given` was assigned to it."""
    if not isinstance(held, Arrays) or given is held or not isinstance(given, Mapping) or not held:
        return given
    if given.keys() != held.keys():
        return given
    for key, array in given.items():
        expect(np.shape(array) == tuple(held[key].shape), f"{name}[{key!r}]", array, f"shape {tuple(held[key].shape)}")
        held.store.backend.assign(held[key], array)
    return held


class RowBuffers:
    """Arrays that are kept from call to call: the same name, rows and width give the same memory.

    A smaller number of rows gives the first rows of the largest array so far, so a last partial batch costs no memory.
    """

    def __init__(self, backend: Backend, dtype: str) -> None:
        self._backend, self._dtype = backend, dtype
        self._arrays: dict[tuple[str, int | None], np.ndarray] = {}
        self._views: dict[tuple[str, int, int | None], np.ndarray] = {}

    def __call__(self, name: str, rows: int, width: int | None = None) -> np.ndarray:
        key = (name, rows, width)
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = self._view(name, rows, width)
        return view

    def _view(self, name, rows, width):
        array = self._arrays.get((name, width))
        if array is None or array.shape[0] < rows:
            if self._backend.on_host:
                expect_room(f"rows of {name}", rows, rows * (width or 1) * np.dtype(self._dtype).itemsize)
            array = self._backend.zeros((rows,) if width is None else (rows, width), self._dtype)
            self._arrays[name, width] = array
            self._views = {key: view for key, view in self._views.items() if (key[0], key[2]) != (name, width)}
        return array if array.shape[0] == rows else array[:rows]

    def __reduce__(self) -> tuple[Any, ...]:
        return RowBuffers, (self._backend, self._dtype)  # empty: what is in them is the last pass's


def initial_dense(seed: int, index: int, inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Initial weight (inputs, outputs) and bias (outputs,) of the model's dense layer number `index`, float32 values.

    Uniform in +-1/sqrt(inputs) for both, the default of PyTorch's `nn.Linear` (LeCun et al., "Efficient BackProp",
    1998, up to a factor), so that losses can be compared with PyTorch's from the first step on.
    """
    bound = 1.0 / math.sqrt(inputs)
    values = (2.0 * philox.uniforms(seed, philox.INIT, index, (inputs + 1) * outputs) - 1.0) * np.float32(bound)
    return values[: inputs * outputs].reshape(inputs, outputs), values[inputs * outputs :]
