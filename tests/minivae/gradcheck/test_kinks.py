"""Kinks, jumps and edges of the domain: named, and neither failed nor passed as they stand."""

import numpy as np
import pytest

from minivae import VAE
from minivae.gradcheck import assert_gradients, check_gradients

from .foreign_layers import Linear, data


def test_kinks_are_named_and_judged_beside():
    x = np.array([1.0, 0.0, -2.0, 1e-13, 1e-6, 0.3])
    report = assert_gradients(lambda x: np.sum(np.abs(x)), x, gradient=np.sign)
    assert [c.index for c in report["x"].kinks] == [(1,), (3,)]
    assert [c.index for c in report["x"].near_kinks] == [(4,)]
    assert report["x"].kinks[0].left == pytest.approx(-1)
    assert report["x"].kinks[0].right == pytest.approx(1)
    assert "2 on a kink, first at [1]: slope -1 to the left, 1 to the right" in str(report)


def test_a_kink_is_not_passed_because_the_average_slope_is_claimed():
    report = check_gradients(lambda x: np.sum(np.abs(x)), np.zeros(1), gradient=lambda x: np.sign(x))
    assert report.kinks == 1


def test_a_kink_hides_no_bug():
    report = check_gradients(lambda x: np.sum(np.maximum(x, 0)), np.zeros(3), gradient=lambda x: 0.9 * (x > 0))
    assert not report
    assert "moved off the kink" in str(report)


def test_dead_rows_and_zero_bias_put_many_units_on_their_kink_at_once():
    class Relu(Linear):
        def forward(self, x):
            self.x = x
            self.y = np.maximum(x @ self.W, 0)
            return self.y

        def backward(self, dy):
            return (dy * (self.y > 0)) @ self.W.T

    x = data(5, 4)
    x[2] = 0
    report = assert_gradients(Relu(), x, constant="W")
    assert report.kinks == 4
    assert "(output [2, " in str(report)


def test_maximum_of_ties():
    x = np.array([1.0, 3.0, 3.0, 2.0])
    report = assert_gradients(np.max, x, gradient=lambda x: np.eye(4)[np.argmax(x)])
    assert [c.index for c in report.arrays[0].kinks] == [(1,), (2,)]


def test_jumps_are_refused():
    x = np.array([1.0, 2.0])
    report = check_gradients(lambda x: np.sum(np.where(x >= 1, x, 0.0)), x, gradient=np.ones_like)
    assert not report
    assert "the function jumps" in str(report)


def test_edge_of_the_domain_takes_the_side_that_exists():
    x = np.array([0.0, 2.0])
    report = check_gradients(lambda x: np.sum(x * np.sqrt(x)), x, gradient=lambda x: 1.5 * np.sqrt(x))
    assert report["x"].coordinates[0].kind == "edge"
    assert report["x"].coordinates[1].kind == "smooth"


def test_a_small_number_beside_the_edge_is_judged_by_its_own_size():
    """log at 1e-9 next to ordinary numbers: steps fit for those leave the domain."""
    report = assert_gradients(lambda x: np.sum(np.log(x)), np.array([1e-9, 1.0, 3.0]), gradient=lambda x: 1 / x)
    assert report["x"].coordinates[0].kind == "smooth"
    assert not check_gradients(lambda x: np.sum(np.log(x)), np.array([1e-9, 1.0]), gradient=lambda x: 1.01 / x)


def test_data_that_are_not_differentiated_stay_where_a_model_takes_them():
    """Zeros and ones, of which a Bernoulli model refuses what lies a little beside them, with kinks on every row of
    zeros.
    """
    model = VAE(4, 2, (6,), "relu", dtype="float64", backend="numpy")
    model.parameters["encoder.0.bias"] = 0.0
    x = np.array([[0.0, 0, 0, 0], [1, 1, 0, 1]])
    report = check_gradients(model, x, fixed={"noise": np.random.default_rng(0).standard_normal((2, 2))})
    assert report, report
    assert any(coordinate.beside for array in report.arrays for coordinate in array.coordinates)


def step(x):
    return 1.0 * (x > 0)


def leaky(x, slope=0.01):
    return np.where(x > 0, x, slope * x)


AT_ZERO = np.array([0.0, 1.0, -1.5, 0.0, 0.3])
CONVENTIONS = {
    "relu, nothing": (lambda x: np.maximum(x, 0), step),
    "relu, all": (lambda x: np.maximum(x, 0), lambda x: 1.0 * (x >= 0)),
    "relu, half": (lambda x: np.maximum(x, 0), lambda x: np.heaviside(x, 0.5)),
    "absolute value": (np.abs, lambda x: np.where(x >= 0, 1.0, -1.0)),
    "leaky of -leaky": (lambda x: leaky(-leaky(x)), lambda x: np.where(x == 0, -1e-4, -0.01)),
    "leaky of -leaky, all": (lambda x: leaky(-leaky(x)), lambda x: np.where(x == 0, -1.0, -0.01)),
    "two units": (lambda x: np.maximum(x, 0) - 0.1 * np.maximum(-x, 0), lambda x: step(x) + 0.1 * step(-x)),
    "two units that add up": (lambda x: np.maximum(x, 0) - np.maximum(-x, 0), lambda x: step(x) + step(-x)),
}


def times(value, slope, dtype):
    """(a pair, its inputs) for value(x) * w, differentiated by both."""
    inputs = AT_ZERO.astype(dtype), np.array([1.0, 2, 3, -1, 0.5], dtype)
    pair = lambda x, w: (value(x) * w, (x, w)), lambda dy, c: (dy * c[1] * slope(c[0]).astype(dtype), dy * value(c[0]))
    return pair, inputs


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conventions_of_a_chain_rule_pass(name):
    value, slope = CONVENTIONS[name]
    assert_gradients((lambda x: (value(x), x), lambda dy, x: dy * slope(x)), AT_ZERO)
    assert_gradients(*times(value, slope, "float64"))
    assert_gradients(*times(value, slope, "float32"))


OUTSIDE = {
    "relu": (lambda x: np.maximum(x, 0), lambda x: np.where(x == 0, 5.0, step(x))),
    "relu, below": (lambda x: np.maximum(x, 0), lambda x: np.where(x == 0, -0.5, step(x))),
    "absolute value": (np.abs, lambda x: np.where(x == 0, 2.0, np.sign(x))),
    "a smooth function": (lambda x: x * x, lambda x: np.where(x == 0, 5.0, 2 * x)),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_claims_outside_of_both_slopes_fail(name):
    value, slope = OUTSIDE[name]
    report = check_gradients((lambda x: (value(x), x), lambda dy, x: dy * slope(x)), AT_ZERO)
    assert {c.index for c in report["x"].wrong} == {(0,), (3,)}, report
    for dtype in ("float64", "float32"):
        report = check_gradients(*times(value, slope, dtype))
        assert {c.index for c in report["x"].wrong} == {(0,), (3,)}, report


def test_a_unit_on_its_kink_in_a_layer_with_weights():
    class Relu(Linear):
        def forward(self, x):
            self.z = super().forward(x)
            return np.maximum(self.z, 0)

        def backward(self, dy):
            return super().backward(dy * np.where(self.z == 0, self.at, self.z > 0))

    layer, x = Relu(), data(2, 4)
    layer.W[:, 0] = 1.0
    x[0] = 0.5, -1.25, 0.25, 0.5
    for layer.at, right in ((0.0, True), (0.5, True), (1.0, True), (3.0, False), (-1.0, False)):
        assert bool(check_gradients(layer, x)) == right, layer.at


def test_a_claim_outside_is_named():
    report = check_gradients(lambda x: np.sum(np.maximum(x, 0)), AT_ZERO, gradient=OUTSIDE["relu"][1])
    assert "5 is claimed on a kink with slopes 0 and 1: outside of both" in report["x"].diagnosis


def pooling(share):
    def backward(dy, x):
        windows = x.reshape(-1, 3)
        won = 1.0 * (windows == windows.max(axis=1, keepdims=True))
        return (dy[:, None] * share(won)).ravel()

    return lambda x: (x.reshape(-1, 3).max(axis=1), x), backward


WINDOWS = np.array([2.0, 2, 1, 0, 3, 3, 1, 1, 1, 5, 4, 3])


def test_ties_may_be_shared_or_given_to_one():
    assert_gradients(pooling(lambda won: won / won.sum(axis=1, keepdims=True)), WINDOWS)
    assert_gradients(pooling(lambda won: won * (np.cumsum(won, axis=1) == 1)), WINDOWS)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_ties_that_all_get_the_whole_gradient_fail(dtype):
    report = check_gradients(pooling(lambda won: won.astype(dtype)), WINDOWS.astype(dtype))
    assert {c.index for c in report["x"].wrong} == {(i,) for i in (0, 1, 4, 5, 6, 7, 8)}, report
    assert "2 coordinates are tied (output [0]) and get " in report["x"].diagnosis


def test_ties_of_which_few_were_looked_at():
    x = np.round(np.maximum(data(600), 0))
    report = check_gradients(pooling(lambda won: won), x)
    assert "coordinates are tied" in report["x"].diagnosis
    assert_gradients(pooling(lambda won: won / won.sum(axis=1, keepdims=True)), x)


def test_ties_of_two_arrays():
    a, b = np.array([1.0, 2.0, -1.0]), np.array([1.0, 0.5, -1.0])

    def check(first, second):
        return check_gradients(
            (lambda a, b: (np.maximum(a, b), (a, b)), lambda dy, c: (dy * first(*c), dy * second(*c))), (a, b)
        )

    assert check(lambda a, b: a >= b, lambda a, b: b > a)
    assert check(lambda a, b: np.heaviside(a - b, 0.5), lambda a, b: np.heaviside(b - a, 0.5))
    assert not check(lambda a, b: a >= b, lambda a, b: b >= a)


@pytest.mark.parametrize("at", ["gt", "ge"])
@pytest.mark.parametrize("seed", range(6))
def test_units_on_their_kinks_behind_units_on_theirs(seed, at):
    """Rows of zeros and zero biases: what the chain rule gives may lie outside of every slope."""
    rng = np.random.default_rng(seed)
    on = {"gt": np.greater, "ge": np.greater_equal}[at]
    x = np.round(rng.standard_normal((4, 3))) * np.array([[1], [0], [1], [0]])

    def forward(x, W, b, V, c):
        first = x @ W + b
        second = np.maximum(first, 0) @ V + c
        return np.maximum(second, 0), (x, W, V, first, second)

    def backward(dy, cache):
        x, W, V, first, second = cache
        dsecond = dy * on(second, 0)
        dfirst = (dsecond @ V.T) * on(first, 0)
        return dfirst @ W.T, x.T @ dfirst, dfirst.sum(0), np.maximum(first, 0).T @ dsecond, dsecond.sum(0)

    inputs = (x, rng.standard_normal((3, 4)), np.zeros(4), rng.standard_normal((4, 3)), np.zeros(3))
    assert_gradients((forward, backward), inputs, seed=seed)
    assert_gradients((forward, backward), [np.round(array) for array in inputs], seed=seed)  # W and b tied, W = -1


SCALES = {
    "1/x": (lambda x: 1 / x, lambda x: -1 / x**2, 10.0 ** np.linspace(-6, 6, 13)),
    "log": (np.log, lambda x: 1 / x, 10.0 ** np.linspace(-12, 12, 13)),
    "root": (np.sqrt, lambda x: 0.5 / np.sqrt(x), 10.0 ** np.linspace(-12, 8, 11)),
    "sine of times": (np.sin, np.cos, 1e7 + 1e3 * data(6)),
    "tanh beside a large number": (np.tanh, lambda x: 1 - np.tanh(x) ** 2, np.array([1e6, 0.0, 0.5])),
}


@pytest.mark.parametrize("name", SCALES)
def test_the_scale_is_the_function_s_own(name):
    value, slope, x = SCALES[name]
    assert_gradients((lambda x: (value(x), x), lambda dy, x: dy * slope(x)), x, method="differences")
    wrong = (lambda x: (value(x), x), lambda dy, x: 1.001 * dy * slope(x))
    assert not check_gradients(wrong, x, method="differences")


@pytest.mark.parametrize("offset", [1e7, 1e8, 1e12])
def test_softmax_with_a_common_offset(offset):
    class Softmax:
        def forward(self, x):
            e = np.exp(x - x.max(axis=-1, keepdims=True))
            self.p = e / e.sum(axis=-1, keepdims=True)
            return self.p

        def backward(self, dy):
            return self.p * (dy - (dy * self.p).sum(axis=-1, keepdims=True))

    assert_gradients(Softmax(), offset + data(3, 5))


@pytest.mark.parametrize("size", [10, 100])
@pytest.mark.parametrize("seed", range(4))
def test_a_small_output_may_be_the_difference_of_large_numbers(seed, size):
    """GELU far to the left is x times what is left of 1 + tanh, which moves in steps of a rounding of 1."""
    k = np.sqrt(2 / np.pi)

    def forward(x):
        t = np.tanh(k * (x + 0.044715 * x**3))
        return 0.5 * x * (1 + t), (x, t)

    def backward(dy, cache):
        x, t = cache
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * k * (1 + 3 * 0.044715 * x**2))

    assert_gradients((forward, backward), size * data(40, seed=seed), seed=seed)


def test_what_is_saturated_is_not_called_right():
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    pair = (lambda x: (sigmoid(x), x), lambda dy, x: dy * sigmoid(x) * (1 - sigmoid(x)))
    report = check_gradients(pair, np.linspace(38, 45, 8), method="differences")
    assert not report
    assert "NOT RESOLVED" in str(report)
    assert report.relative_error == 0.0
    assert_gradients(pair, np.linspace(-40, 40, 17))
