"""Dense layers: a matrix product, a bias and an activation."""

import math

import numpy as np

from .tools import ELEMENTARY, eps, matrix, output, sigmoid, softplus

ACTIVATIONS = ("identity", "relu", "tanh", "sigmoid", "softplus")


def _activate(a, activation):
    if activation == "identity":
        return a
    if activation == "relu":
        return max(a, 0.0)
    if activation == "tanh":
        return math.tanh(a)
    if activation == "sigmoid":
        return sigmoid(a)
    return softplus(a)


def _derivative_from_output(y, activation):
    if activation == "identity":
        return 1.0
    if activation == "relu":
        return 1.0 if y > 0 else 0.0
    if activation == "tanh":
        return 1.0 - y * y
    if activation == "sigmoid":
        return y * (1.0 - y)
    return -math.expm1(-y)


def dense_forward(x, weight, bias, activation, y):
    """y = activation(x @ weight + bias).

    x (rows, inputs), weight (inputs, outputs), bias (outputs,), y (rows, outputs); activation is one of ACTIVATIONS.
    """
    rows, inputs = x.shape
    for i in range(rows):
        for j in range(weight.shape[1]):
            total = float(bias[j])
            for k in range(inputs):
                total += float(x[i, k]) * float(weight[k, j])
            y[i, j] = _activate(total, activation)


def dense_backward(x, weight, y, dy, activation, dx, dweight, dbias):
    """With da = dy * activation'(a): dx = da @ weight.T, dweight = x.T @ da, dbias = sum of the rows of da.

    The derivative is taken from the output: relu' = [y > 0], tanh' = 1 - y^2, sigmoid' = y (1 - y),
    softplus' = 1 - exp(-y). Shapes as in `dense_forward`; dx may be None (the first layer needs none).
    """
    rows, inputs = x.shape
    outputs = weight.shape[1]
    da = [
        [float(dy[i, j]) * _derivative_from_output(float(y[i, j]), activation) for j in range(outputs)]
        for i in range(rows)
    ]
    for k in range(inputs):
        for j in range(outputs):
            total = 0.0
            for i in range(rows):
                total += float(x[i, k]) * da[i][j]
            dweight[k, j] = total
    for j in range(outputs):
        dbias[j] = sum(da[i][j] for i in range(rows))
    if dx is not None:
        for i in range(rows):
            for k in range(inputs):
                dx[i, k] = sum(da[i][j] * float(weight[k, j]) for j in range(outputs))


def _shapes(rng):
    """Rows, inputs, outputs."""
    yield from ((1, 1, 1), (1, 5, 3), (3, 1, 2), (2, 7, 1), (17, 31, 33), (13, 64, 29), (33, 65, 67))
    for _ in range(4):
        yield tuple(int(n) for n in rng.integers(1, 70, 3))


def _activated(x, weight, bias, activation):
    y = np.empty((x.shape[0], weight.shape[1]))
    dense_forward(x, weight, bias, activation, y)
    return y.astype(x.dtype)


def dense_forward_cases(dtype, rng):
    for rows, inputs, outputs in _shapes(rng):
        for activation in ACTIVATIONS:
            x, weight = matrix(rng, (rows, inputs), dtype), matrix(rng, (inputs, outputs), dtype)
            bias = matrix(rng, outputs, dtype)
            size = np.abs(x) @ np.abs(weight) + np.abs(bias)
            bound = eps(dtype) * ((inputs + 1) * size + ELEMENTARY * (1 + size))
            yield [x, weight, bias, activation, output((rows, outputs), dtype)], {"y": bound}


def dense_backward_cases(dtype, rng):
    for number, (rows, inputs, outputs) in enumerate(_shapes(rng)):
        for activation in ACTIVATIONS:
            x, weight = matrix(rng, (rows, inputs), dtype), matrix(rng, (inputs, outputs), dtype)
            y = _activated(x, weight, matrix(rng, outputs, dtype), activation)
            dy = matrix(rng, (rows, outputs), dtype)
            # activation' is at most 1 and off by a few roundings
            size, few = np.abs(dy), ELEMENTARY + 2
            dx = None if number % 3 == 1 else output((rows, inputs), dtype)
            bounds = {
                "dx": eps(dtype) * (outputs + few) * (size @ np.abs(weight.T)),
                "dweight": eps(dtype) * (rows + few) * (np.abs(x.T) @ size),
                "dbias": eps(dtype) * (rows + few) * size.sum(axis=0),
            }
            if dx is None:
                del bounds["dx"]
            arrays = [dx, output(weight.shape, dtype), output(outputs, dtype)]
            yield [x, weight, y, dy, activation, *arrays], bounds


class Dense:
    dense_forward = staticmethod(dense_forward)
    dense_backward = staticmethod(dense_backward)
