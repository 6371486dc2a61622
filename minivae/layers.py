"""Layers with hand-written backward passes.

A layer's `forward` keeps what its `backward` needs, in its own buffers, which the next `forward` overwrites.
`backward` takes the gradient of the loss by the layer's output and returns that by its input; parameter gradients are
assigned, not added to.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .errors import expect, expect_array, expect_choice, expect_integer, expect_seed
from .kernels import Backend, load_backend
from .kernels.naive import ACTIVATIONS
from .parameters import DTYPES, Parameters, Portable, RowBuffers, initial_dense

# What stands for an array before the first forward pass, and for a gradient that is not asked for. Its type is that of
# the arrays, so that whoever uses them need not rule out None each time.
NO_ARRAY: np.ndarray = None  # type: ignore[assignment]


def resolve_backend(backend: str | Backend) -> Backend:
    """A backend by name, or a Backend as it is."""
    return backend if isinstance(backend, Backend) else load_backend(backend)


class Dense(Portable):
    """y = activation(x @ weight + bias).

    Parameters
    ----------
    inputs, outputs : widths; weight is (inputs, outputs), bias (outputs,)
    activation : "identity", "relu", "tanh", "sigmoid" or "softplus"
    dtype : "float32" or "float64"
    backend : a name, or the `Backend` that a model's layers share
    seed, index : the initial values are a function of these two (see `initial_dense`)
    parameters, gradients : views of a model's buffers under "weight" and "bias"; by default the layer makes its own

    Raises
    ------
    ValueError
        For a width below 1, an unknown activation or dtype, or an input of another width or dtype.
    """

    _transient, _shown = ("x", "y"), ("inputs", "outputs", "activation")

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
        expect_choice("activation", activation, ACTIVATIONS)
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

    @staticmethod
    def shapes(inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
        return {"weight": (inputs, outputs), "bias": (outputs,)}

    def forward(self, x: np.ndarray) -> np.ndarray:
        """y (rows, outputs) from x (rows, inputs)."""
        expect_array("x", x, (None, self.inputs), self.dtype)
        self.x, self.y = x, self._buffers("y", x.shape[0], self.outputs)
        self.backend.dense_forward(x, self.parameters["weight"], self.parameters["bias"], self.activation, self.y)
        return self.y

    def backward(self, dy: np.ndarray, input_gradient: bool = True) -> np.ndarray:
        """With da = dy * activation'(a): dweight = x.T @ da, dbias = sum of da over rows; returns dx = da @ weight.T.

        `input_gradient=False` skips dx, which a first layer does not need, and returns None.
        """
        expect(self.x is not None, "backward", "no forward pass", "a forward pass before it")
        expect_array("dy", dy, self.y.shape, self.dtype)
        dx = self._buffers("dx", self.x.shape[0], self.inputs) if input_gradient else NO_ARRAY
        self.backend.dense_backward(
            self.x,
            self.parameters["weight"],
            self.y,
            dy,
            self.activation,
            dx,
            self.gradients["weight"],
            self.gradients["bias"],
        )
        return dx


class Chain(Portable):
    """Layers one after another: forward in order, backward in reverse. An empty chain passes its input on."""

    def __init__(self, layers: Iterable[Any]) -> None:
        self.layers = list(layers)

    def forward(self, x: np.ndarray) -> np.ndarray:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy: np.ndarray, input_gradient: bool = True) -> np.ndarray:
        for layer in reversed(self.layers):
            dy = layer.backward(dy, input_gradient or layer is not self.layers[0])
        return dy

    def __repr__(self) -> str:
        return f"Chain({self.layers})"


def layer_plan(
    features: int, latent: int, hidden: Sequence[int], decoder_hidden: Sequence[int], activation: str
) -> dict[str, tuple[int, int, str]]:
    """(inputs, outputs, activation) of each dense layer by its name."""
    widths, decoder_widths = (features, *hidden), (latent, *decoder_hidden)
    plan = {f"encoder.{i}": (*pair, activation) for i, pair in enumerate(pairwise(widths))}
    plan["posterior"] = (widths[-1], 2 * latent, "identity")
    plan |= {f"decoder.{i}": (*pair, activation) for i, pair in enumerate(pairwise(decoder_widths))}
    plan["likelihood"] = (decoder_widths[-1], features, "identity")
    return plan


def parameter_shapes(
    features: int,
    latent: int,
    hidden: Sequence[int],
    decoder_hidden: Sequence[int],
    learn_sigma: bool = False,
    **others: object,
) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter of a model with these arguments, by its name; nothing is allocated."""
    shapes = {
        f"{layer}.{name}": shape
        for layer, (inputs, outputs, _) in layer_plan(features, latent, hidden, decoder_hidden, "").items()
        for name, shape in Dense.shapes(inputs, outputs).items()
    }
    return shapes | ({"likelihood.log_sigma": (1,)} if learn_sigma else {})


def as_reals(x: np.ndarray, dtype: str) -> np.ndarray:
    """Data that `check_data` gave, C-contiguous and of `dtype`: bytes are divided by 255, other numbers are kept."""
    if x.dtype == np.uint8:
        return np.divide(x, 255, dtype=dtype)
    return np.ascontiguousarray(x, dtype=dtype)
