"""Layers with hand-written backward passes.

A layer's `forward` keeps what its `backward` needs, in its own buffers, which the next `forward` overwrites.
`backward` takes the gradient of the loss with respect to the layer's output and returns that with respect to its input;
parameter gradients are assigned, not added to.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .errors import expect, expect_array, expect_choice, expect_integer, expect_seed
from .kernels import Backend, load_backend
from .kernels.naive import ACTIVATIONS, BY_INPUT
from .parameters import DTYPES, Holder, Parameters, Portable, RowBuffers, Trial, initial_dense

# What stands for an array before the first forward pass, and for a gradient that is not asked for. Its type is that of
# the arrays, so that whoever uses them need not rule out None each time.
NO_ARRAY: np.ndarray = None  # type: ignore[assignment]


def resolve_backend(backend: str | Backend) -> Backend:
    """A backend by name, or a Backend as it is."""
    return backend if isinstance(backend, Backend) else load_backend(backend)


class Dense(Holder):
    """y = activation(x @ weight + bias).

    Parameters
    ----------
    inputs, outputs : widths; weight is (inputs, outputs), bias (outputs,)
    activation : "identity", "relu", "leaky_relu" (slope 0.01 below 0), "tanh", "sigmoid", "softplus", "gelu" or "silu".
        The last two, whose derivatives do not follow from y, keep their input a = x @ weight + bias as well.
    dtype : "float32" or "float64"
    backend : a name, or the `Backend` that a model's layers share
    seed, index : the initial values are a function of these two (see `initial_dense`)
    parameters, gradients : views of a model's buffers under "weight" and "bias"; by default the layer makes its own

    Raises
    ------
    ValueError
        For a width below 1, an unknown activation or dtype, or an input of another width or dtype.
    """

    _transient, _shown = ("x", "y", "in_training"), ("inputs", "outputs", "activation")
    # What the operands of its products are rounded to, one of `kernels.naive.PRECISIONS`; and what a model has them
    # rounded to in the training pass that is under way, or None: see `VAE.precision`.
    precision = "full"
    in_training: str | None = None
    _rounded = "full"  # in the last forward pass, which backward follows

    def __init__(
        self,
        inputs: int,
        outputs: int,
        activation: str = "identity",
        *,
        dtype: str = "float32",
        backend: str | Backend = "numpy",
        seed: int = 0,
        index: int = 0,
        parameters: dict[str, np.ndarray] | None = None,
        gradients: dict[str, np.ndarray] | None = None,
    ) -> None:
        inputs, outputs = expect_integer("inputs", inputs, 1), expect_integer("outputs", outputs, 1)
        expect_choice("dtype", dtype, DTYPES)
        self.inputs, self.outputs, self.activation, self.dtype = inputs, outputs, activation, dtype
        self.backend = resolve_backend(backend)
        if parameters is None or gradients is None:
            own = Parameters(self.shapes(inputs, outputs), self.backend, dtype)
            parameters, gradients = own.values, own.gradients
        self.parameters, self.gradients = parameters, gradients
        weight, bias = initial_dense(expect_seed(seed), expect_integer("index", index, 0), inputs, outputs)
        self.backend.assign(parameters["weight"], weight.astype(dtype))
        self.backend.assign(parameters["bias"], bias.astype(dtype))
        self._buffers = RowBuffers(self.backend, dtype)
        self.x = self.y = NO_ARRAY

    @property
    def activation(self) -> str:
        """Its name, one of those above. Set it between steps: forward and backward pass must have the same."""
        return self._activation

    @activation.setter
    def activation(self, value: str) -> None:
        expect_choice("activation", value, ACTIVATIONS)
        self._activation = value

    @staticmethod
    def shapes(inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
        """Those of the parameters, by name."""
        return {"weight": (inputs, outputs), "bias": (outputs,)}

    def joined(self, backend: Backend, dtype: str) -> None:
        """The layer's arrays have become those of a model, whose backend and dtype it takes."""
        if (backend, dtype) == (self.backend, self.dtype):
            return
        self.backend, self.dtype = backend, dtype
        self._buffers = RowBuffers(backend, dtype)
        self.x = self.y = NO_ARRAY

    def forward(self, x: np.ndarray) -> np.ndarray:
        """y (rows, outputs) from x (rows, inputs)."""
        expect_array("x", x, (None, self.inputs), self.dtype)
        self.x, self.y = x, self._buffers("y", x.shape[0], self.outputs)
        self._rounded = self.in_training or self.precision
        weight, bias = self._parameters["weight"], self._parameters["bias"]
        self.backend.dense_forward(x, weight, bias, self.activation, self.y, *self._input())
        return self.y

    def _input(self) -> tuple[Any, ...]:
        """What the kernels take besides: the activation's input, where its derivative is taken from that, and what the
        operands are rounded to.
        """
        a = self._buffers("a", *self.y.shape) if self.activation in BY_INPUT else None
        if self._rounded != "full":
            return a, self._rounded
        return () if a is None else (a,)

    def backward(self, dy: np.ndarray, input_gradient: bool = True) -> np.ndarray:
        """With da = dy * activation'(a): dweight = x.T @ da, dbias = sum of da over rows; returns dx = da @ weight.T.

        `input_gradient=False` skips dx, which a first layer does not need, and returns None.
        """
        expect(self.x is not None, "backward", "no forward pass", "a forward pass before it")
        expect_array("dy", dy, self.y.shape, self.dtype)
        dx = self._buffers("dx", self.x.shape[0], self.inputs) if input_gradient else NO_ARRAY
        self.backend.dense_backward(
            self.x,
            self._parameters["weight"],
            self.y,
            dy,
            self.activation,
            dx,
            self._gradients["weight"],
            self._gradients["bias"],
            *self._input(),
        )
        return dx


class Chain(Portable):
    """Layers one after another: forward in order, backward in reverse. An empty chain passes its input on.

    A layer of one's own is any object with forward(x) -> y and backward(dy) -> dx, x (rows, inputs) and y (rows,
    outputs) arrays of floats. What it returns is copied into the chain's own memory, in the chain's dtype.

    Parameters
    ----------
    names : what messages call the layers; by default 0, 1, ...

    Attributes
    ----------
    values : x, and the output of each layer, of the last forward pass; None before it
    """

    _transient = ("values",)

    def __init__(
        self, layers: Iterable[Any], names: str = "{}", *, dtype: str = "float32", backend: str | Backend = "numpy"
    ) -> None:
        self.layers, self._names = list(layers), names
        self.dtype, self.backend = dtype, resolve_backend(backend)
        self._buffers = RowBuffers(self.backend, dtype)
        self.values: list[np.ndarray] | None = None

    def name(self, place: int) -> str:
        """What messages call the layer at a place: its name and, where it is of one's own, its class."""
        layer, name = self.layers[place], self._names.format(place)
        return name if type(layer) is Dense else f"{name} ({type(layer).__name__})"

    def outputs(self, inputs: int, expected: int | None = None, first: bool = True) -> int:
        """The width of what comes out for so many inputs; ValueError, naming it, for a layer that does not fit.

        expected : what that width must be; first : whether no gradient with respect to the input is needed
        """
        width = inputs
        for place, layer in enumerate(self.layers):
            name, last = self.name(place), expected if place == len(self.layers) - 1 else None
            if type(layer) is Dense:
                expect(layer.inputs == width, name, f"a layer of {layer.inputs} inputs", f"one of {width}")
                expect(last in (None, layer.outputs), name, f"a layer of {layer.outputs} outputs", f"one of {last}")
                width = layer.outputs
            else:
                width = Trial(name, layer, self.dtype).layer(width, last, first and place == 0)
        return width

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.values = values = [x]
        for place, layer in enumerate(self.layers):
            y = layer.forward(x)
            x = y if type(layer) is Dense else self._kept(f"y of {self.name(place)}", y, x.shape[0])
            values.append(x)
        return x

    def backward(self, dy: np.ndarray, input_gradient: bool = True) -> np.ndarray:
        for place in reversed(range(len(self.layers))):
            layer, wanted = self.layers[place], input_gradient or place > 0
            if type(layer) is Dense:
                dy = layer.backward(dy, wanted)
            else:
                dx = layer.backward(dy)
                dy = self._kept(f"dx of {self.name(place)}", dx, dy.shape[0]) if wanted else NO_ARRAY
        return dy

    def _kept(self, name, array, rows):
        """What a layer of one's own returned, where it is in no one else's way and stays from step to step."""
        real = isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.ndim == 2 and len(array) == rows
        expect(real, name, array, f"a float array of {rows} rows")
        kept = self._buffers(name, rows, array.shape[1])
        np.copyto(kept, array, casting="same_kind")
        return kept

    def __repr__(self) -> str:
        return f"Chain({self.layers})"


def as_reals(x: np.ndarray, dtype: str) -> np.ndarray:
    """Data that `check_data` gave, C-contiguous and of `dtype`: bytes are divided by 255, other numbers are kept."""
    if x.dtype == np.uint8:
        return np.divide(x, 255, dtype=dtype)
    return np.ascontiguousarray(x, dtype=dtype)
