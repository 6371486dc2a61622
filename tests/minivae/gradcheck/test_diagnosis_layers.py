"""The report's first guess for wrong layers as they are written: what an experienced reader would say of each."""

import re

import numpy as np
import pytest

from minivae.gradcheck import check_gradients

from .foreign_layers import data

X, NOISE = data(5, 6), data(5, 6, seed=7)
W, B = data(6, 4, seed=1) / 2, data(4, seed=2)
Y = np.array([0, 3, 3, 5, 1])
SIGMA = np.exp(data(5, 6, seed=5))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def bfloat16(x):
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(mantissa * 256) / 256, exponent)


def elementwise(f, claim):
    """y = f(x); claim(dy, x, y) is what backward returns."""
    return (lambda x: (f(x), (x, f(x)))), lambda dy, cache: claim(dy, *cache)


def dense(f, claim):
    """y = f(x W + b); claim(dy, y) is what backward takes for the gradient of x W + b."""

    def forward(x, weight, bias):
        y = f(x @ weight + bias)
        return y, (x, weight, y)

    def backward(dy, cache):
        x, weight, y = cache
        da = claim(dy, y)
        return da @ weight.T, x.T @ da, da.sum(axis=0)

    return forward, backward


def linear(weight_gradient):
    def backward(dy, cache):
        x, weight = cache
        return dy @ weight.T, weight_gradient(x, weight, dy)

    return (lambda x, weight: (x @ weight, (x, weight))), backward


def normalized(centre, backward):
    """Layer normalization (RMS normalization without the centre); backward(dy, h, s) with h the normal values."""

    def forward(x):
        centred = x - x.mean(axis=1, keepdims=True) if centre else x
        s = 1 / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
        return centred * s, (centred * s, s)

    return forward, lambda dy, cache: backward(dy, *cache)


def mean(values):
    return values.mean(axis=1, keepdims=True)


def cross_entropy(eps, claim):
    def forward(z):
        p = softmax(z)
        return -np.log(p[np.arange(5), Y] + eps).mean(), p

    return forward, lambda dl, p: dl * claim(p) / 5


def reparameterized(scale, claim):
    """z = mu + scale(rho) * noise; claim(dz, rho, noise) for the gradient of rho."""

    def forward(mu, rho, noise):
        return mu + scale(rho) * noise, (rho, noise)

    return forward, lambda dz, cache: (dz, claim(dz, *cache))


def kl(mu, sigma):
    return np.sum(0.5 * (mu**2 + sigma**2 - 1) - np.log(sigma))


def gaussian(mu, sigma, t):
    return np.sum(np.log(sigma) + 0.5 * ((mu - t) / sigma) ** 2)


def lookup(add):
    """Rows of a table, some of them more than once."""

    def backward(dy, cache):
        shape, index = cache
        gradient = np.zeros(shape)
        add(gradient, index, dy)
        return gradient

    return (lambda table, index: (table[index], (table.shape, index))), backward


def recurrent(truncate=0, last=2):
    """h = tanh(x_t + h W), outputs all h and twice the last; backward stops at step `truncate`."""

    def forward(x, weight):
        h = [np.zeros_like(x[:, 0])]
        for t in range(x.shape[1]):
            h.append(np.tanh(x[:, t] + h[-1] @ weight))
        return (np.stack(h[1:], axis=1), h[-1] * 2), (h, weight)

    def backward(dh, dlast, cache):
        h, weight = cache
        dx, dweight, carried = np.zeros_like(dh), np.zeros_like(weight), last * dlast
        for t in reversed(range(dh.shape[1])):
            da = (carried + dh[:, t]) * (1 - h[t + 1] ** 2)
            dx[:, t], dweight = da, dweight + h[t].T @ da
            carried = da @ weight.T * (t != truncate)
        return dx, dweight

    return forward, backward


def pooled(assign):
    """Largest of three neighbours, windows overlap by one."""
    starts = range(0, 9, 2)

    def forward(x):
        return np.stack([x[:, s : s + 3].max(axis=1) for s in starts], axis=1), x

    def backward(dy, x):
        dx = np.zeros_like(x)
        for k, s in enumerate(starts):
            rows, at = np.arange(len(x)), s + x[:, s : s + 3].argmax(axis=1)
            dx[rows, at] = dy[:, k] + (0 if assign else dx[rows, at])
        return dx

    return forward, backward


class Dropout:
    def __init__(self, backward):
        self.p, self.rng, self.claim = 0.4, np.random.default_rng(3), backward

    def forward(self, x):
        self.kept = self.rng.random(x.shape) > self.p
        return x * self.kept / (1 - self.p)

    def backward(self, dy):
        return self.claim(dy, self.kept, self.p)


def dropout(backward):
    layer = Dropout(backward)
    return layer, X, {"generator": layer.rng}


HALF = {"noise": NOISE}
# what is said of the first wrong array: (target, inputs, options), or the two functions of a target that is given X
CASES = {
    "these are dy @ weight.T, (dy * (1 - y^2)) @ weight.T is right": (dense(np.tanh, lambda dy, y: dy), (X, W, B)),
    "these are (dy * (1 - y^2)) @ weight.T, (dy * y (1 - y)) @ weight.T is right": (
        dense(sigmoid, lambda dy, y: dy * (1 - y**2)),
        (X, W, B),
    ),
    "these are dy * (1 - y^2), dy * sigmoid'(x) is right": elementwise(sigmoid, lambda dy, x, y: dy * (1 - y**2)),
    "these are dy * sigmoid'(y), dy * sigmoid'(x) is right: taken at the output where the input is meant": elementwise(
        sigmoid, lambda dy, x, y: dy * sigmoid(y) * (1 - sigmoid(y))
    ),
    "the mask is inverted?": elementwise(lambda x: np.maximum(x, 0), lambda dy, x, y: dy * (x < 0)),
    "only where x < 0 (13 of 30 coordinates) (should be zero there)": elementwise(
        lambda x: np.maximum(x, 0), lambda dy, x, y: dy
    ),
    "only where |x| > 1 (": elementwise(
        lambda x: np.where(abs(x) < 1, x * x / 2, abs(x) - 0.5), lambda dy, x, y: dy * x
    ),
    "only where |x| < 0.2 (5 of 30 coordinates) (zero": elementwise(
        np.sin, lambda dy, x, y: dy * np.where(abs(x) < 0.2, 0, np.cos(x))
    ),
    "clipped to [-0.5, 0.5] at": elementwise(np.sin, lambda dy, x, y: np.clip(dy * np.cos(x), -0.5, 0.5)),
    "constant factor 1 - 8.45e-07": elementwise(lambda x: np.pi * x**2, lambda dy, x, y: dy * 2 * 3.14159 * x),
    "nearly right (errors are 5e-07 of the values): a small term": elementwise(
        np.sin, lambda dy, x, y: dy * (np.cos(x) + 1e-7 * np.exp(-x))
    ),
    "within 3e-06 of 1): a small term is missing or extra (an eps inside a logarithm or root?)": cross_entropy(
        1e-7, lambda p: p - np.eye(6)[Y]
    ),
    "one coordinate for each index of axis 0: that of a label or a largest value? (off by the constant": cross_entropy(
        0, lambda p: p
    ),
    "rounded to 8 bits of mantissa: bfloat16": elementwise(np.sin, lambda dy, x, y: bfloat16(dy * np.cos(x))),
    "part of it runs in float32": (
        linear(lambda x, weight, dy: x.T.astype(np.float32) @ dy),
        (X, W),
    ),
    "the error is 0.0001 * weight": (linear(lambda x, weight, dy: x.T @ dy + 1e-4 * weight), (X, W)),
    "wrong in what comes from index 4 of axis 0 of dy, the last (nothing of it arrives)": (
        linear(lambda x, weight, dy: x[:-1].T @ dy[:-1]),
        (X, W),
    ),
    "these are dy[0], the sum of dy over axis 0 is right": (
        ((lambda x, bias: (x + bias, None)), (lambda dy, _: (dy, dy[0]))),
        (X, data(6)),
    ),
    "these are right.T @ dy, dy @ right.T is right": (
        ((lambda left, right: (left @ right, (left, right))), (lambda dy, c: (c[1].T @ dy, c[0].T @ dy))),
        (data(4, 4), data(4, 4, seed=3)),
    ),
    "the error is the same all along axis 1, as where a path through a sum or mean over it": normalized(
        True, lambda dy, h, s: s * (dy - h * mean(dy * h))
    ),
    "the error is a multiple of x - mean along axis 1, as where the path through the variance": normalized(
        True, lambda dy, h, s: s * (dy - mean(dy))
    ),
    "the error is a * x + b along axis 1, as where a path through mean or variance": normalized(
        True, lambda dy, h, s: s * dy
    ),
    "the error is a multiple of x along axis 1, as where a path through a sum of squares": normalized(
        False, lambda dy, h, s: s * dy
    ),
    "right values sum to zero along axis 1 and these do not": (
        (lambda z: (softmax(z), softmax(z))),
        (lambda dy, p: dy * p * (1 - p)),
    ),
    "each is the mean of the right values along axis 0": elementwise(
        np.sin, lambda dy, x, y: np.broadcast_to((dy * np.cos(x)).mean(axis=0), x.shape)
    ),
    "the factor exp(rho) is missing": (
        reparameterized(np.exp, lambda dz, rho, noise: dz * noise),
        (X, data(5, 6, seed=3)),
        {"fixed": HALF},
    ),
    "the factor noise is missing": (
        reparameterized(np.exp, lambda dz, rho, noise: dz * np.exp(rho)),
        (X, data(5, 6, seed=3)),
        {"fixed": HALF},
    ),
    "the error is 1/sigma: a term is missing": (kl, (X, SIGMA), {"gradient": lambda mu, sigma: (mu, sigma)}),
    "the factor sigma does not belong here": (kl, (X, SIGMA), {"gradient": lambda mu, sigma: (mu, sigma**2 - 1)}),
    "only rows that occur more than once in 'index': assigned": (
        lookup(lambda g, index, dy: g.__setitem__(index, dy)),
        (data(7, 4), np.array([1, 3, 3, 5, 1])),
    ),
    "each wrong value is one of the terms that should be added up": (pooled(True), data(6, 11)),
    "only the first 3 of axis 1 (right from 3 on)": (recurrent(truncate=3), (data(3, 6, 4), data(4, 4, seed=1))),
    "right for dy 0, wrong in what comes from dy 1 (constant factor 0.5)": (
        recurrent(last=1),
        (data(3, 4, 4), data(4, 4, seed=1)),
    ),
    "constant factor 1.66667 = 1/(1 - p)": dropout(lambda dy, kept, p: dy * kept / (1 - p) ** 2),
    "where it should be zero: a mask is missing?": dropout(lambda dy, kept, p: dy / (1 - p)),
    "right elsewhere: another mask than in forward": dropout(lambda dy, kept, p: dy * np.roll(kept, 1) / (1 - p)),
    "reversed along axes 2 and 3": (
        ((lambda x, k: (x * k, x)), (lambda dy, x: (dy * data(2, 3, 3, 3, seed=4), (dy * x)[:, :, ::-1, ::-1]))),
        (data(2, 3, 3, 3), data(2, 3, 3, 3, seed=4)),
    ),
    "shifted by one along axes 0 and 1": ((lambda x: (np.pad(x, 1), None)), (lambda dy, _: dy[:-2, :-2])),
    "only on the diagonal of axes 1 and 2 (the factor exp(a) is missing": (
        (
            (lambda a: (a * (1 - np.eye(4)) + np.exp(a) * np.eye(4), a)),
            (lambda dy, a: dy),
        ),
        data(3, 4, 4),
    ),
    "only where both are: 3, 4 of axis 0 and 0, 1, 2 of axis 1 (zero": elementwise(
        np.sin, lambda dy, x, y: dy * np.cos(x) * ~((np.arange(5) > 2)[:, None] & (np.arange(6) < 3))
    ),
    "the slopes of both sides of 0 are exchanged: above it is 1, below 0.1": elementwise(
        lambda x: np.where(x > 0, x, 0.1 * x), lambda dy, x, y: dy * np.where(x > 0, 0.1, 1.0)
    ),
    "the running sum of dy along axis 1, the running sum of dy from the end of axis 1 is right": elementwise(
        lambda x: np.cumsum(x, axis=1), lambda dy, x, y: np.cumsum(dy, axis=1)
    ),
    "one factor for each index of axes 0, 1: ": (
        elementwise(lambda x: np.sin(x) * data(2, 3, 1, seed=8), lambda dy, x, y: dy * np.cos(x)),
        data(2, 3, 4),
    ),
    "these are (mu - t) / sigma, (mu - t) / sigma^2 is right": (
        gaussian,
        {"mu": X, "sigma": SIGMA},
        {
            "fixed": {"t": NOISE},
            "gradient": lambda mu, sigma, t: ((mu - t) / sigma, 1 / sigma - (mu - t) ** 2 / sigma**3),
        },
    ),
    "the error is 0.5 * (mu - t)^2 / sigma^3: a term": (
        gaussian,
        {"mu": X, "sigma": SIGMA},
        {
            "fixed": {"t": NOISE},
            "gradient": lambda mu, sigma, t: ((mu - t) / sigma**2, 1 / sigma - 0.5 * (mu - t) ** 2 / sigma**3),
        },
    ),
    "these are (z - t), (exp(z) - t) is right": (
        (lambda z, t: np.sum(np.exp(z) - t * z)),
        X,
        {"fixed": {"t": NOISE}, "gradient": lambda z, t: z - t},
    ),
    "dy is rounded to float16 in backward": elementwise(
        np.sin, lambda dy, x, y: dy.astype(np.float16).astype(float) * np.cos(x)
    ),
    "only the imaginary part is wrong (sign flipped): the conjugate?": (
        (lambda z: np.sum(abs(z) ** 2)),
        X + 1j * NOISE,
        {"gradient": lambda z: 2 * z.conj()},
    ),
    "right absolute values with another phase: a conjugate is missing or extra?": (
        ((lambda z, w: (z * w, (z, w))), (lambda dy, c: (dy * c[1], dy * c[0].conj()))),
        (X + 1j * NOISE, NOISE - 2j * X),
    ),
    "constant factor -0.5 and the sign is flipped (a half too many, or a factor 2 missing?)": elementwise(
        np.sin, lambda dy, x, y: -dy * np.cos(x) / 2
    ),
    "constant factor 1.2 (6/(6 - 1), the length of axis 1 of 'x' is 6?; or simply 6/5)": elementwise(
        np.sin, lambda dy, x, y: 1.2 * dy * np.cos(x)
    ),
    "constant factor 6 (the length of axis 1 of 'x' is 6: a sum where a mean is meant, or the reverse?)": elementwise(
        np.sin, lambda dy, x, y: 6 * dy * np.cos(x)
    ),
    "one number, 0.7": ((lambda t: t**3 + t, lambda t: 0.7 * (3 * t**2 + 1)), np.array(1.3)),
}


@pytest.mark.parametrize("phrase", CASES)
def test_what_is_said(phrase):
    case = CASES[phrase]
    target, inputs, *options = (case, X) if callable(case[-1]) else case
    if phrase.startswith("one number"):
        target, options = target[0], [{"gradient": target[1]}]
    report = check_gradients(target, inputs, **dict(*options))
    said = [array.diagnosis for array in report.arrays if array.diagnosis]
    assert said, report
    assert phrase in said[0], report


LAYERS = {
    "dense": (dense(np.tanh, lambda dy, y: dy * (1 - y**2)), (X, W, B)),
    "normalized": (normalized(True, lambda dy, h, s: s * (dy - mean(dy) - h * mean(dy * h))), X),
    "recurrent": (recurrent(truncate=-1), (data(3, 4, 4), data(4, 4, seed=1))),
    "lookup": (lookup(np.add.at), (data(7, 4), np.array([1, 3, 3, 5, 1]))),
    "reparameterized": (
        reparameterized(np.exp, lambda dz, rho, noise: dz * np.exp(rho) * noise),
        (X, data(5, 6, seed=3)),
        {"fixed": HALF},
    ),
}


@pytest.mark.parametrize(
    "shape",
    [lambda x: np.cos(3 * x), lambda x: (1 - np.tanh(x)) * np.cos(x), lambda x: np.arctan(x + 1), lambda x: x**2 - 1],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_no_cause_is_made_up_for_a_wrong_derivative(shape, dtype):
    """A function of x that is no derivative, whatever is drawn in forward: no draw, no part of dy, no small term."""

    class Layer:
        def __init__(self):
            self.rng = np.random.default_rng(1)

        def forward(self, x):
            self.x = x
            return np.tanh(x) + self.rng.standard_normal(x.shape).astype(x.dtype)

        def backward(self, dy):
            return (dy * shape(self.x)).astype(dy.dtype)

    for seed in range(4):
        layer = Layer()
        x = data(5, 4, seed=seed, dtype=dtype)
        said = check_gradients(layer, x, generator=layer.rng, elsewhere=False)["x"].diagnosis
        assert not re.search("draw|comes from|nearly|small term", said), said


def test_what_lies_beside_kinks_is_named_and_places_are_those_of_the_caller():
    report = check_gradients(lambda x: x.min(1).sum(), np.array([[1.0, 1, 4], [2, 2, 2]]), gradient=lambda x: 0 * x)
    assert report["x"].diagnosis == "zero: no gradient arrives here"
    report = check_gradients(lambda z: np.sum(abs(z) ** 2), X[0] + 1j * NOISE[0], gradient=lambda z: 2 * z.conj())
    assert "z (6,) complex  WRONG" in str(report)
    assert re.search(r"worst at \[\d\], imaginary part: ", str(report))


def test_a_forward_that_comes_to_raise_is_not_called_infinite():
    class Tired:
        calls = 0

        def forward(self, x):
            self.calls += 1
            if self.calls > 30:
                raise RuntimeError("no more")
            return x**2

        def backward(self, dy):
            return dy

    report = check_gradients(Tired(), X)
    assert "from some call on forward raised RuntimeError: no more" in report["x"].diagnosis


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("size", [1e-6, 1e-3, 0.5])
def test_nothing_is_made_of_errors_without_a_pattern(layer, size):
    (forward, backward), inputs, *options = LAYERS[layer]
    assert check_gradients((forward, backward), inputs, **dict(*options))
    spoiled = np.random.default_rng(11)
    factors = {}

    def wrong(*arguments):
        found = backward(*arguments)
        arrays = found if isinstance(found, tuple) else (found,)
        for i, array in enumerate(arrays):
            factors.setdefault(i, 1 + size * spoiled.standard_normal(array.shape))
        return tuple(array * factors[i] for i, array in enumerate(arrays))

    report = check_gradients((forward, wrong), inputs, **dict(*options))
    expected = "no simple pattern" if size > 0.1 else "nearly right"
    assert all(array.diagnosis.startswith(expected) for array in report.arrays), report
