"""Dense layers: a matrix product, a bias and an activation."""

import math

import numpy as np

from .tools import (
    BY_INPUT,
    ELEMENTARY,
    as_bf16,
    derivative_source,
    eps,
    matrix,
    output,
    sigmoid,
    softplus,
)

ACTIVATIONS = ("identity", "relu", "tanh", "sigmoid", "softplus", "leaky_relu", "gelu", "silu")
LEAK = 0.01  # the slope of leaky_relu below 0
PRECISIONS = ("full", "bf16")  # what the operands of a layer's products are rounded to before they are multiplied


def _operand_of(precision):
    """The function that makes of an array the operand of a product, in float64: `as_bf16`, or one that rounds nothing.

    Raises ValueError for a precision that is none of PRECISIONS.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: got {precision!r}, expected one of {', '.join(map(repr, PRECISIONS))}")
    return as_bf16 if precision == "bf16" else np.float64


def _activate(a, activation):
    if activation == "identity":
        return a
    if activation == "relu":
        return max(a, 0.0)
    if activation == "tanh":
        return math.tanh(a)
    if activation == "sigmoid":
        return sigmoid(a)
    if activation == "softplus":
        return softplus(a)
    if activation == "leaky_relu":
        return a if a > 0 else LEAK * a
    if activation == "gelu":
        return a * _normal_cdf(a)
    return a * sigmoid(a)


def _normal_cdf(a):
    return 0.5 * math.erfc(-a / math.sqrt(2.0))


def _derivative_from_output(y, activation):
    if activation == "identity":
        return 1.0
    if activation == "relu":
        return 1.0 if y > 0 else 0.0
    if activation == "tanh":
        return 1.0 - y * y
    if activation == "sigmoid":
        return y * (1.0 - y)
    if activation == "softplus":
        return -math.expm1(-y)
    return 1.0 if y > 0 else LEAK


def _derivative_from_input(a, activation):
    if activation == "gelu":
        return _normal_cdf(a) + a * math.exp(-0.5 * a * a) / math.sqrt(2.0 * math.pi)
    s = sigmoid(a)
    return s * (1.0 + a * (1.0 - s))


def dense_forward(x, weight, bias, activation, y, a=None, precision="full"):
    """y = activation(a) with a = x @ weight + bias.

    x (rows, inputs), weight (inputs, outputs), bias (outputs,), y (rows, outputs); activation is one of ACTIVATIONS. An
    activation of BY_INPUT leaves its input in a (rows, outputs) for `dense_backward`; the others take no notice of a.
    leaky_relu(a) = max(a, LEAK a); gelu(a) = a Phi(a), with the normal distribution function, and silu(a) =
    a sigmoid(a): Hendrycks and Gimpel, "Gaussian error linear units" (arXiv:1606.08415).

    With precision "bf16" x and weight are rounded to bfloat16 before they are multiplied; sums stay float32, the only
    dtype that has it (Kalamkar et al., "A study of BFLOAT16 for deep learning training", arXiv:1905.12322).
    """
    source, rounded = derivative_source(activation, y, a), _operand_of(precision)
    x, weight = rounded(x), rounded(weight)
    rows, inputs = x.shape
    for i in range(rows):
        for j in range(weight.shape[1]):
            total = float(bias[j])
            for k in range(inputs):
                total += float(x[i, k]) * float(weight[k, j])
            source[i, j] = total
            y[i, j] = _activate(total, activation)


def dense_backward(x, weight, y, dy, activation, dx, dweight, dbias, a=None, precision="full"):
    """With da = dy * activation'(a): dx = da @ weight.T, dweight = x.T @ da, dbias = sum of the rows of da.

    The derivative is taken from the output: relu' = [y > 0], tanh' = 1 - y^2, sigmoid' = y (1 - y),
    softplus' = 1 - exp(-y), leaky_relu' = 1 if y > 0, else LEAK. For BY_INPUT it is taken from a, as `dense_forward`
    left it, and y is not read: gelu' = Phi(a) + a phi(a), with the normal density phi; silu' = s (1 + a (1 - s)) with
    s = sigmoid(a). Shapes as in `dense_forward`; dx may be None (the first layer needs none).

    With precision "bf16" x, weight and da are rounded to bfloat16 before they are multiplied; dbias is a sum of da as
    it is.
    """
    source, rounded = derivative_source(activation, y, a), _operand_of(precision)
    derivative = _derivative_from_output if source is y else _derivative_from_input
    rows, inputs = x.shape
    outputs = weight.shape[1]
    da = [[float(dy[i, j]) * derivative(float(source[i, j]), activation) for j in range(outputs)] for i in range(rows)]
    x, weight, da_rounded = rounded(x), rounded(weight), rounded(da)
    for k in range(inputs):
        for j in range(outputs):
            total = 0.0
            for i in range(rows):
                total += float(x[i, k]) * da_rounded[i, j]
            dweight[k, j] = total
    for j in range(outputs):
        dbias[j] = sum(da[i][j] for i in range(rows))
    if dx is not None:
        for i in range(rows):
            for k in range(inputs):
                dx[i, k] = sum(da_rounded[i, j] * float(weight[k, j]) for j in range(outputs))


def _steepest(activation):
    """A bound on the derivative: gelu's is largest at the square root of 2."""
    return 1.13 if activation in BY_INPUT else 1.0


def _shapes(rng):
    """Rows, inputs, outputs."""
    yield from ((1, 1, 1), (1, 5, 3), (3, 1, 2), (2, 7, 1), (17, 31, 33), (13, 64, 29), (33, 65, 67))
    for _ in range(4):
        yield tuple(int(n) for n in rng.integers(1, 70, 3))


def _activated(x, weight, bias, activation):
    """y, and a where the activation leaves it."""
    y = np.empty((x.shape[0], weight.shape[1]))
    a = np.empty_like(y) if activation in BY_INPUT else None
    dense_forward(x, weight, bias, activation, y, a)
    return y.astype(x.dtype), a if a is None else a.astype(x.dtype)


def _kinds(dtype):
    """Pairs of an activation and a precision."""
    yield from ((activation, "full") for activation in ACTIVATIONS)
    if dtype == "float32":
        yield from (("identity", "bf16"), ("relu", "bf16"), ("gelu", "bf16"))


def dense_forward_cases(dtype, rng):
    for rows, inputs, outputs in _shapes(rng):
        for activation, precision in _kinds(dtype):
            x, weight = matrix(rng, (rows, inputs), dtype), matrix(rng, (inputs, outputs), dtype)
            bias = matrix(rng, outputs, dtype)
            size = np.abs(x) @ np.abs(weight) + np.abs(bias)
            # rounded operands are the same on every backend, up to 2^-8 larger each
            product = (inputs + 1) * size * (1.01 if precision == "bf16" else 1)
            bounds = {"y": eps(dtype) * (_steepest(activation) * product + ELEMENTARY * (1 + size))}
            a = None
            if activation in BY_INPUT:
                a, bounds["a"] = output((rows, outputs), dtype), eps(dtype) * product
            yield [x, weight, bias, activation, output((rows, outputs), dtype), a, precision], bounds


def dense_backward_cases(dtype, rng):
    for number, (rows, inputs, outputs) in enumerate(_shapes(rng)):
        for activation, precision in _kinds(dtype):
            x, weight = matrix(rng, (rows, inputs), dtype), matrix(rng, (inputs, outputs), dtype)
            y, a = _activated(x, weight, matrix(rng, outputs, dtype), activation)
            dy = matrix(rng, (rows, outputs), dtype)
            # activation' is off by a few roundings
            size, few = _steepest(activation) * np.abs(dy), ELEMENTARY + 2
            dx = None if number % 3 == 1 else output((rows, inputs), dtype)
            # where da is off by a rounding, what it is rounded to may be the next one, 2^-7 of it further
            step = 2.0**-7 if precision == "bf16" and activation in BY_INPUT else 0.0
            large = 1.01 if precision == "bf16" else 1
            bounds = {
                "dx": large * (eps(dtype) * (outputs + few) + step) * (size @ np.abs(weight.T)),
                "dweight": large * (eps(dtype) * (rows + few) + step) * (np.abs(x.T) @ size),
                "dbias": eps(dtype) * (rows + few) * size.sum(axis=0),
            }
            if dx is None:
                del bounds["dx"]
            arrays = [dx, output(weight.shape, dtype), output(outputs, dtype)]
            yield [x, weight, y, dy, activation, *arrays, a, precision], bounds


class Dense:
    dense_forward = staticmethod(dense_forward)
    dense_backward = staticmethod(dense_backward)
