"""The gradient checker: what it accepts, and how sharply it judges."""

import numpy as np
import pytest

from minivae.gradcheck import assert_gradients, check_gradients

from .foreign_layers import Linear, data

SMOOTH = {
    "exp of sine": (lambda x: np.sum(np.exp(np.sin(3 * x))), lambda x: 3 * np.cos(3 * x) * np.exp(np.sin(3 * x))),
    "rational": (lambda x: np.sum(x / (1 + x * x)), lambda x: (1 - x * x) / (1 + x * x) ** 2),
    "logistic": (lambda x: np.sum(np.log(1 + np.exp(x))), lambda x: 1 / (1 + np.exp(-x))),
    "product": (lambda x: np.prod(1 + x * x), lambda x: 2 * x / (1 + x * x) * np.prod(1 + x * x)),
    "far from one": (lambda x: 1e8 * np.sum(np.sqrt(4e6 + 1e3 * x)), lambda x: 5e10 / np.sqrt(4e6 + 1e3 * x)),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_functions_to_1e_9_by_differences_and_1e_13_by_complex_step(name):
    value, gradient = SMOOTH[name]
    x = data(9)
    report = assert_gradients(value, x, gradient=gradient, method="differences")
    assert report.method == "differences"
    assert report.relative_error < 1e-9
    report = assert_gradients(value, x, gradient=gradient)
    assert report.method == "differences and complex step"
    assert report.relative_error < 1e-13


@pytest.mark.parametrize("off", [1 + 1e-7, 1 - 1e-7, 1.0005, -1.0])
def test_a_ten_millionth_too_much_is_seen(off):
    value, gradient = SMOOTH["exp of sine"]
    assert not check_gradients(value, data(9), gradient=lambda x: off * gradient(x))


def test_gradient_as_arrays_and_two_inputs_by_position_and_by_name():
    a, b = data(3), data(3, seed=2)
    assert_gradients(lambda a, b: np.sum(a * b), (a, b), gradient=(b, a))
    gradient = {"gradient": lambda a, b: (2 * a * b, b * b)}
    report = assert_gradients(lambda a, b: np.sum(a * b * b), {"b": b, "a": a}, **gradient)
    assert [array.name for array in report.arrays] == ["b", "a"]
    assert not check_gradients(lambda a, b: np.sum(a * b), (a, b), gradient=(a, b))


def test_layer_with_parameters_of_its_own_kind():
    layer = Linear()
    report = assert_gradients(layer, data(5, 4), parameters={"W": layer.W}, parameter_gradients=lambda: {"W": layer.dW})
    assert [(array.name, len(array.coordinates)) for array in report.arrays] == [("x", 20), ("W", 12)]


def test_the_cotangent_is_not_all_ones():
    """A backward that is right for a sum of outputs only."""

    class Softmax:
        def forward(self, x):
            self.y = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
            return self.y

        def backward(self, dy):
            return dy * 0

    assert not check_gradients(Softmax(), data(3, 4))
    assert check_gradients(Softmax(), data(3, 4), cotangent=np.ones((3, 4)))


def test_frozen_noise_and_frozen_generator():
    class Sampler:
        rng = np.random.default_rng(3)

        def forward(self, mu, sigma, noise=None):
            self.noise = self.rng.standard_normal(mu.shape) if noise is None else noise
            return mu + sigma * self.noise

        def backward(self, dz):
            return dz, dz * self.noise

    layer, inputs = Sampler(), (data(4, 2), data(4, 2, seed=2))
    assert_gradients(layer, inputs, fixed={"noise": data(4, 2, seed=3)})
    assert_gradients(layer, inputs, generator=layer.rng)
    report = check_gradients(layer, inputs)
    assert [kind for kind, _ in report.problems] == ["random"]
    assert "pass the noise as fixed=" in str(report)
    legacy = np.random.RandomState(5)
    layer.rng = legacy
    assert_gradients(layer, inputs, generator=legacy)
    assert "draws from its own `rng`" in str(check_gradients(layer, inputs))


def test_float32_is_judged_by_its_own_rounding():
    layer = Linear(40, 30, "float32")

    def check(scale, **more):
        gradients = {"parameters": {"W": layer.W}, "parameter_gradients": lambda: {"W": np.float32(scale) * layer.dW}}
        return check_gradients(layer, data(20, 40, dtype="float32"), **gradients, **more)

    report = check(1.0)
    assert report, report
    assert report.dtype == "float32"
    assert report.relative_error < 1e-4
    assert not check(1.01)
    assert check(1.01, rtol=0.1)


def test_accumulating_layers_are_reported_unless_meant():
    class Adds(Linear):
        def backward(self, dy):
            self.dW += self.x.T @ dy
            return dy @ self.W.T

    for given in (True, False):
        layer = Adds()
        layer.dW = np.zeros_like(layer.W)
        gradients = {"parameters": {"W": layer.W}, "parameter_gradients": {"W": layer.dW}} if given else {}
        assert_gradients(layer, data(5, 4), accumulates=True, **gradients)
        report = check_gradients(layer, data(5, 4), **gradients)
        assert [kind for kind, _ in report.problems] == ["accumulates"], report
        assert report["W"].verdict == "right", "what one backward adds is compared"


STAIRS = {  # differences of numbers that are much larger, so that their values move in steps
    "pseudo-Huber": (lambda x: np.sqrt(1 + x * x) - 1, lambda x: x / np.sqrt(1 + x * x), 5e-6, 3e-5),
    "1 - cos": (lambda x: 1 - np.cos(x), np.sin, 5e-6, 3e-5),
    "-log sigmoid": (lambda x: -np.log(1 / (1 + np.exp(-x))), lambda x: -1 / (1 + np.exp(x)), 8, 18),
    "log(1 + x)^2": (lambda x: np.log(1 + x) ** 2, lambda x: 2 * np.log1p(x) / (1 + x), -1e-7, 1e-7),
    "1 - tanh": (lambda x: 1 - np.tanh(x), lambda x: -1 / np.cosh(x) ** 2, 5, 15),
    "exp, shifted": (lambda x: np.exp(x + 1e4 - 1e4) - 1, np.exp, -1e-6, 1e-6),
}


@pytest.mark.parametrize("name", STAIRS)
@pytest.mark.parametrize("outputs", ["sum", "elements"])
def test_small_differences_of_large_numbers(name, outputs):
    f, slope, low, high = STAIRS[name]

    def check(factor, x):
        if outputs == "sum":
            return check_gradients(
                lambda x: np.sum(f(x)), x, gradient=lambda x: factor * slope(x), method="differences"
            )
        return check_gradients((lambda x: (f(x), x), lambda dy, x: factor * slope(x) * dy), x, method="differences")

    for seed in range(4):
        x = np.random.default_rng(seed).uniform(low, high, 4)
        report = check(1.0, x)
        assert report, report
        assert not check(1.1, x)
