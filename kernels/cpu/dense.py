"""Dense layers: two matrix products around an activation. The functions are stated in `naive`."""

import functools
from types import SimpleNamespace

from ..naive import ACTIVATIONS, BY_INPUT, LEAK, PRECISIONS
from ..naive.tools import derivative_source
from .bf16 import plan_bf16_product
from .checks import matches, one_of, real_of
from .contract import contract
from .jit import inline, kernel
from .matmul import plan_matmul
from .memory import memory_of, share
from .scalar import mathfun_for
from .sparse import plan_product

# Element operations that one element costs, for the choice whether to split.
_COST = {"relu": 1, "tanh": 6, "sigmoid": 6, "softplus": 8, "leaky_relu": 1, "gelu": 12, "silu": 6}


def _forward(real_name, name, activation):
    """A kernel over flat arrays: y = activation(a)."""
    vector = memory_of(real_name).vector

    def forward(given, part, parts):
        first, last = share(given.size, part, parts)
        a, y = vector(given.a, last), vector(given.y, last)
        for i in range(first, last):
            y[i] = activation(a[i])

    forward.__name__ = f"{name}_forward"
    return kernel(real_name, "size a y")(forward)


def _backward(real_name, name, derivative):
    """A kernel over flat arrays: da = dy * activation'(a) = derivative(dy, y), or for BY_INPUT derivative(dy, a)."""
    vector = memory_of(real_name).vector

    def backward(given, part, parts):
        first, last = share(given.size, part, parts)
        dy, y, da = vector(given.dy, last), vector(given.y, last), vector(given.da, last)
        for i in range(first, last):
            da[i] = derivative(dy[i], y[i])

    backward.__name__ = f"{name}_backward"
    return kernel(real_name, "size dy y da")(backward)


@functools.cache
def activation_kernels(real_name):
    """`forward[activation]`: y = activation(a); `backward[activation]`: da = dy * activation', from dy and y or a."""
    functions = mathfun_for(real_name)
    real = memory_of(real_name).type
    zero, one, leak = real(0), real(1), real(LEAK)
    expm1_down, gelu_slope, silu_slope = functions.expm1_down, functions.gelu_slope, functions.silu_slope

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

    @inline
    def leaky_relu(a):
        return a if a > zero else leak * a

    @inline
    def leaky_relu_backward(dy, y):
        return dy if y > zero else leak * dy

    @inline
    def gelu_backward(dy, a):
        return dy * gelu_slope(a)

    @inline
    def silu_backward(dy, a):
        return dy * silu_slope(a)

    forward = {name: getattr(functions, name) for name in ("tanh", "sigmoid", "softplus", *BY_INPUT)}
    forward["leaky_relu"] = leaky_relu
    backward = {
        "relu": relu_backward,
        "tanh": tanh_backward,
        "sigmoid": sigmoid_backward,
        "softplus": softplus_backward,
        "leaky_relu": leaky_relu_backward,
        "gelu": gelu_backward,
        "silu": silu_backward,
    }
    return SimpleNamespace(
        forward={name: _forward(real_name, name, f) for name, f in forward.items()},
        backward={name: _backward(real_name, name, f) for name, f in backward.items()},
    )


def _check(x, weight, activation):
    real_name = real_of("x", x)
    one_of("activation", activation, ACTIVATIONS)
    if x.ndim != 2 or weight.ndim != 2:
        raise ValueError(f"x and weight: got {x.ndim} and {weight.ndim} dimensions, expected matrices")
    matches("x", x, x.shape, real_name)
    matches("weight", weight, (x.shape[1], weight.shape[1]), real_name)
    return real_name, x.shape[0], x.shape[1], weight.shape[1]


def _source(activation, y, a):
    source = derivative_source(activation, y, a)
    if source is not y:
        matches("a", source, y.shape, y.dtype)
    return source


def _product(real_name, precision, full):
    """The planner of products of this precision; `full` is the one that rounds no operand."""
    one_of("precision", precision, PRECISIONS if real_name == "float32" else PRECISIONS[:1])
    return full if precision == "full" else plan_bf16_product


@contract("y a")
def dense_forward(plan, x, weight, bias, activation, y, a=None, precision="full"):
    real_name, rows, _, outputs = _check(x, weight, activation)
    matches("bias", bias, (outputs,), real_name)
    matches("y", y, (rows, outputs), real_name)
    product = _source(activation, y, a)
    multiply = _product(real_name, precision, plan_product)
    multiply(plan, x, weight, product, bias=bias, relu=activation == "relu")
    if activation not in ("identity", "relu"):
        forward = activation_kernels(real_name).forward[activation]
        plan.add(forward, {"size": y.size, "a": product, "y": y}, work=y.size * _COST[activation])


@contract("dx dweight dbias")
def dense_backward(plan, x, weight, y, dy, activation, dx, dweight, dbias, a=None, precision="full"):
    real_name, rows, inputs, outputs = _check(x, weight, activation)
    matches("y", y, (rows, outputs), real_name)
    matches("dy", dy, (rows, outputs), real_name)
    matches("dweight", dweight, weight.shape, real_name)
    matches("dbias", dbias, (outputs,), real_name)
    da = dy
    if activation != "identity" and plan.gate_of(dy) is None:
        source, da = _source(activation, y, a), plan.scratch((rows, outputs), real_name)
        backward = activation_kernels(real_name).backward[activation]
        plan.add(backward, {"size": y.size, "dy": dy, "y": source, "da": da}, work=y.size * _COST[activation])
    _product(real_name, precision, plan_product)(plan, x, da, dweight, a_transposed=True, sums=dbias)
    if dx is not None:
        matches("dx", dx, (rows, inputs), real_name)
        multiply = _product(real_name, precision, functools.partial(plan_matmul, along=True))
        multiply(plan, da, weight, dx, b_transposed=True, gate=plan.gate_of(dx))
