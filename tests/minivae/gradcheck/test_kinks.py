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
