"""Rounding that is as large as what is looked for: agreement by chance, values and derivatives zero by cancelling."""

import numpy as np
import pytest

from benchmarks.gradcheck.corpus import FAMILIES
from minivae import VAE
from minivae.gradcheck import check_gradients
from minivae.gradcheck.numerics.differences import Differences, differentiate

from .foreign_layers import data

X = np.linspace(-1, 1, 6)
FLOATS = ["float64", "float32"]


@pytest.mark.parametrize(("family", "seed"), [("large_dense", 1), ("huber", 3)])
def test_three_quotients_may_agree_by_chance(family, seed):
    target, inputs, *options = FAMILIES[family].right(seed, "float32").build()
    report = check_gradients(target, inputs, **(options[0] if options else {}))
    assert report, report


def test_the_error_of_entries_that_agree_by_chance_is_not_too_small():
    """tanh in float32 along lines of many slopes: the error estimated must cover the error made."""
    worst = 0.0
    for slope in np.linspace(0.2, 3.0, 150):

        def line(t, slope=slope):
            return t, np.float64([np.float32(np.tanh(0.3 + slope * t))])

        differences = Differences(line, line(0.0)[1], np.ones(1), 2.0**-23)
        true = slope * (1 - np.tanh(0.3) ** 2)
        found = differentiate(differences, 1.0, true, 3.5e-4, 0.0)
        worst = max(worst, abs(found.value - true) / (10 * found.error + 3.5e-4 * true))
    assert worst < 1.0


@pytest.mark.parametrize("method", ["auto", "differences"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_loss_near_zero_because_its_terms_cancel(dtype, method):
    x = X.astype(dtype)
    assert check_gradients(lambda x: np.sum(np.sin(x)), x, gradient=np.cos, method=method)
    report = check_gradients(lambda x: np.sum(np.sin(x)), x, gradient=lambda x: x.dtype.type(1.001) * np.cos(x))
    assert report["x"].verdict == "wrong"


@pytest.mark.parametrize("offset", [1e12, 1e18, 1e25])
@pytest.mark.parametrize(("function", "gradient"), [(np.sin, np.cos), (np.exp, np.exp), (np.square, lambda x: 2 * x)])
def test_what_a_large_offset_hides_is_not_called_wrong(function, gradient, offset):
    report = check_gradients(lambda x: offset + np.sum(function(x)), X, gradient=gradient, method="differences")
    assert report["x"].verdict in ("right", "unresolved"), report


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_rounding_of_terms_that_cancel_to_zero_is_no_claim(dtype):
    """As those of |exp(a + ib)| by b do, where b is not seen in the values at all."""

    def forward(a, b):
        y = np.exp(a) + 0 * b
        return y, (y, b)

    def backward(dy, cache, term=0.0):
        y, b = cache
        c, s = np.cos(b), np.sin(b)
        return dy * y, dy * y * (c * s - s * (c + y.dtype.type(np.finfo(dtype).eps) + y.dtype.type(term)))

    arrays = data(4, 3, dtype=dtype), data(4, 3, seed=1, dtype=dtype)
    report = check_gradients((forward, backward), arrays)
    assert report, report
    report = check_gradients((forward, lambda dy, cache: backward(dy, cache, 1e-3)), arrays)
    assert report["b"].verdict == "wrong"


def test_small_derivatives_beside_large_ones_are_still_judged():
    """1e-15 of the largest derivative, and linear, so that differences see it."""
    for factor, verdict in ((1.0, "right"), (2.0, "wrong")):
        pair = lambda a, b: ((a, 1e-15 * b), None), lambda da, db, c, k=factor: (da, k * 1e-15 * db)
        assert check_gradients(pair, (data(5), data(5, seed=1)))["b"].verdict == verdict


def test_the_complex_step_leaves_no_complex_numbers_behind():
    class Centred:
        def __init__(self):
            self.running = np.zeros(3)

        def forward(self, x, state):
            mean = x.mean(axis=0)
            self.running = 0.9 * self.running + 0.1 * mean
            state["mean"] = 0.9 * state["mean"] + 0.1 * mean
            return x - mean, None

        def backward(self, dy, cache):
            return dy - dy.mean(axis=0)

    layer, state = Centred(), {"mean": np.zeros(3)}
    report = check_gradients((layer.forward, layer.backward), data(5, 3), fixed={"state": state})
    assert report, report
    assert report.method == "differences and complex step"
    assert layer.running.dtype == state["mean"].dtype == np.float64


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_report_of_a_model_of_our_own_has_no_notes(likelihood):
    report = VAE(5, 2, (6,), likelihood=likelihood, dtype="float64", backend="numpy").check(full=16, coordinates=4)
    assert report, report
    assert not report.notes
