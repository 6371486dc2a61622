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
