"""Dirichlet, and gamma draws too small for a float: gradients and variances against closed forms and quadrature."""

import math

import numpy as np
import pytest

from minivae import estimators as est
from minivae.estimators.distributions import shares
from minivae.estimators.special import gamma_log_slope
from minivae.gradcheck import check_sampler, dirichlet_sticks

from .test_estimators import DRAWS, NORMAL_99, Function, within
from .test_posteriors import standardised


def test_the_slope_of_a_gamma_draw_too_small_for_a_float():
    """Near 0 F = z^a / Gamma(a + 1), so d log z / da = (digamma(a + 1) - log z) / a."""
    a = 0.01
    euler = 0.57721566490153286
    found = gamma_log_slope(a, np.array([-1e4, -1e3]))
    np.testing.assert_allclose(found, (-euler + 1.6449 * a + np.array([1e4, 1e3])) / a, rtol=1e-6)


@pytest.mark.parametrize("a", [(0.6, 1.7, 3.0), (30.0, 8.0, 2.0, 0.5), (0.02, 0.05, 0.01)])
def test_dirichlet_gradients_of_linear_and_quadratic_functions(a):
    """E z = a / A and E z z' = (a a' + diag(a)) / (A (A + 1)), A the sum of a."""
    q, a = est.Dirichlet(a), np.array(a)
    d, total = len(a), a.sum()
    c, m = np.linspace(-1, 2, d), np.cos(np.arange(d * d).reshape(d, d))
    m = m + m.T
    f = Function(lambda z: z @ c + np.einsum("si,ij,sj->s", z, m, z), lambda z: c + 2 * z @ m)
    second = a @ m @ a + np.diag(m) @ a
    exact = c / total - c @ a / total**2 + (2 * m @ a + np.diag(m)) / (total * (total + 1))
    exact -= second * (2 * total + 1) / (total * (total + 1)) ** 2
    for estimator in (est.implicit, est.score_function):
        assert within(estimator(f, q, np.random.default_rng(1), DRAWS), exact).all(), estimator


def test_variances_of_two_categories_are_those_of_quadrature():
    """Over the logarithms of the two gamma draws, by the trapezoidal rule, and Beta's are those of the first share."""
    a = (0.8, 2.5)
    f = Function(lambda z: np.sin(3 * z[:, 0]), lambda z: np.stack([3 * np.cos(3 * z[:, 0]), 0 * z[:, 0]], axis=1))
    first = Function(lambda z: np.sin(3 * z), lambda z: 3 * np.cos(3 * z))
    line = np.linspace(-45, 3.4, 1001)  # beyond it the series of the slope has lost its digits
    log_x = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    weight = np.exp((np.array(a) * log_x - np.exp(log_x)).sum(axis=1))
    weight /= weight.sum()
    slopes = np.stack([np.tile(gamma_log_slope(a[0], line)[:, None], 1001).ravel()] * 2, axis=1)
    slopes[:, 1] = np.tile(gamma_log_slope(a[1], line), 1001)
    z = shares(log_x)
    rows = (f.derivative(z)[:, 0] * z[:, 0] * z[:, 1])[:, None] * slopes * (1, -1)
    scored = f(z)[:, None] * est.Dirichlet(a).score(z)
    for name, exact in (("implicit", rows), ("score_function", scored)):
        mean = weight @ exact
        variance = weight @ exact**2 - mean**2
        for function, q in ((f, est.Dirichlet(a)), (first, est.Beta(*a))):
            draws = getattr(est, name)(function, q, np.random.default_rng(1), 40_000)
            means, variances = standardised(draws, mean, variance)
            assert np.abs(means).max() < NORMAL_99, name
            assert np.abs(variances).max() < NORMAL_99, name
        np.testing.assert_allclose(weight @ rows, weight @ scored, rtol=1e-6)


def test_dirichlet_draws():
    """The part that a category takes of what is left, Beta(1.5, 2): its distribution function by a fine sum."""
    grid = np.linspace(0, 1, 20_001)
    middle = 0.5 * (grid[1:] + grid[:-1])
    steps = np.sqrt(middle) * (1 - middle)
    total = np.concatenate([[0], np.cumsum(steps / steps.sum())])

    def sticks(rng):
        return dirichlet_sticks(est.Dirichlet((1.5, 2.0)).sample(rng, 40))

    assert check_sampler(sticks, cdf=lambda z: np.interp(z, grid, total))


@pytest.mark.parametrize("q", [est.Dirichlet((1e-4, 3e-4)), est.Beta(1e-4, 3e-4)], ids=str)
def test_tiny_concentrations_keep_their_distribution(q):
    """Both gamma draws underflow in nine of ten cases; taken for equal they would make one half of every share."""
    f = Function(lambda z: z if z.ndim == 1 else z[:, 0], None)
    z = f(q.sample(np.random.default_rng(0), DRAWS))
    assert z.mean() == pytest.approx(0.25, abs=0.006)
    assert (np.abs(z - 0.5) < 0.49).mean() < 0.01
    exact = np.array([3e-4, -1e-4]) / 4e-4**2
    rows = est.score_function(f, q, np.random.default_rng(1), DRAWS)
    assert within(rows, exact).all()
    assert np.isfinite(rows).all()


def test_the_score_of_gamma_draws_that_underflow():
    rows = est.score_function(Function(np.sqrt, None), est.Gamma(0.003, 2.0), np.random.default_rng(0), 400_000)
    mean = math.gamma(0.503) / math.gamma(0.003) / math.sqrt(2)
    shifted = math.gamma(0.503001) / math.gamma(0.003001) / math.sqrt(2)
    assert within(rows[:, 0], (shifted - mean) / 1e-6).all()
    for rate in (0.3, 2.0, 9.0, 9e12):  # 1 / 9 and 9 do not give 1 again in floats as small as these draws are
        gamma = est.Gamma(0.003, rate)
        assert within(gamma.score(gamma.sample(np.random.default_rng(1), 400_000)), 0).all()
