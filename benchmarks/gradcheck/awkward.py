"""Right code in awkward dress: shapes, memory, scales, kinks, float32 data; and calls whose text must say something."""

import numpy as np

from .networks import relu_network
from .norms import BatchNorm, Dropout
from .registry import FAMILIES, Case, Data, softmax

TINY_TO_LARGE = (-12, -8, -4, 4, 8, 12)


class Layer:
    """A layer from two functions of its own: forward(x) -> y, backward(dy, x) -> dx. It takes no complex step."""

    def __init__(self, value, derivative):
        self.value, self.derivative = value, derivative

    def forward(self, x):
        self.x = x
        return self.value(x)

    def backward(self, dy):
        return self.derivative(dy, self.x)


def elementwise(value, slope):
    return Layer(value, lambda dy, x: dy * slope(x))


def plain_sigmoid(x):
    return 1 / (1 + np.exp(-x))


class TanhOfProduct:
    def __init__(self, W):
        self.parameters, self.gradients = {"W": W}, {}

    def forward(self, x):
        self.x, self.y = x, np.tanh(x @ self.parameters["W"])
        return self.y

    def backward(self, dy):
        da = dy * (1 - self.y**2)
        self.gradients["W"] = self.x.T @ da
        return da @ self.parameters["W"].T


class ExpOfSum:
    def __init__(self, b):
        self.parameters, self.gradients = {"b": b}, {}

    def forward(self, x):
        self.y = np.exp(x + self.parameters["b"])
        return self.y

    def backward(self, dy):
        self.gradients["b"] = (dy * self.y).sum(0)
        return dy * self.y


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


class AddsUp(TanhOfProduct):
    def __init__(self, W):
        super().__init__(W)
        self.gradients["W"] = np.zeros_like(W)

    def backward(self, dy):
        before = self.gradients["W"]
        dx = super().backward(dy)
        before += self.gradients["W"]
        self.gradients["W"] = before
        return dx


class Buffers:
    """One array for all outputs and one for all gradients."""

    def __init__(self):
        self.y, self.dx = np.zeros((3, 4)), np.zeros((3, 4))

    def forward(self, x):
        self.y = self.y if self.y.shape == x.shape else np.zeros_like(x)
        return np.tanh(x, out=self.y)

    def backward(self, dy):
        self.dx = self.dx if self.dx.shape == dy.shape else np.zeros_like(dy)
        return np.multiply(dy, 1 - self.y**2, out=self.dx)


class Stack:
    """backward takes its cache from a stack: one backward for one forward."""

    def __init__(self):
        self.caches = []

    def forward(self, x):
        self.caches.append(x)
        return np.tanh(x)

    def backward(self, dy):
        return dy * (1 - np.tanh(self.caches.pop()) ** 2)


class Keyword:
    def forward(self, x, *, train=True):
        self.x = x
        return np.sin(x)

    def backward(self, dy):
        return dy * np.cos(self.x)


class InPlaceReLU:
    def forward(self, x):
        self.off = x <= 0
        return np.where(self.off, 0, x)

    def backward(self, dy):
        dy[self.off] = 0
        return dy


def relu_pair():
    return lambda x: (np.maximum(x, 0), x), lambda dy, x: dy * (x > 0)


def spread(data, *shape):
    """With a third of the entries exactly zero."""
    x = data.normal(*shape)
    x[data.rng.random(shape) < 0.3] = 0
    return x


def family_inputs(name, data, change):
    """The right target of a family, with its inputs changed."""
    target, inputs, *options = FAMILIES[name].build(data, None)
    return target, change(inputs), *options


def hidden_on_kinks(data):
    x = data.normal(6, 4)
    x[2] = 0
    return relu_network(), (x, data.normal(4, 5), np.zeros(5), data.normal(5, 3), np.full(3, 0.1))


def in_evaluation(layer):
    layer.training = False
    return layer


def data_from_float32(data, *shape):
    return data.rng.random(shape).astype(np.float32).astype(np.float64)


def max_and_sine(data):
    """The largest of each column of data that came from float32, beside a bias that did not."""
    places = np.arange(7)

    def forward(x, b):
        rows = x.argmax(0)
        return (x[rows, places], np.sin(b)), (x.shape, rows, b)

    def backward(dy, dz, cache):
        shape, rows, b = cache
        dx = np.zeros(shape)
        dx[rows, places] = dy
        return dx, dz * np.cos(b)

    return (forward, backward), (data_from_float32(data, 6, 7), data.normal(7))


def passed_through(data):
    def forward(x, W):
        return (np.maximum(x, 0.0), x @ W), (x, W)

    def backward(dy, dz, cache):
        x, W = cache
        return dy * (x > 0) + dz @ W.T, x.T @ dz

    return (forward, backward), (data_from_float32(data, 3, 6), data.normal(6, 4))


def scaled_by_a_float32(data):
    def backward(dy, cache):
        x, s = cache
        return dy * s, np.float32((dy * x).sum())

    return (lambda x, s: (x * s, (x, s)), backward), (data.normal(5), np.array(2.0, np.float32))


def weight_in_a_closure(data):
    W = data.normal(4, 3)
    return Layer(lambda x: x @ W, lambda dy, x: (dy @ W.T, 2 * x.T @ dy)), data.normal(5, 4)


def fn(value, gradient, inputs):
    return value, inputs, {"gradient": gradient}


def right_cases():
    """(name, a function that makes target, inputs and options)."""
    yield "zero_dimensions", lambda data: fn(lambda x: x**3, lambda x: 3 * x**2, np.array(2.0))
    yield "python_float", lambda data: fn(lambda x: x**3, lambda x: 3 * x**2, 2.0)
    yield (
        "list_of_numbers",
        lambda data: fn(lambda x: np.sum(np.square(x)), lambda x: 2 * np.asarray(x), [1.0, 2.0, 3.0]),
    )
    yield (
        "empty_beside_full",
        lambda data: fn(
            lambda a, b: np.sum(a**2) + np.sum(b**3),
            lambda a, b: (2 * a, 3 * b**2),
            (np.zeros((0, 3)), np.arange(1.0, 4)),
        ),
    )
    yield "no_rows", lambda data: family_inputs("dense", data, lambda i: (i[0][:0], *i[1:]))
    yield (
        "strided",
        lambda data: family_inputs(
            "dense", data, lambda i: (np.repeat(i[0], 2, 1)[::-1, ::2], np.asfortranarray(i[1]), i[2][::-1])
        ),
    )
    yield "parameters_are_views", lambda data: (Flat(data), data.normal(3, 5))
    yield "identity_returns_its_input", lambda data: (Layer(lambda x: x, lambda dy, x: dy), data.normal(3, 4))
    yield "transposed_views", lambda data: (Layer(lambda x: x.T, lambda dy, x: dy.T), data.normal(3, 4))
    yield "buffers_reused", lambda data: (Buffers(), data.normal(3, 4))
    yield "stack_of_caches", lambda data: (Stack(), data.normal(3, 4))
    yield "keyword_only_flag", lambda data: (Keyword(), data.normal(3, 4), {"fixed": {"train": True}})
    yield "adds_to_gradients", lambda data: (AddsUp(data.normal(5, 4)), data.normal(3, 5), {"accumulates": True})
    yield "batch_norm_evaluation", lambda data: (BatchNorm(data, None, training=False), data.normal(7, 4))
    yield "dropout_evaluation", lambda data: (in_evaluation(Dropout(3, None)), data.normal(5, 6))
    exponents = np.array([1, 3, 2, 2, 1])
    yield (
        "integers_beside_floats",
        lambda data: fn(lambda x, k: np.sum(x**k), lambda x, k: k * x ** (k - 1.0), (data.uniform(1, 2, 5), exponents)),
    )
    yield (
        "one_input_unused",
        lambda data: fn(
            lambda a, b: np.sum(np.sin(a)),
            lambda a, b: (np.cos(a), np.zeros(3)),
            (data.normal(4), data.normal(3)),
        ),
    )
    yield (
        "unused_input_is_none",
        lambda data: fn(
            lambda a, b: np.sum(np.sin(a)), lambda a, b: (np.cos(a), None), (data.normal(4), data.normal(3))
        ),
    )
    yield (
        "declared_constant",
        lambda data: (
            *fn(lambda a, b: np.sum(a * b), lambda a, b: (b, None), (data.normal(4), data.normal(4)))[:2],
            {"gradient": lambda a, b: (b, None), "constant": ("b",)},
        ),
    )
    yield "constant_function", lambda data: fn(lambda a: 3.0, np.zeros_like, data.normal(4))
    yield (
        "mapping_of_inputs",
        lambda data: fn(
            lambda a, b: np.sum(a * b), lambda a, b: {"a": b, "b": a}, {"a": data.normal(3), "b": data.normal(3)}
        ),
    )
    yield from kinks()
    yield from scales()
    yield from float32()


def kinks():
    near_zero = np.array([0.0, 1e-9, -1e-9, 1e-4, 3.0, -2.0])
    yield "relu_on_kinks", lambda data: (relu_pair(), spread(data, 5, 6))
    yield "relu_of_zeros", lambda data: (relu_pair(), np.zeros((5, 6)))
    yield "hidden_units_on_kinks", lambda data: hidden_on_kinks(data)
    yield "absolute_value", lambda data: fn(lambda x: np.sum(np.abs(x)), np.sign, near_zero)
    limits = np.array([-1.0, 1.0, 0.5, 2.0, -3.0])
    yield (
        "clip_at_limits",
        lambda data: fn(lambda x: np.sum(np.clip(x, -1, 1)), lambda x: 1.0 * (np.abs(x) <= 1), limits),
    )
    margins = np.array([1.0, 0.5, 2.0, 1.0])
    yield "hinge_at_margin", lambda data: fn(lambda x: np.sum(np.maximum(0, 1 - x)), lambda x: -1.0 * (x < 1), margins)
    yield "pooling_ties", lambda data: family_inputs("max_pool", data, lambda x: np.round(np.maximum(x, 0)))
    yield "pooling_constant", lambda data: family_inputs("max_pool", data, np.zeros_like)


def scales():
    for e in TINY_TO_LARGE:
        yield f"dense_1e{e}", lambda data, e=e: family_inputs("dense", data, lambda i: tuple(10.0**e * v for v in i))
        yield f"tanh_of_weight_1e{e}", lambda data, e=e: (TanhOfProduct(10.0**e * data.normal(5, 4)), data.normal(3, 5))
        yield (
            f"layer_norm_1e{e}",
            lambda data, e=e: family_inputs("layer_norm", data, lambda i: (10.0**e * i[0], *i[1:])),
        )
    for e in (-12, -8, -4):
        yield f"exp_of_bias_1e{e}", lambda data, e=e: (ExpOfSum(10.0**e * data.normal(4)), data.normal(3, 4))
    for offset in (1e4, 1e7):
        yield f"softmax_offset_{offset:.0e}", lambda data, offset=offset: (softmax_layer(), offset + data.normal(3, 5))
    powers = np.linspace(-12, 0, 13)
    yield "square_root", lambda data: fn(lambda x: np.sum(np.sqrt(x)), lambda x: 0.5 / np.sqrt(x), 10**powers)
    yield "logarithm", lambda data: fn(lambda x: np.sum(np.log(x)), lambda x: 1 / x, 10 ** np.linspace(-12, 12, 25))
    wide = 10 ** np.linspace(-6, 6, 13)
    yield "reciprocal", lambda data: ((lambda x: (1 / x, x), lambda dy, x: -dy / x**2), wide)
    yield "reciprocal_sum", lambda data: fn(lambda x: np.sum(1 / x), lambda x: -1 / x**2, 10 ** np.linspace(-4, 4, 9))
    for centre in (1e5, 1e7):
        yield (
            f"sine_at_{centre:.0e}",
            lambda data, c=centre: (elementwise(np.sin, np.cos), c + data.normal(6, scale=1e3)),
        )
    yield "layer_norm_offset", lambda data: family_inputs("layer_norm", data, lambda i: (1e5 + i[0], *i[1:]))
    yield "gelu_wide", lambda data: family_inputs("gelu_tanh", data, lambda x: 100 * x)
    slope = elementwise(plain_sigmoid, lambda x: plain_sigmoid(x) * (1 - plain_sigmoid(x)))
    yield "sigmoid_saturated", lambda data: (slope, np.linspace(-40, 40, 17))
    yield (
        "large_loss",
        lambda data: (Layer(lambda x: 1e8 + np.sum(x * x), lambda dy, x: 2 * dy * x), data.normal(6)),
    )


def softmax_layer():
    def backward(dy, x):
        p = softmax(x)
        return p * (dy - (dy * p).sum(-1, keepdims=True))

    return Layer(softmax, backward)


def float32():
    one = np.float32
    yield "scalar_float32", lambda data: fn(lambda x: np.sum(x * x), lambda x: 2 * x, data.normal(5).astype(one))
    yield (
        "loss_pair_float32",
        lambda data: ((lambda x: (np.sum(x * x), x), lambda dy, x: 2 * dy * x), data.normal(5).astype(one)),
    )
    yield "one_value_float32", lambda data: fn(lambda x: x * x, lambda x: 2 * x, np.array(1.5, one))
    yield "float32_scalar_beside_float64", lambda data: scaled_by_a_float32(data)
    row = data_from_float32(Data(0), 8)
    yield "linear_in_float32_data", lambda data: fn(lambda w: row @ w, lambda w: row.copy(), data.normal(8))
    yield "float32_data_passed_through", lambda data: passed_through(data)
    yield "largest_of_float32_data", lambda data: max_and_sine(data)
    whole = np.arange(-3.0, 4.0)
    yield "integer_valued_gradient", lambda data: fn(lambda x: np.sum(x**2), lambda x: 2 * x, whole)


def said_cases():
    """(name, a function as above, what must be said whatever the verdict)."""
    yield (
        "integers_alone",
        lambda data: fn(lambda x: np.sum(x * 1.0), lambda x: np.ones(4), np.arange(4)),
        "float",
    )
    sigmoid_layer = elementwise(plain_sigmoid, lambda x: plain_sigmoid(x) * (1 - plain_sigmoid(x)))
    yield "sigmoid_all_saturated", lambda data: (sigmoid_layer, np.linspace(38, 45, 8)), "RESOLVED"
    yield "parameters_in_a_closure", lambda data: weight_in_a_closure(data), "gradients? for|2 gradients"
    yield "dy_changed_in_place", lambda data: (InPlaceReLU(), data.normal(3, 4)), r"(?s)dy.*x \(3, 4\)"
    yield (
        "float32_result",
        lambda data: (elementwise(lambda x: np.sin(x).astype(np.float32), np.cos), data.normal(5)),
        r"(?s)float32.*x \(5,\)",
    )
    yield (
        "integer_gradient",
        lambda data: fn(lambda x: np.sum(x), lambda x: np.ones(4, int), data.normal(4)),
        r"(?s)(right|int64).*x \(4,\)",
    )


def wrong_cases():
    """(name, a function as above, what must be said)."""
    corner = np.array([0.0, 1.0, -1.0])

    def five(x):
        return np.where(x == 0, 5.0, 1.0 * (x > 0))

    yield "outside_both_slopes", lambda data: fn(lambda x: np.sum(np.maximum(x, 0)), five, corner), "outside|kink|slope"
    yield (
        "outside_at_absolute_value",
        lambda data: fn(lambda x: np.sum(np.abs(x)), lambda x: np.sign(x) - 3.0 * (x == 0), corner),
        "outside|kink|slope",
    )
    yield "outside_in_a_layer", lambda data: (elementwise(relu, five), spread(data, 5, 6)), "outside|kink|slope"
    yield "minus_one_at_relu", lambda data: (elementwise(relu, minus), spread(data, 5, 6)), "outside|kink|slope"
    yield (
        "hinge_counts_twice",
        lambda data: fn(hinge, lambda x: -1.0 * (x < 1) - 2.0 * (x == 1), corner),
        "outside|kink|slope",
    )
    yield "all_ties_get_all", lambda data: all_ties(np.round(np.maximum(data.normal(4, 3, 4), 0))), r"\bx\b"
    yield "all_ties_of_zeros", lambda data: all_ties(np.zeros((4, 3, 4))), r"\bx\b"
    yield (
        "tied_maximum_of_two",
        lambda data: fn(np.max, lambda x: 1.0 * (x == x.max()), np.array([2.0, 1.0, 2.0])),
        r"\bx\b|input0",
    )


def relu(x):
    return np.maximum(x, 0)


def hinge(x):
    return np.sum(np.maximum(0, 1 - x))


def minus(x):
    return 1.0 * (x > 0) - 1.0 * (x == 0)


def all_ties(x):
    """The maximum along the last axis, with the whole gradient given to every entry that equals it."""

    def forward(x):
        largest = x.max(-1, keepdims=True)
        return largest[..., 0], x == largest

    return (forward, lambda dy, largest: dy[..., None] * largest), x


def cases(seed=0):
    """All of them: each is built with data of its own, so that their order does not matter."""
    found = []
    for make, expected in ((right_cases, "right"), (said_cases, "said"), (wrong_cases, "wrong")):
        for name, build, *says in make():
            found.append(Case(f"awkward.{name}", lambda build=build: build(Data(seed)), expected, *says))
    return found
