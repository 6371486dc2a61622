"""Dense layers: two matrix products around an activation. The functions are stated in `naive.py`."""

import functools
from types import SimpleNamespace

import numpy as np

from ..naive import ACTIVATIONS
from .checks import matches, one_of, real_of
from .contract import contract
from .jit import inline, kernel
from .matmul import plan_matmul
from .memory import REAL_VECTORS, share, word
from .scalar import mathfun_for

# Element operations that one element costs, for the choice whether to split.
_COST = {"relu": 1, "tanh": 6, "sigmoid": 6, "softplus": 8}


def _elementwise(real_name, name, operation, inputs):
    """A kernel over flat arrays: the last = operation(the others, element by element)."""
    vector = REAL_VECTORS[real_name]

    def unary(arguments, part, parts):
        first, last = share(word(arguments, 0), part, parts)
        x, y = vector(word(arguments, 1), last), vector(word(arguments, 2), last)
        for i in range(first, last):
            y[i] = operation(x[i])

    def binary(arguments, part, parts):
        first, last = share(word(arguments, 0), part, parts)
        x, y, z = (vector(word(arguments, 1), last), vector(word(arguments, 2), last), vector(word(arguments, 3), last))
        for i in range(first, last):
            z[i] = operation(x[i], y[i])

    function = unary if inputs == 1 else binary
    function.__name__ = name
    return kernel(real_name)(function)


@functools.cache
def activation_kernels(real_name):
    """`forward[activation]`: y = activation(a); `backward[activation]`: da = dy * activation', from dy and y."""
    functions = mathfun_for(real_name)
    real = np.dtype(real_name).type
    zero, one = real(0), real(1)
    expm1_down = functions.expm1_down

    @inline
    def relu_backward(dy, y):
        return dy if y > zero else zero

    @inline
    def tanh_backward(dy, y):
        return dy * (one - y * y)

    @inline
    def sigmoid_backward(dy, y):
        return dy * (y * (one - y))

    @inline
    def softplus_backward(dy, y):
        return dy * -expm1_down(-y)

    forward = {"tanh": functions.tanh, "sigmoid": functions.sigmoid, "softplus": functions.softplus}
    backward = {
        "relu": relu_backward,
        "tanh": tanh_backward,
        "sigmoid": sigmoid_backward,
        "softplus": softplus_backward,
    }
    return SimpleNamespace(
        forward={name: _elementwise(real_name, f"{name}_forward", f, 1) for name, f in forward.items()},
        backward={name: _elementwise(real_name, f"{name}_backward", f, 2) for name, f in backward.items()},
    )


def _check(x, weight, activation):
    real_name = real_of("x", x)
    one_of("activation", activation, ACTIVATIONS)
    if x.ndim != 2 or weight.ndim != 2:
        raise ValueError(f"x and weight: got {x.ndim} and {weight.ndim} dimensions, expected matrices")
    matches("x", x, x.shape, real_name)
    matches("weight", weight, (x.shape[1], weight.shape[1]), real_name)
    return real_name, x.shape[0], x.shape[1], weight.shape[1]


@contract
def dense_forward(plan, x, weight, bias, activation, y):
    real_name, rows, inputs, outputs = _check(x, weight, activation)
    matches("bias", bias, (outputs,), real_name)
    matches("y", y, (rows, outputs), real_name)
    strides = inputs * x.itemsize, x.itemsize
    plan_matmul(plan, real_name, x, strides, weight, y, bias=bias, relu=activation == "relu")
    if activation in ("tanh", "sigmoid", "softplus"):
        forward = activation_kernels(real_name).forward[activation]
        plan.add(forward, [y.size, y, y], work=y.size * _COST[activation])


@contract
def dense_backward(plan, x, weight, y, dy, activation, dx, dweight, dbias):
    real_name, rows, inputs, outputs = _check(x, weight, activation)
    matches("y", y, (rows, outputs), real_name)
    matches("dy", dy, (rows, outputs), real_name)
    matches("dweight", dweight, weight.shape, real_name)
    matches("dbias", dbias, (outputs,), real_name)
    da = dy
    if activation != "identity" and plan.gate_of(dy) is None:
        da = plan.scratch((rows, outputs), real_name)
        backward = activation_kernels(real_name).backward[activation]
        plan.add(backward, [y.size, dy, y, da], work=y.size * _COST[activation])
    itemsize = x.itemsize
    plan_matmul(plan, real_name, x.T, (itemsize, inputs * itemsize), da, dweight, sums=dbias)
    if dx is not None:
        matches("dx", dx, (rows, inputs), real_name)
        strides, gate = (outputs * itemsize, itemsize), plan.gate_of(dx)
        plan_matmul(plan, real_name, da, strides, weight, dx, b_transposed=True, gate=gate, along=True)
