"""Right code in awkward dress: shapes, memory, scales, kinks, float32 data; and wrong claims where there are kinks.

Each case is a name and what check_gradients takes: target, inputs and options.
"""

import numpy as np

from .networks import relu_network
from .norms import BatchNorm, Dropout
from .registry import FAMILIES, Case, Data, softmax

OUTSIDE = "outside|kink|slope"


class Layer:
    """A layer from two functions: forward(x) -> y, backward(dy, x) -> dx. It has a flag that is not differentiated."""

    def __init__(self, value, derivative):
        self.value, self.derivative = value, derivative

    def forward(self, x, *, train=True):
        self.x = x
        return self.value(x)

    def backward(self, dy):
        return self.derivative(dy, self.x)


class OneParameter:
    """y = f(x @ W) or f(x + W), with f' a function of y."""

    def __init__(self, W, product, value, slope):
        self.parameters, self.gradients = {"W": W}, {"W": np.zeros_like(W)}
        self.product, self.value, self.slope = product, value, slope

    def forward(self, x):
        W = self.parameters["W"]
        self.x, self.y = x, self.value(x @ W if self.product else x + W)
        return self.y

    def backward(self, dy):
        da = dy * self.slope(self.y)
        self.gradients["W"] = self.x.T @ da if self.product else da.sum(0)
        return da @ self.parameters["W"].T if self.product else da


class Flat:
    """Parameters and gradients are views into vectors, the gradients' one strided."""

    def __init__(self, data):
        values, gradients = data.normal(24), np.zeros((24, 2))
        self.parameters = {"W": values[:20].reshape(5, 4), "b": values[20:]}
        inside = np.lib.stride_tricks.as_strided(gradients, (5, 4), (4 * 16, 16))
        self.gradients = {"W": inside, "b": gradients[20:, 0]}

    def forward(self, x):
        self.x = x
        return x @ self.parameters["W"] + self.parameters["b"]

    def backward(self, dy):
        self.gradients["W"][...] = self.x.T @ dy
        self.gradients["b"][...] = dy.sum(0)
        return dy @ self.parameters["W"].T


class Stack:
    """backward takes its cache from a stack: one backward for one forward."""

    def __init__(self):
        self.caches = []

    def forward(self, x):
        self.caches.append(x)
        return np.tanh(x)

    def backward(self, dy):
        return dy * (1 - np.tanh(self.caches.pop()) ** 2)


def function(value, gradient, *inputs):
    return value, inputs, {"gradient": gradient}


def elementwise(value, slope):
    return Layer(value, lambda dy, x: dy * slope(x))


def tanh_of_product(W):
    return OneParameter(W, True, np.tanh, lambda y: 1 - y**2)


def changed(name, data, change):
    """The right target of a family, with its inputs changed."""
    target, inputs, *options = FAMILIES[name].build(data, None)
    return target, change(inputs), *options


def from_float32(data, *shape):
    return data.rng.random(shape).astype(np.float32).astype(np.float64)


def with_zeros(data, *shape):
    x = data.normal(*shape)
    x[data.rng.random(shape) < 0.3] = 0
    return x


def relu(x):
    return np.maximum(x, 0)


def sum_of_relu(x):
    return np.sum(np.maximum(x, 0))


def logistic(x):
    return 1 / (1 + np.exp(-x))


SIGMOID = elementwise(logistic, lambda x: logistic(x) * (1 - logistic(x)))
RELU = (lambda x: (np.maximum(x, 0), x), lambda dy, x: dy * (x > 0))


def softmax_layer():
    def backward(dy, x):
        p = softmax(x)
        return p * (dy - (dy * p).sum(-1, keepdims=True))

    return Layer(softmax, backward)


def shapes(data):
    y, dx = np.zeros((3, 4)), np.zeros((3, 4))
    a, b = data.normal(3), data.normal(3)
    evaluated = Dropout()
    evaluated.training = False
    return {
        "zero_dimensions": function(lambda x: x**3, lambda x: 3 * x**2, np.array(2.0)),
        "python_float": function(lambda x: x**3, lambda x: 3 * x**2, 2.0),
        "empty_beside_full": function(
            lambda a, b: np.sum(a**2) + np.sum(b**3), lambda a, b: (2 * a, 3 * b**2), np.zeros((0, 3)), b
        ),
        "no_rows": changed("dense", data, lambda i: (i[0][:0], *i[1:])),
        "strided": changed("dense", data, lambda i: (np.repeat(i[0], 2, 1)[::-1, ::2], i[1].copy("F"), i[2][::-1])),
        "parameters_are_views": (Flat(data), data.normal(3, 5)),
        "returns_its_input": (Layer(lambda x: x, lambda dy, x: dy), data.normal(3, 4)),
        "transposed_views": (Layer(lambda x: x.T, lambda dy, x: dy.T), data.normal(3, 4)),
        "buffers_reused": (
            Layer(lambda x: np.tanh(x, out=y), lambda dy, x: np.multiply(dy, 1 - y**2, out=dx)),
            data.normal(3, 4),
        ),
        "stack_of_caches": (Stack(), data.normal(3, 4)),
        "keyword_only_flag": (elementwise(np.sin, np.cos), data.normal(3, 4), {"fixed": {"train": True}}),
        "batch_norm_evaluation": (BatchNorm(data, training=False), data.normal(7, 4)),
        "dropout_evaluation": (evaluated, data.normal(5, 6)),
        "integers_beside_floats": function(
            lambda x, k: np.sum(x**k), lambda x, k: k * x ** (k - 1.0), data.uniform(1, 2, 3), np.array([1, 3, 2])
        ),
        "one_input_unused": function(
            lambda a, b: np.sum(np.sin(a)), lambda a, b: (np.cos(a), np.zeros(3)), a, data.normal(3)
        ),
        "constant_function": function(lambda a: 3.0, np.zeros_like, a),
    }


def kinks(data):
    near_zero = np.array([0.0, 1e-9, -1e-9, 1e-4, 3.0, -2.0])
    zero_row = data.normal(6, 4) * (np.arange(6) != 2)[:, None]
    return {
        "relu_on_kinks": (RELU, with_zeros(data, 5, 6)),
        "relu_of_zeros": (RELU, np.zeros((5, 6))),
        "hidden_units_on_kinks": (
            relu_network(),
            (zero_row, data.normal(4, 5), np.zeros(5), data.normal(5, 3), np.full(3, 0.1)),
        ),
        "absolute_value": function(lambda x: np.sum(np.abs(x)), np.sign, near_zero),
        "clip_at_limits": function(
            lambda x: np.sum(np.clip(x, -1, 1)), lambda x: 1.0 * (np.abs(x) <= 1), np.array([-1.0, 1.0, 0.5, 2.0, -3.0])
        ),
        "hinge_at_margin": function(
            lambda x: np.sum(np.maximum(0, 1 - x)), lambda x: -1.0 * (x < 1), np.array([1.0, 0.5, 2.0, 1.0])
        ),
        "pooling_ties": changed("max_pool", data, lambda x: np.round(relu(x))),
        "pooling_constant": changed("max_pool", data, np.zeros_like),
    }


def scales(data):
    found = {}
    for e in (-12, -8, -4, 4, 8, 12):
        size = 10.0**e
        found[f"dense_1e{e}"] = changed("dense", data, lambda i, s=size: tuple(s * v for v in i))
        found[f"tanh_of_weight_1e{e}"] = tanh_of_product(size * data.normal(5, 4)), data.normal(3, 5)
        found[f"layer_norm_1e{e}"] = changed("layer_norm", data, lambda i, s=size: (s * i[0], *i[1:]))
        bias = data.normal(4) * min(size, 1)
        found[f"exp_of_bias_1e{e}"] = OneParameter(bias, False, np.exp, lambda y: y), data.normal(3, 4)
    for offset in (1e4, 1e7):
        found[f"softmax_offset_{offset:.0e}"] = softmax_layer(), offset + data.normal(3, 5)
        found[f"sine_at_{offset:.0e}"] = elementwise(np.sin, np.cos), offset + data.normal(6, scale=1e-3 * offset)
    sizes = 10 ** np.linspace(-12, 12, 25)
    return found | {
        "square_root": function(lambda x: np.sum(np.sqrt(x)), lambda x: 0.5 / np.sqrt(x), sizes[:13]),
        "logarithm": function(lambda x: np.sum(np.log(x)), lambda x: 1 / x, sizes),
        "reciprocal": ((lambda x: (1 / x, x), lambda dy, x: -dy / x**2), sizes[6:-6]),
        "reciprocal_sum": function(lambda x: np.sum(1 / x), lambda x: -1 / x**2, sizes[8:-8]),
        "layer_norm_offset": changed("layer_norm", data, lambda i: (1e5 + i[0], *i[1:])),
        "gelu_wide": changed("gelu_tanh", data, lambda x: 100 * x),
        "sigmoid_saturated": (SIGMOID, np.linspace(-40, 40, 17)),
        "large_loss": (Layer(lambda x: 1e8 + np.sum(x * x), lambda dy, x: 2 * dy * x), data.normal(6)),
    }


def float32(data):
    row, columns = from_float32(data, 8), np.arange(7)

    def largest(x, b):
        rows = x.argmax(0)
        return (x[rows, columns], np.sin(b)), (x, rows, b)

    def largest_backward(dy, dz, cache):
        x, rows, b = cache
        dx = np.zeros_like(x)
        dx[rows, columns] = dy
        return dx, dz * np.cos(b)

    def passed(x, W):
        return (relu(x), x @ W), (x, W)

    def passed_backward(dy, dz, cache):
        x, W = cache
        return dy * (x > 0) + dz @ W.T, x.T @ dz

    def scaled_backward(dy, cache):
        x, s = cache
        return dy * s, np.float32((dy * x).sum())

    scaled, one = (lambda x, s: (x * s, (x, s)), scaled_backward), data.normal(5).astype(np.float32)
    return {
        "scalar_float32": function(lambda x: np.sum(x * x), lambda x: 2 * x, one),
        "loss_pair_float32": ((lambda x: (np.sum(x * x), x), lambda dy, x: 2 * dy * x), one),
        "one_value_float32": function(lambda x: x * x, lambda x: 2 * x, np.array(1.5, np.float32)),
        "float32_scalar_beside_float64": (scaled, (data.normal(5), np.array(2.0, np.float32))),
        "linear_in_float32_data": function(lambda w: row @ w, lambda w: row.copy(), data.normal(8)),
        "float32_data_passed_through": ((passed, passed_backward), (from_float32(data, 3, 6), data.normal(6, 4))),
        "largest_of_float32_data": ((largest, largest_backward), (from_float32(data, 6, 7), data.normal(7))),
        "integer_valued_gradient": function(lambda x: np.sum(x**2), lambda x: 2 * x, np.arange(-3.0, 4.0)),
    }


def wrong(data):
    """Claims outside both slopes of a kink, or outside those of units that are tied; the last entry must be said."""
    corner = np.array([0.0, 1.0, -1.0])

    def claim(at_zero):
        return lambda x: 1.0 * (x > 0) + at_zero * (x == 0)

    def largest(x):
        top = x.max(-1, keepdims=True)
        return top[..., 0], x == top

    all_ties = largest, lambda dy, chosen: dy[..., None] * chosen
    return {
        "outside_both_slopes": (*function(sum_of_relu, claim(5.0), corner), OUTSIDE),
        "outside_at_absolute_value": (
            *function(lambda x: np.sum(np.abs(x)), lambda x: np.sign(x) - 3.0 * (x == 0), corner),
            OUTSIDE,
        ),
        "outside_in_a_layer": (elementwise(relu, claim(5.0)), with_zeros(data, 5, 6), {}, OUTSIDE),
        "minus_one_in_a_layer": (elementwise(relu, claim(-1.0)), with_zeros(data, 5, 6), {}, OUTSIDE),
        "hinge_counts_twice": (
            *function(lambda x: np.sum(relu(1 - x)), lambda x: -1.0 * (x < 1) - 2.0 * (x == 1), corner),
            OUTSIDE,
        ),
        "all_ties_get_all": (all_ties, np.round(relu(data.normal(4, 3, 4))), {}, r"\bx\b"),
        "all_ties_of_zeros": (all_ties, np.zeros((4, 3, 4)), {}, r"\bx\b"),
        "both_of_two_largest": (*function(np.max, lambda x: 1.0 * (x == x.max()), np.array([2.0, 1, 2])), "WRONG"),
    }


def cases(seed=0):
    """All of them, with objects of their own at every call."""
    data = Data(seed)
    right = shapes(data) | kinks(data) | scales(data) | float32(data)
    found = [Case(f"awkward.{name}", lambda c=call: c, "right") for name, call in right.items()]
    for name, (*call, says) in wrong(data).items():
        found.append(Case(f"awkward.{name}", lambda c=call: c, "wrong", says))
    return found
