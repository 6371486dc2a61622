"""Gradient estimators against closed forms, quadrature and enumeration: means, and variances too."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from minivae import estimators as est
from minivae.estimators.functions import Cosine, Exponential, Quadratic, quadrature
from minivae.estimators.special import digamma, gamma_draw_slope

DRAWS = 100_000
NORMAL_99 = 2.576
SEED = 0


def gaussian_estimators(f, q, baseline):
    return {
        "score_function": est.score_function,
        "baseline": lambda *arguments: est.score_function(*arguments, baseline=baseline),
        "pathwise": est.pathwise,
        "measure_valued": est.measure_valued,
    }


def variance_interval(rows):
    """Sample variance and its standard error, sqrt((m4 - v^2) / n), for each column."""
    centred = rows - rows.mean(axis=0)
    v = (centred**2).mean(axis=0)
    return v, np.sqrt(((centred**4).mean(axis=0) - v**2) / len(rows))


def standardised_variances(seed, draws):
    """(measured - closed form) / standard error for all k, estimators and both parameters, (56,)."""
    errors = []
    for k in range(-3, 4):
        f, q, rng = Quadratic(k), est.Normal(1.0, 1.0), np.random.default_rng([seed, k + 3])
        for name, estimator in gaussian_estimators(f, q, f.baseline(q)).items():
            rows = estimator(f, q, rng, draws)
            v, error = variance_interval(rows)
            exact = f.variances(q)[name]
            # at d = 0 the coupled estimator by mu is 0 for every draw, but for rounding
            assert (v[exact == 0] < 1e-28).all()
            errors += list(np.where(exact == 0, 0.0, (v - exact) / error))
    return np.array(errors)


def test_closed_form_variances_are_those_of_the_published_figure():
    """sigma = 1, mu = 1: d = 4, 1, -2 at k = -3, 0, 3. Mohamed et al. (arXiv:1906.10652), figure 2."""
    expected = {
        -3: {"score_function": (495, 1546), "baseline": (134, 664), "pathwise": (4, 72), "measure_valued": (17.49, 68)},
        0: {"score_function": (30, 136), "baseline": (14, 64), "pathwise": (4, 12), "measure_valued": (1.093, 8)},
        3: {"score_function": (87, 346), "baseline": (38, 184), "pathwise": (4, 24), "measure_valued": (4.372, 20)},
    }
    for k, table in expected.items():
        for name, values in Quadratic(k).variances(est.Normal(1.0, 1.0)).items():
            np.testing.assert_allclose(values, table[name], rtol=1e-3)


def test_every_measured_variance_lies_in_its_99_percent_interval():
    """56 intervals at once, so a seed at which none of them misses: the next test counts misses over many seeds."""
    assert np.abs(standardised_variances(seed=SEED, draws=200_000)).max() < NORMAL_99


def test_the_intervals_cover_about_as_often_as_they_say():
    """336 intervals from 4e4 draws. At 99 % 3.4 should miss; the heavy tails of score functions (a variance of z^8)
    make it a few more.
    """
    errors = np.concatenate([standardised_variances(seed, 40_000) for seed in range(6)])
    assert (np.abs(errors) >= NORMAL_99).mean() < 0.05
    assert 0.8 < errors.std() < 1.25


@pytest.mark.parametrize("q", [est.Normal(1.0, 1.0), est.Normal(-0.7, 0.4), est.Normal(0.3, 2.0)], ids=str)
@pytest.mark.parametrize("f", [Quadratic(1.5), Exponential(0.8), Exponential(10), Cosine(1.3), Cosine(15)], ids=str)
def test_means_and_variances_agree_with_quadrature(f, q):
    exact, rng = quadrature(f, q), np.random.default_rng(5)
    best = est.optimal_baseline(f, q, rng, DRAWS)
    for name, estimator in gaussian_estimators(f, q, best).items():
        mean, variance = exact[name]
        np.testing.assert_allclose(mean, f.gradient(q), rtol=1e-9, atol=1e-12, err_msg=f"the closed form of {f}")
        if isinstance(f, Quadratic):
            np.testing.assert_allclose(variance, f.variances(q)[name], rtol=1e-9)
        rows = estimator(f, q, rng, DRAWS)
        assert (np.abs(rows.mean(axis=0) - mean) <= 4 * np.sqrt(variance / DRAWS)).all(), name
        measured, error = variance_interval(rows)
        assert (np.abs(measured - variance) <= 4.5 * error + 1e-12).all(), name


@pytest.mark.parametrize("k", [15, 100, 1000])
@pytest.mark.parametrize("sigma", [0.9, 2.0])
def test_quadrature_of_fast_waves(k, sigma):
    """As k sigma grows cos and sin of k z take all phases alike: E cos^2 = 1/2, and whatever has a wave in it is 0."""
    q = est.Normal(0.7, sigma)
    # E sin^2(k sigma w) of a Rayleigh w, which has an end at 0: Dawson's integral, asymptotically
    t = 2 * k * sigma
    wave = math.sin(k * q.mu) ** 2 * (1 + 1 / t**2 + 3 / t**4 + 15 / t**6 + 105 / t**8)
    expected = {
        "score_function": (1 / (2 * sigma**2), 1 / sigma**2),
        "baseline": (1 / (2 * sigma**2), 1 / sigma**2),
        "pathwise": (k**2 / 2, k**2 / 2),
        "measure_valued": (wave / (math.pi * sigma**2), 1 / sigma**2),
    }
    for name, (mean, variance) in quadrature(Cosine(k), q).items():
        np.testing.assert_allclose(mean, 0, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(variance, expected[name], rtol=1e-9, err_msg=name)


def test_quadrature_goes_as_far_out_as_f_does():
    """f = exp(8 z): f^2 has its mass 16 standard deviations out. E exp(c z) = exp(c mu + c^2 sigma^2 / 2)."""
    q = est.Normal(0.3, 1.0)
    mean, variance = quadrature(Function(lambda z: np.exp(8 * z), lambda z: 8 * np.exp(8 * z)), q)["pathwise"]
    np.testing.assert_allclose(mean[0], 8 * math.exp(2.4 + 32), rtol=1e-9)
    np.testing.assert_allclose(variance[0], 64 * (math.exp(4.8 + 128) - math.exp(4.8 + 64)), rtol=1e-9)


def test_quadrature_of_a_constant_and_of_what_is_added_to_f():
    q = est.Normal(0.3, 0.5)
    for name, (mean, variance) in quadrature(Function(lambda z: 7.0, lambda z: 0.0), q).items():
        np.testing.assert_allclose(mean, 0, atol=1e-12)
        np.testing.assert_allclose(variance, np.array([49, 98]) / 0.25 if name == "score_function" else 0, atol=1e-11)
    wave = Cosine(2.0)
    plain, lifted = (quadrature(Function(lambda z, c=c: wave(z) + c, wave.derivative), q) for c in (0, 1e6))
    for name in ("baseline", "pathwise", "measure_valued"):
        np.testing.assert_allclose(lifted[name][1], plain[name][1], rtol=1e-7)


@pytest.mark.parametrize(
    ("value", "derivative"),
    [
        (np.abs, np.sign),
        (lambda z: (z > 0) * 1.0, np.zeros_like),
        (lambda z: np.exp(z**2 / 4), lambda z: z / 2 * np.exp(z**2 / 4)),
        (lambda z: np.exp(z**2), lambda z: 2 * z * np.exp(z**2)),
        (np.log, np.reciprocal),
        (lambda z: np.cos(1e4 * z), lambda z: -1e4 * np.sin(1e4 * z)),
    ],
    ids=["kink", "jump", "infinite variance", "infinite mean", "not defined below 0", "too fast"],
)
def test_quadrature_that_does_not_converge_names_f(value, derivative):
    with pytest.raises(ValueError, match=r"f: got .*Function.* a smooth function .*quadrature does not converge"):
        quadrature(Function(value, derivative), est.Normal(0.3, 1.0))


def test_the_estimated_baseline_is_the_closed_form():
    f, q = Quadratic(-1.0), est.Normal(0.5, 0.7)
    found = est.optimal_baseline(f, q, np.random.default_rng(0), 400_000)
    np.testing.assert_allclose(found, f.baseline(q), rtol=0.02)


@pytest.mark.parametrize("low", [-600.0, -800.0])
def test_the_best_baseline_where_the_score_is_tiny_or_always_zero(low):
    """A category of probability 1e-261, whose squared score would be 0, and one of 0, whose baseline is any number."""
    q = est.Categorical((0.0, low, 0.0))
    found = est.optimal_baseline(BOWL, q, np.random.default_rng(0), 1000)
    z = q.sample(np.random.default_rng(0), 1000)
    assert not z[:, 1].any()
    expected = BOWL(z).mean() if low == -600 else 0.0  # a score of -p at every draw weighs them alike
    assert found[1] == pytest.approx(expected)
    # two categories of probability 1/2: their squared scores are 1/4 at every draw
    assert found[0] == pytest.approx(BOWL(z).mean())
    assert found[2] == pytest.approx(BOWL(z).mean())
    certain = est.optimal_baseline(BOWL, est.Categorical((900.0, 0.0, 0.0)), np.random.default_rng(0), 10)
    np.testing.assert_array_equal(certain, 0)


# Discrete


class Function:
    """f and its derivative, as the estimators take them."""

    def __init__(self, value, derivative):
        self.value, self.derivative = value, derivative

    def __call__(self, z):
        return self.value(z)


def bowl(target):
    """|z - target|^2: curved, so that the corners of the simplex and its inside differ."""
    return Function(lambda z: ((z - target) ** 2).sum(axis=1), lambda z: 2 * (z - target))


BOWL = bowl(np.array([0.2, 0.5, -0.1]))
Q = est.Categorical((0.3, -0.8, 1.1))


def enumerated(f, q):
    """d/dlogits sum_c p_c f(e_c) = p * (f - sum p f), from all the categories."""
    p, values = q.probabilities, f(np.eye(len(q.logits)))
    return p * (values - p @ values)


def within(rows, exact, width=4):
    return np.abs(rows.mean(axis=0) - exact) <= width * rows.std(axis=0) / np.sqrt(len(rows)) + 1e-12


def test_categorical_draws_have_their_probabilities():
    z = Q.sample(np.random.default_rng(0), DRAWS)
    assert set(np.unique(z)) == {0.0, 1.0}
    assert (z.sum(axis=1) == 1).all()
    assert within(z, Q.probabilities).all()


@pytest.mark.parametrize("baseline", [0.0, 1.3])
def test_the_score_function_is_unbiased_for_categories(baseline):
    rows = est.score_function(BOWL, Q, np.random.default_rng(1), DRAWS, baseline=baseline)
    assert within(rows, enumerated(BOWL, Q)).all()


def test_straight_through_is_exact_for_linear_functions_and_biased_for_others():
    slopes, rng = np.array([1.0, -2.0, 0.5]), np.random.default_rng(2)
    linear = Function(lambda z: z @ slopes, lambda z: np.broadcast_to(slopes, z.shape))
    rows = est.straight_through(linear, Q, rng, 1000)
    np.testing.assert_allclose(rows, np.broadcast_to(enumerated(linear, Q), rows.shape), atol=1e-15)
    # E f'(z) = 2 (p - target), where the exact gradient has |e_c - target|^2 in its place
    p = Q.probabilities
    slope = [p * (row - p @ row) for row in BOWL.derivative(np.eye(3))]
    assert within(est.straight_through(BOWL, Q, rng, DRAWS), p @ slope).all()
    assert not within(est.straight_through(BOWL, Q, rng, DRAWS), enumerated(BOWL, Q), width=10).all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_gumbel_softmax_is_the_gradient_of_the_relaxed_mean(temperature):
    """Two categories: y = sigmoid((l0 - l1 + logistic noise) / temperature), one integral."""
    q, f = est.Categorical((0.4, -0.3)), bowl(np.array([0.3, 0.1]))
    nodes, weights = np.polynomial.legendre.leggauss(400)
    noise = 40 * nodes
    density = 40 * weights * np.exp(-np.abs(noise)) / (1 + np.exp(-np.abs(noise))) ** 2
    y = 1 / (1 + np.exp(-(0.7 + noise) / temperature))
    pair = np.stack([y, 1 - y], axis=1)
    slope = y * (1 - y) / temperature * (f.derivative(pair) @ np.array([1.0, -1.0]))
    exact = density @ slope
    rows = est.gumbel_softmax(f, q, np.random.default_rng(3), DRAWS, temperature=temperature)
    assert within(rows, [exact, -exact]).all()


def test_the_relaxed_draw_follows_its_own_derivative():
    """Differences at frozen Gumbel noise."""
    temperature = 0.7
    rows = est.gumbel_softmax(BOWL, Q, np.random.default_rng(4), 5, temperature=temperature)
    noise = np.random.default_rng(4).gumbel(size=(5, 3))

    def value(logits):
        a = np.exp((logits + noise) / temperature)
        return BOWL(a / a.sum(axis=1, keepdims=True))

    for c in range(3):
        step = 1e-5 * (np.arange(3) == c)
        difference = (value(Q.logits + step) - value(Q.logits - step)) / 2e-5
        np.testing.assert_allclose(rows[:, c], difference, rtol=1e-7, atol=1e-9)


def test_gumbel_softmax_bias_falls_and_variance_rises_as_it_cools():
    exact, bias, variance = enumerated(BOWL, Q), [], []
    for temperature in (2.0, 0.5, 0.1):
        rows = est.gumbel_softmax(BOWL, Q, np.random.default_rng(5), 400_000, temperature=temperature)
        bias.append(np.abs(rows.mean(axis=0) - exact).max())
        variance.append(rows.var(axis=0).sum())
    assert bias[0] > bias[1] > bias[2]
    assert variance[0] < variance[1] < variance[2]
    rows = est.straight_through_gumbel(BOWL, Q, np.random.default_rng(5), 1000, temperature=0.5)
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(rows.sum(axis=1), 0, atol=1e-12)


# Gamma and Beta


Z, SQUARE = Function(lambda z: z, np.ones_like), Function(np.square, lambda z: 2 * z)
LOG = Function(np.log, np.reciprocal)


def trigamma(x):
    return float(1 / (x + np.arange(2_000_000)) @ (1 / (x + np.arange(2_000_000)))) + 1 / (x + 2_000_000)


@pytest.mark.parametrize("shape", [0.3, 1.0, 2.5, 40.0])
def test_implicit_gradients_of_gamma_means(shape):
    """E z = a / r, E z^2 = a (a + 1) / r^2, E log z = digamma(a) - log r."""
    rate = 1.7
    cases = [
        (Z, [1 / rate, -shape / rate**2]),
        (SQUARE, [(2 * shape + 1) / rate**2, -2 * shape * (shape + 1) / rate**3]),
        (LOG, [trigamma(shape), -1 / rate]),
    ]
    q = est.Gamma(shape, rate)
    for f, exact in cases:
        rows = est.implicit(f, q, np.random.default_rng(6), DRAWS)
        assert within(rows, exact).all(), f
        scores = est.score_function(f, q, np.random.default_rng(7), DRAWS)
        assert within(scores, exact).all()
        assert (rows.var(axis=0) < scores.var(axis=0)).all()


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.7), (2.0, 5.0), (30.0, 3.0)])
def test_implicit_gradients_of_beta_means(a, b):
    """E z = a / (a + b); E z^2 = a (a + 1) / ((a + b) (a + b + 1))."""
    total = a + b
    second = a * (a + 1) / (total * (total + 1))
    shared = 1 / total + 1 / (total + 1)
    cases = [
        (Z, [b / total**2, -a / total**2]),
        (SQUARE, [second * (1 / a + 1 / (a + 1) - shared), -second * shared]),
    ]
    q = est.Beta(a, b)
    for f, exact in cases:
        assert within(est.implicit(f, q, np.random.default_rng(8), DRAWS), exact).all()
        assert within(est.score_function(f, q, np.random.default_rng(9), DRAWS), exact).all()


def test_the_slope_of_a_gamma_draw_by_an_integral():
    """dz/da = int_0^inf (digamma(a) - log z + s) z exp(-a s + z (1 - e^-s)) ds, from dF/da under the integral sign."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    for a in (0.4, 1.0, 3.0, 25.0):
        z = np.array([0.01, 0.3, 1.0, 2.0]) * a
        end = 60 / a + 20 * np.sqrt(1 / a)
        s, ds = 0.5 * end * (nodes + 1), 0.5 * end * weights
        inner = z[:, None] * np.exp(-a * s + z[:, None] * -np.expm1(-s))
        exact = ((digamma(a) - np.log(z)[:, None] + s) * inner) @ ds
        np.testing.assert_allclose(gamma_draw_slope(a, z), exact, rtol=1e-9)
    # a large shape moves the whole distribution by as much as its mean
    np.testing.assert_allclose(gamma_draw_slope(400.0, np.array([380.0, 400.0, 420.0])), 1, atol=0.03)


def test_digamma():
    euler = 0.57721566490153286
    np.testing.assert_allclose(digamma([1.0, 0.5, 2.0]), [-euler, -euler - 2 * math.log(2), 1 - euler], rtol=1e-14)
    x = np.array([1e-3, 0.7, 3.3, 12.0, 1e4])
    np.testing.assert_allclose(digamma(x + 1), digamma(x) + 1 / x, rtol=1e-12)


FLAT = SimpleNamespace(derivative=lambda z: 0.0)


def on_normal(rng, samples, f=np.square, **options):
    return est.score_function(f, est.Normal(0.0, 1.0), rng, samples, **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: est.Normal(0.0, -1.0), "sigma: got -1.0"),
        (lambda: est.Gamma(0.0, 1.0), "shape: got 0.0"),
        (lambda: est.Beta(1.0, math.inf), "b: got inf"),
        (lambda: est.Categorical((1.0,)), "logits: got"),
        (lambda: est.pathwise(LOG, est.Gamma(1.0, 1.0), np.random.default_rng(0), 3), "q: got Gamma.*a Normal"),
        (
            lambda: est.implicit(LOG, est.Normal(0.0, 1.0), np.random.default_rng(0), 3),
            "a Gamma, a Beta or a Dirichlet",
        ),
        (lambda: est.gumbel_softmax(LOG, Q, np.random.default_rng(0), 3, temperature=0.0), "temperature: got 0.0"),
        (lambda: est.Normal("a", 1.0), "mu: got 'a'"),
        (lambda: est.Normal(np.zeros(2), 1.0), "mu: got float64"),
        (lambda: on_normal(None, 3), "rng: got None"),
        (lambda: on_normal(np.random.default_rng(0), 2.5), "samples: got 2.5"),
        (lambda: on_normal(np.random.default_rng(0), 0), "samples: got 0"),
        (lambda: on_normal(np.random.default_rng(0), 3, lambda z: z[:, None]), r"f: got float64 of shape \(3, 1\)"),
        (lambda: on_normal(np.random.default_rng(0), 3, lambda z: 1.0), "f: got 1.0, expected a value for each of 3"),
        (lambda: on_normal(np.random.default_rng(0), 3, lambda z: z + math.nan), "f: got .*not finite"),
        (lambda: on_normal(np.random.default_rng(0), 3, baseline=np.ones((3, 1))), r"baseline: .*\(3, 1\)"),
        (lambda: on_normal(np.random.default_rng(0), 3, baseline=math.nan), "baseline: got nan"),
        (lambda: est.pathwise(lambda z: z, est.Normal(0.0, 1.0), np.random.default_rng(0), 3), "with a derivative"),
        (lambda: est.pathwise(FLAT, est.Normal(0.0, 1.0), np.random.default_rng(0), 3), r"f.derivative: got 0.0"),
    ],
)
def test_bad_distributions_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
