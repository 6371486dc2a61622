"""float32: rounding a thousand million times larger, kinks at every step, and float64 numbers that were born in it."""

from itertools import pairwise

import numpy as np
import pytest

from minivae import VAE
from minivae.gradcheck import assert_gradients, check_gradients

from .foreign_layers import data


class Net:
    """Dense and relu layers in float32, all rectified, with zero biases as often as not; `spoil` changes gradients."""

    def __init__(self, number, spoil=lambda g, k: None):
        rng = np.random.default_rng((16, number))
        self.depth, rows = int(rng.integers(1, 4)), int(rng.integers(1, 20))
        widths = rng.integers(4, 24, self.depth + 1)
        self.parameters, self.gradients, self.spoil = {}, {}, spoil
        for k, (n, m) in enumerate(pairwise(widths)):
            bias = rng.standard_normal(m) * (rng.random() < 0.5)
            weight = rng.standard_normal((n, m)) * np.sqrt(2 / n)
            self.parameters |= {f"W{k}": weight.astype("float32"), f"b{k}": bias.astype("float32")}
        self.x = rng.standard_normal((rows, widths[0])).astype("float32")
        self.x[0] *= rng.random() < 0.7

    def forward(self, x):
        self.h = [x]
        for k in range(self.depth):
            self.h.append(np.maximum(self.h[-1] @ self.parameters[f"W{k}"] + self.parameters[f"b{k}"], 0))
        return self.h[-1]

    def backward(self, dy):
        for k in reversed(range(self.depth)):
            dy = dy * (self.h[k + 1] > 0)
            self.gradients |= {f"W{k}": self.h[k].T @ dy, f"b{k}": dy.sum(axis=0)}
            self.spoil(self.gradients, k)
            dy = dy @ self.parameters[f"W{k}"].T
        return dy


@pytest.mark.parametrize("number", range(16))
def test_right_relu_nets_pass(number):
    net = Net(number)
    assert_gradients(net, net.x, seed=number)


def a_hundredth(g, k):
    g[f"W{k}"] *= np.float32(1.01)


def one_row(g, k):
    row = np.argmax(np.abs(g[f"W{k}"]).sum(axis=1))
    g[f"W{k}"][row] = 0


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("spoil", [a_hundredth, one_row])
def test_bugs_in_relu_nets_are_seen(spoil, number):
    net = Net(number, spoil)
    assert not check_gradients(net, net.x, seed=number)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_float32_models_of_our_own(activation):
    report = VAE(5, 2, (6,), activation, dtype="float32", backend="numpy").check(full=16, coordinates=8)
    assert report, report


@pytest.mark.parametrize("x", [data(5, dtype="float32"), np.array(2.0, "float32"), np.float32(3.0), data(1, 1)])
def test_values_of_no_dimension(x):
    assert_gradients(lambda x: np.sum(x * x), x, gradient=lambda x: 2 * x)
    assert not check_gradients(lambda x: np.sum(x * x), x, gradient=lambda x: np.float32(2.02) * x)
    assert_gradients((lambda x: (np.sum(x * x), x), lambda dl, x: 2 * dl * x), x)


def test_a_parameter_of_no_dimension_beside_an_empty_array():
    def forward(x, empty, s):
        return x * s + empty.sum(), (x, empty, s)

    def backward(dy, cache):
        x, empty, s = cache
        return dy * s, np.zeros_like(empty), np.float32((dy * x).sum())

    assert_gradients((forward, backward), (data(5), np.zeros((0, 3)), np.array(2.0, "float32")))


def layer_norm(x):
    h = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + np.float32(1e-5))
    return h, (h, 1 / np.sqrt(x.var(-1, keepdims=True) + np.float32(1e-5)))


def layer_norm_backward(dy, cache):
    h, s = cache
    return s * (dy - dy.mean(-1, keepdims=True) - h * (dy * h).mean(-1, keepdims=True))


@pytest.mark.parametrize("seed", range(6))
def test_a_complex_step_that_drops_imaginary_parts_is_out_for_its_array(seed):
    """The variance of complex numbers is taken of their absolute values."""
    x = np.random.default_rng(seed).standard_normal((6, 8)).astype("float32")
    report = assert_gradients((layer_norm, layer_norm_backward), x, seed=seed)
    assert report.method == "differences"
    assert not check_gradients((layer_norm, lambda dy, c: np.float32(1.01) * layer_norm_backward(dy, c)), x)


def test_the_complex_step_falls_back_not_in_silence_where_it_was_asked_for():
    report = check_gradients((layer_norm, layer_norm_backward), data(6, 8), method="complex")
    assert [kind for kind, _ in report.problems] == ["complex"]
    assert "the complex step was not used for 'x': at [" in str(report)
    assert report["x"].verdict == "right"


BORN = data(1, 8, dtype="float32").astype("float64")


def test_data_born_in_float32_are_not_taken_for_rounding():
    assert_gradients(lambda w: (BORN @ w)[0], data(8), gradient=lambda w: BORN[0])
    assert_gradients((lambda x, b: ((x, np.sin(b)), b), lambda dx, dz, b: (dx, dz * np.cos(b))), (BORN, data(7)))
    assert_gradients(lambda x: x.max(), data(1, 9)[:, :8] * 0 + BORN, gradient=lambda x: 1.0 * (x == x.max()))


def test_rounding_to_float32_is_still_seen():
    def rounded(w):
        return np.cos(w).astype("float32").astype("float64")

    assert not check_gradients(lambda w: np.sum(np.sin(w)), data(8), gradient=rounded)
    report = check_gradients(lambda w: np.sum(np.sin(w)), data(8), gradient=rounded, rtol=1e-6)
    assert "backward rounds to float32" in str(report)


SIZES = np.array([1e-6, 1e-4, 1e-2, 1, 100, 1e4], "float32")


@pytest.mark.parametrize(
    ("forward", "gradient", "draw"),
    [
        (lambda x: np.sum(1 / x), lambda x: -1 / x**2, lambda rng: 10 ** rng.uniform(-4, 4, 20)),
        (
            lambda x: np.sum(np.tanh(x / SIZES.astype(x.dtype))),
            lambda x: (1 - np.tanh(x / SIZES) ** 2) / SIZES,
            lambda rng: SIZES * rng.standard_normal(6),
        ),
    ],
    ids=["1/x", "tanh"],
)
def test_numbers_of_very_different_size_in_one_array(forward, gradient, draw):
    for seed in range(6):
        x = draw(np.random.default_rng(seed)).astype("float32")
        report = assert_gradients(forward, x, gradient=gradient)
        assert not report["x"].kinks
        assert not check_gradients(forward, x, gradient=lambda x: np.float32(1.02) * gradient(x), elsewhere=False)
