"""Networks that put out the same bits on every machine: whole numbers, kept in float64.

Weights are rounded to multiples of a power of two, activations to multiples of 2^-ACTIVATION_BITS, and both are kept as
the whole numbers of those multiples. As long as no partial sum of a matrix product can reach 2^53, which is checked
when a network is made, there is nothing to round: any order of summation, any BLAS, any number of threads, with fused
multiply-add or without, gives the same numbers. So do ReLU, scaling by powers of two and rounding to whole numbers;
other activations are tables.
"""

import hashlib
from typing import NamedTuple

import numpy as np

from ..errors import expect
from . import tables
from .tables import ACTIVATION_BITS, ONE

WEIGHT_BITS = 14  # weights are multiples of 2^-14
BYTE_WEIGHT_BITS = 22  # those of inputs that are bytes, which are divided by 255
LARGEST = 1 << 10  # activations are limited to +- this
EXACT = 2.0**53  # every whole number up to here is a float64
LEAK = 0.01
FINEST = 30  # the unit of weights of a number of bits is 2^-30 at the least, and below 2^BITS
BITS = 64
NEEDS = "weights for which whole numbers below 2^53 do: a model that has not diverged"


class Layer(NamedTuple):
    """y = activation(x @ weight + bias): `weight` (inputs, outputs) and `bias` (outputs,) are whole numbers in float64,
    weights in units of 2^-bits and biases in those of the products.
    """

    weight: np.ndarray
    bias: np.ndarray
    activation: str
    bits: int

    def digest(self, state):
        for part in (self.weight, self.bias):
            state.update(np.ascontiguousarray(part, "<f8").data)
        state.update(f"{self.weight.shape} {self.activation} {self.bits}\n".encode())


def whole_layer(name, weight, bias, activation, *, of_bytes=False, weight_bits=None):
    """The `Layer` of float weights; ValueError, naming it, where they are not finite. of_bytes: its inputs are bytes in
    place of bytes / 255. weight_bits : for weights of so many bits, sign included, whose unit then follows from the
    largest.
    """
    for part, array in (("weight", weight), ("bias", bias)):
        finite = np.isfinite(array).all()
        expect(finite, f"{name}.{part}", "NaN or infinity", "finite numbers: only these can be rounded to whole ones")
    weight = np.asarray(weight, np.float64) / 255 if of_bytes else np.asarray(weight, np.float64)
    largest = float(np.abs(weight).max())
    if weight_bits is None:
        bits = BYTE_WEIGHT_BITS if of_bytes else WEIGHT_BITS
    else:
        bits = min(weight_bits - 1 - int(np.frexp(largest)[1]), FINEST) if largest else 0
    with np.errstate(over="ignore"):  # infinity is refused, here or by `Exact`
        whole = np.rint(np.ldexp(weight, bits))
        whole_bias = np.rint(np.ldexp(np.asarray(bias, np.float64), bits + ACTIVATION_BITS))
    expect(abs(bits) < BITS, f"{name}.weight", f"{largest:.3g}", NEEDS)
    expect(np.abs(whole_bias).max() < EXACT, f"{name}.bias", f"{float(np.abs(bias).max()):.3g}", NEEDS)
    if weight_bits is not None:  # the largest may have been rounded up to a power of two
        np.clip(whole, 1 - 2 ** (weight_bits - 1), 2 ** (weight_bits - 1) - 1, out=whole)
    return Layer(whole + 0.0, whole_bias + 0.0, activation, bits)  # no -0, which has other bits


class Exact:
    """Layers one after another, from whole numbers to whole numbers.

    Parameters
    ----------
    layers : list of `Layer`
    largest : the inputs' largest absolute value
    bits : their unit is 2^-bits: 0 for pixels and bytes, ACTIVATION_BITS for z

    Raises
    ------
    ValueError
        Where a partial sum could reach 2^53.
    """

    def __init__(self, name, layers, largest, bits):
        self._layers = []
        for i, layer in enumerate(layers):
            lift = 2.0 ** (ACTIVATION_BITS - bits)
            # a bias is in units of 2^-(bits + ACTIVATION_BITS); with inputs of another unit it is brought to theirs
            bias = np.rint(layer.bias / lift)
            with np.errstate(over="ignore"):
                reach = float((np.abs(layer.weight).sum(axis=0) * largest + np.abs(bias)).max())
            expect(reach < EXACT, f"{name}, layer {i}", f"sums that may reach {reach:.3g}", NEEDS)
            self._layers.append((layer.weight, bias, layer.activation, 2.0 ** (ACTIVATION_BITS - layer.bits - bits)))
            largest, bits = LARGEST * ONE, ACTIVATION_BITS

    def __call__(self, x):
        """(n, outputs) whole numbers in units of 2^-ACTIVATION_BITS, from whole numbers (n, inputs), all in float64."""
        for weight, bias, activation, scale in self._layers:
            a = x @ weight
            a += bias
            a *= scale
            np.rint(a, out=a)
            np.clip(a, -LARGEST * ONE, LARGEST * ONE, out=a)
            x = activate(activation, a)
        return x


def activate(name, a):
    """activation(a) in whole numbers; a, whole numbers in float64, may be overwritten."""
    if name == "identity":
        return a
    if name == "relu":
        return np.maximum(a, 0, out=a)
    if name == "leaky_relu":
        return np.maximum(a, np.rint(a * LEAK))
    table = tables.gelu() if name == "gelu" else tables.activation(name)
    value = table[np.minimum(np.abs(a), len(table) - 1).astype(np.int32)].astype(np.float64)
    if name == "tanh":
        return np.copysign(value, a)
    if name == "sigmoid":
        return np.where(a < 0, ONE - value, value)
    np.maximum(a, 0, out=a)
    return a + value if name == "softplus" else a - value


def fingerprint(layers, settings):
    """SHA-256 of whole weights and what else decides about the bits, as hexadecimal digits."""
    state = hashlib.sha256(settings.encode())
    for layer in layers:
        layer.digest(state)
    return state.hexdigest()
