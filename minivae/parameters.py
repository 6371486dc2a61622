"""Named parameters and gradients as views of flat buffers, and row buffers that layers reuse."""

import math
from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np

from .kernels import Backend, philox

DTYPES = ("float32", "float64")


class Parameters:
    """Named arrays that lie in one flat buffer, and their gradients in another of the same layout.

    An optimizer, a norm or a checkpoint touches one array; a layer sees its own shaped views. Each array starts on a
    cache line; the gaps between arrays are zero in both buffers and stay zero under every optimizer.

    Attributes
    ----------
    flat, flat_gradients : (size,) arrays of the backend
    values, gradients : dicts from name to a shaped view
    """

    def __init__(self, shapes: Mapping[str, Iterable[int]], backend: Backend, dtype: str) -> None:
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        line = 64 // np.dtype(dtype).itemsize
        self._slices, end = {}, 0
        for name, shape in self.shapes.items():
            size = math.prod(shape)
            self._slices[name] = slice(end, end + size)
            end += -(-size // line) * line
        self.flat, self.flat_gradients = backend.zeros((end,), dtype), backend.zeros((end,), dtype)
        self.values, self.gradients = self.views(self.flat), self.views(self.flat_gradients)

    def views(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """Any buffer of this layout (a moment, a copy) as a dict from name to a shaped view."""
        return {name: flat[self._slices[name]].reshape(shape) for name, shape in self.shapes.items()}


class Model(Protocol):
    """What an optimizer needs of a model."""

    backend: Backend
    store: Parameters
    dtype: str


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
        if key not in self._views:
            self._views[key] = self._view(name, rows, width)
        return self._views[key]

    def _view(self, name, rows, width):
        array = self._arrays.get((name, width))
        if array is None or array.shape[0] < rows:
            array = self._backend.zeros((rows,) if width is None else (rows, width), self._dtype)
            self._arrays[name, width] = array
            self._views = {key: view for key, view in self._views.items() if (key[0], key[2]) != (name, width)}
        return array if array.shape[0] == rows else array[:rows]


def initial_dense(seed: int, index: int, inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Initial weight (inputs, outputs) and bias (outputs,) of the model's dense layer number `index`, float32 values.

    Uniform in +-1/sqrt(inputs) for both, the default of PyTorch's `nn.Linear` (LeCun et al., "Efficient BackProp",
    1998, up to a factor), so that losses can be compared with PyTorch's from the first step on.
    """
    bound = 1.0 / math.sqrt(inputs)
    values = (2.0 * philox.uniforms(seed, philox.INIT, index, (inputs + 1) * outputs) - 1.0) * np.float32(bound)
    return values[: inputs * outputs].reshape(inputs, outputs), values[inputs * outputs :]


class Exchange:
    """Keeps the arrays that a part of one's own computes with equal to the model's, which the optimizer changes.

    The part's arrays stay its own: whoever changes them, or puts others of the same shape in their place, changes the
    model's with them, and the other way round. An array whose memory is the model's already needs nothing.

    Parameters
    ----------
    name : of the part, as messages give it
    part : has mappings `parameters` and `gradients`
    values, gradients : the model's arrays for it, by the names in those mappings
    """

    def __init__(self, name: str, part: Any, values: "Arrays", gradients: "Arrays", backend: Backend) -> None:
        self._name, self._part, self._values, self._gradients = name, part, values, gradients
        self._backend = backend
        self._last = {key: None for key in values}  # what both held after the last exchange, in the part's dtype
        self()

    def __call__(self) -> None:
        """Takes over what has changed on one side since the last time."""
        parameters = self._part.parameters
        same = parameters.keys() == self._values.keys()
        expect(same, f"{self._name}.parameters", sorted(parameters), f"{sorted(self._values)}, as at first")
        for key, model in self._values.items():
            own, last = parameters[key], self._last[key]
            expect_own(f"{self._name}.parameters[{key!r}]", own, model.shape)
            if np.may_share_memory(own, model):
                continue
            if last is None or not np.array_equal(own, last, equal_nan=True):
                both = last is not None and not np.array_equal(model, last, equal_nan=True)
                expect(not both, f"{self._name}.parameters[{key!r}]", "a change", "none since an optimizer changed it")
                self._backend.assign(model, own)
            elif np.array_equal(model, last, equal_nan=True):
                continue
            own[...] = model
            self._last[key] = own.copy()

    def collect(self) -> None:
        """Takes over the gradients of a backward pass."""
        given = self._part.gradients
        for key, view in self._gradients.items():
            gradient = given.get(key)
            if gradient is not view:
                expect_own(f"{self._name}.gradients[{key!r}]", gradient, view.shape)
                self._backend.assign(view, gradient)


def expect_own(name: str, array: Any, shape: tuple[int, ...] | None = None) -> None:
    """Raises ValueError unless a part of one's own gave a float array, of this shape."""
    expected = f"a float array{'' if shape is None else f' of shape {tuple(shape)}'}"
    expect(isinstance(array, np.ndarray) and array.dtype.kind == "f", name, array, expected)
    expect(shape is None or array.shape == tuple(shape), name, array, expected)
