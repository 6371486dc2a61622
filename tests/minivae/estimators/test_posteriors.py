"""q's of several dimensions: full covariance and planar flows. Backward passes against differences, means and variances
against closed forms and quadrature.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae import assert_gradients, check_gradients
from minivae import estimators as est
from minivae.estimators.functions import QuadraticForm
from minivae.estimators.gaussian import cholesky_backward, cholesky_forward, cholesky_tangent
from minivae.estimators.planar import planar_backward, planar_forward
from minivae.gradcheck import check_sampler

from .test_estimators import DRAWS, NORMAL_99, Function, variance_interval, within


def covariance(d, seed=0, spread=1.0):
    root = np.random.default_rng(seed).standard_normal((d, d)) * np.exp(spread * np.linspace(-1, 1, d))
    return root @ root.T + 0.1 * np.eye(d)


def standardised(rows, mean, variance):
    """(measured - exact) / standard error of the means and of the variances of the columns. The seeds below are such
    that none of those compared at once misses its 99 % interval; over 12 to 60 seeds 0 to 1.9 % of them did.
    """
    measured, error = variance_interval(rows)
    return (rows.mean(axis=0) - mean) / np.sqrt(variance / len(rows)), (measured - variance) / error


# The Cholesky decomposition


def factorize(covariance):
    factor = cholesky_forward(covariance)
    return factor, factor


@settings(max_examples=15)
@given(d=st.integers(1, 6), seed=st.integers(0, 1000), spread=st.floats(0, 1.5))
def test_the_way_back_through_cholesky_is_its_derivative(d, seed, spread):
    """The lower triangle alone is read, so the checker may move each of its entries."""
    assert_gradients((factorize, cholesky_backward), covariance(d, seed, spread))


def test_reverse_and_forward_mode_of_cholesky_agree():
    rng = np.random.default_rng(1)
    s = covariance(5)
    factor, dfactor = cholesky_forward(s), np.tril(rng.standard_normal((7, 5, 5)))
    moved = rng.standard_normal((5, 5))
    moved = moved + moved.T
    back = cholesky_backward(dfactor, factor)
    assert (back == np.tril(back)).all()
    there = (dfactor * cholesky_tangent(moved, factor)).sum(axis=(1, 2))
    np.testing.assert_allclose((back * moved).sum(axis=(1, 2)), there, rtol=1e-10)


def without_mirror(dfactor, factor):
    inverse = np.linalg.inv(factor)
    return np.tril(inverse.T @ np.tril(factor.T @ dfactor) @ inverse)


@pytest.mark.parametrize(
    "wrong",
    [
        without_mirror,  # P alone: the mirror image forgotten, and the diagonal counted twice
        lambda dfactor, factor: cholesky_backward(dfactor, factor.T),
        lambda dfactor, factor: (
            cholesky_backward(dfactor, factor) + np.diag(np.diag(cholesky_backward(dfactor, factor)))
        ),
    ],
)
def test_mistakes_in_the_way_back_through_cholesky_are_seen(wrong):
    assert not check_gradients((factorize, wrong), covariance(4))


# The Gaussian


Q = est.Gaussian((0.5, -1.0, 0.3), covariance(3))
FORM = QuadraticForm(np.array([1.0, 0.2, -0.7]), np.array([[1.0, 0.4, -0.3], [0.4, -0.5, 0.2], [-0.3, 0.2, 0.8]]))


def moments_by_hermite(f, q):
    """{estimator: (mean, variance)}, exact for a quadratic f: its squares with those of scores have degree 8."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)
    noise = np.stack(np.meshgrid(*[nodes] * q.size, indexing="ij"), axis=-1).reshape(-1, q.size)
    weight = np.prod(np.meshgrid(*[weights / weights.sum()] * q.size, indexing="ij"), axis=0).ravel()
    z, _, cache = q.forward(noise)
    rows = {
        "score_function": f(z)[:, None] * q.score(z),
        "pathwise": q.backward(f.derivative(z), np.zeros(len(z)), cache),
    }
    return {name: (weight @ row, weight @ row**2 - (weight @ row) ** 2) for name, row in rows.items()}


def test_the_closed_forms_of_the_quadratic_form():
    exact = moments_by_hermite(FORM, Q)
    for mean, _ in exact.values():
        np.testing.assert_allclose(mean, FORM.gradient(Q), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(FORM.pathwise_variance(Q), exact["pathwise"][1], rtol=1e-10)
    one = est.Gaussian((1.5,), ((0.49,),))  # d = 1: dS = 2 sigma dsigma, so the figures of `Quadratic` by (2 sigma)^2
    form = QuadraticForm(np.array([0.5]), np.eye(1))
    np.testing.assert_allclose(form.pathwise_variance(one), [4 * 0.49, (4 + 8 * 0.49) / (4 * 0.49)], rtol=1e-12)


@pytest.mark.parametrize("estimator", ["pathwise", "score_function"])
def test_measured_moments_of_the_gaussian_lie_in_their_99_percent_intervals(estimator):
    rows = getattr(est, estimator)(FORM, Q, np.random.default_rng(2), 200_000)
    means, variances = standardised(rows, *moments_by_hermite(FORM, Q)[estimator])
    assert np.abs(means).max() < NORMAL_99
    assert np.abs(variances).max() < NORMAL_99


def test_the_gaussian_s_path_and_density_by_differences():
    """z and log q(z) at fixed noise, and the score at fixed z, as functions of the mean and the covariance."""
    rng = np.random.default_rng(2)
    noise, z = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
    rows, columns = np.tril_indices(3)

    def unpack(gradient):
        full = np.zeros((3, 3))
        full[rows, columns] = gradient[3:]
        return gradient[:3], full

    def mirrored(s):
        return np.tril(s) + np.tril(s, -1).T

    def forward(mean, s):
        q = est.Gaussian(mean, mirrored(s))
        z, log_q, cache = q.forward(noise)
        return (z, log_q), (q, cache)

    def backward(dz, dlog_q, cache):
        return unpack(cache[0].backward(dz, dlog_q, cache[1]).sum(axis=0))

    assert_gradients((forward, backward), (Q.mean, Q.covariance))

    def density(mean, s):
        s, off = mirrored(s), z - mean
        return (-0.5 * np.einsum("si,ij,sj->s", off, np.linalg.inv(s), off) - 0.5 * np.linalg.slogdet(s)[1]).sum()

    assert_gradients(
        density,
        (Q.mean, Q.covariance),
        gradient=lambda mean, s: unpack(est.Gaussian(mean, mirrored(s)).score(z).sum(axis=0)),
        method="differences",
    )


def test_gaussian_draws_and_their_density():
    assert check_sampler(
        lambda rng: Q.sample(rng, 5), mean=np.tile(Q.mean, (5, 1)), cov=np.tile(Q.covariance, (5, 1, 1))
    )
    z, log_q, _ = Q.forward(np.random.default_rng(0).standard_normal((5, 3)))
    off = z - Q.mean
    exact = -0.5 * (off @ np.linalg.inv(Q.covariance) * off).sum(axis=1)
    exact -= 0.5 * np.linalg.slogdet(2 * np.pi * Q.covariance)[1]
    np.testing.assert_allclose(log_q, exact, rtol=1e-12)


def test_the_elbo_of_a_gaussian_has_the_gradient_of_its_closed_form():
    """ELBO against the target N(0, P^-1): -(m' P m + tr(P S)) / 2 + log|S| / 2 + constants."""
    precision = np.linalg.inv(covariance(3, seed=4))
    log_joint = QuadraticForm(np.zeros(3), -0.5 * precision)
    full = 0.5 * (np.linalg.inv(Q.covariance) - precision)
    rows, columns = np.tril_indices(3)
    exact = np.concatenate([-precision @ Q.mean, full[rows, columns] * np.where(rows == columns, 1, 2)])
    draws = est.pathwise_elbo(log_joint, Q, np.random.default_rng(3), DRAWS)
    assert within(draws, exact).all()


# The planar flow


def planar(z, u, w, b):
    z, log_det, cache = planar_forward(z, u, w, b[0])
    return (z, log_det), cache


def planar_back(dz, dlog_det, cache):
    dz, du, dw, db = planar_backward(dz, dlog_det, cache)
    return dz, du.sum(axis=0), dw.sum(axis=0), db.sum(keepdims=True)


@settings(max_examples=15)
@given(d=st.integers(1, 4), seed=st.integers(0, 1000), size=st.sampled_from([0.1, 1.0, 5.0]))
def test_the_way_back_through_a_planar_step_is_its_derivative(d, seed, size):
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((6, d)), size * rng.standard_normal(d), rng.standard_normal(d) + 0.1, rng.random(1)
    assert_gradients((planar, planar_back), inputs)


def test_mistakes_in_the_way_back_through_a_planar_step_are_seen():
    """Each a term that is easily forgotten: the constraint on u, its own w, the determinant's way to z."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((6, 3)), rng.standard_normal(3), rng.standard_normal(3), rng.random(1)

    def u_as_if_free(dz, dlog_det, cache):
        return planar_back(dz, dlog_det, cache)[0], dz.T @ cache[9], *planar_back(dz, dlog_det, cache)[2:]

    def no_square(dz, dlog_det, cache):
        return planar_back(dz, dlog_det, (*cache[:6], 0.0, *cache[7:]))

    def no_curvature(dz, dlog_det, cache):
        right = planar_back(dz, dlog_det, cache)
        return (planar_back(dz, 0 * dlog_det, cache)[0], *right[1:])

    for wrong in (u_as_if_free, no_square, no_curvature):
        assert not check_gradients((planar, wrong), inputs), wrong.__name__


@pytest.mark.parametrize("size", [0.3, 3.0, 300.0])
def test_a_planar_step_is_invertible_and_its_determinant_that_of_its_jacobian(size):
    """u against w is where an unconstrained step would fold the plane. By differences of the step itself."""
    rng = np.random.default_rng(5)
    w, z = rng.standard_normal(2), rng.standard_normal((50, 2))
    u = -size * w
    _, log_det, _ = planar_forward(z, u, w, 0.2)
    assert np.isfinite(log_det).all()
    if size < 10:
        step = 1e-5
        moved = [
            planar_forward(z + step * e, u, w, 0.2)[0] - planar_forward(z - step * e, u, w, 0.2)[0] for e in np.eye(2)
        ]
        jacobian = np.stack(moved, axis=-1) / (2 * step)
        np.testing.assert_allclose(np.linalg.slogdet(jacobian)[1], log_det, atol=1e-6)
        assert (np.linalg.det(jacobian) > 0).all()
    along = planar_forward(np.linspace(-40, 40, 2001)[:, None] * w, u, w, 0.2)[0] @ w
    assert (np.diff(along) > 0).all()


FLOW = est.PlanarFlow(
    mean=(0.3, -0.2), sigma=(0.8, 1.3), u=((1.0, -2.0), (0.5, 2.0)), w=((1.5, 0.3), (-0.4, 1.0)), b=(0.2, -0.5)
)


def plane(n=200, reach=9.0):
    """Points and weights of noise ~ N(0, I) in two dimensions, the trapezoidal rule."""
    line = np.linspace(-reach, reach, n)
    noise = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    weight = np.exp(-0.5 * (noise**2).sum(axis=1))
    return noise, weight / weight.sum()


def target(z):
    return -0.5 * (z**2).sum(axis=1) + np.cos(2 * z[:, 0]) - 0.5 * (z[:, 1] - z[:, 0] ** 2) ** 2


def target_slope(z):
    r = z[:, 1] - z[:, 0] ** 2
    return -z + np.stack([-2 * np.sin(2 * z[:, 0]) + 2 * z[:, 0] * r, -r], axis=1)


TARGET = Function(target, target_slope)


def parts(vector):
    """mean, sigma, u, w and b of FLOW's shape from one vector in the order of its names."""
    steps = np.split(vector[4:], 2)
    return *np.split(vector[:4], 2), *(np.array([s[a:b] for s in steps]) for a, b in ((0, 2), (2, 4))), vector[[8, 13]]


def flow_vector(q):
    return np.concatenate(
        [q.mean, q.sigma, *(np.concatenate([*uw, [b]]) for *uw, b in zip(q.u, q.w, q.b, strict=True))]
    )


def test_the_density_of_a_flow_is_that_of_its_draws():
    """Over a square: the mean of 1 / q over the draws within is its area, 0.64, where log q is their density."""
    noise = np.random.default_rng(0).standard_normal((400_000, 2))
    z, log_q, _ = FLOW.forward(noise)
    inside = (np.abs(z - (0.3, 0.0)) < 0.4).all(axis=1)
    area = np.where(inside, np.exp(-log_q), 0)
    assert area.mean() == pytest.approx(0.64, abs=4 * area.std() / math.sqrt(len(area)))
    assert area.std() / math.sqrt(len(area)) < 0.01


@pytest.mark.parametrize("estimator", ["pathwise", "pathwise_elbo"])
def test_moments_of_the_flow_s_gradients_are_those_of_quadrature(estimator):
    noise, weight = plane()
    z, _, cache = FLOW.forward(noise)
    share = 1.0 if estimator == "pathwise_elbo" else 0.0
    rows = FLOW.backward(TARGET.derivative(z), np.full(len(z), -share), cache)
    mean = weight @ rows
    variance = weight @ rows**2 - mean**2

    def value(vector):
        z, log_q, _ = est.PlanarFlow(*parts(vector)).forward(noise)
        return weight @ (target(z) - share * log_q)

    # the mean of the estimates is the derivative of the mean: moved by differences of the quadrature itself
    assert len(FLOW.names) == 14
    assert_gradients(value, flow_vector(FLOW), gradient=mean, method="differences", elsewhere=False)
    draws = getattr(est, estimator)(TARGET, FLOW, np.random.default_rng(0), 100_000)
    means, variances = standardised(draws, mean, variance)
    assert np.abs(means).max() < NORMAL_99
    assert np.abs(variances).max() < NORMAL_99


def test_a_flow_without_steps_is_a_diagonal_gaussian():
    flow, q = est.PlanarFlow((1.0, 2.0), (0.5, 3.0)), est.Gaussian((1.0, 2.0), np.diag([0.25, 9.0]))
    noise = np.random.default_rng(0).standard_normal((6, 2))
    for one, other in zip(flow.forward(noise)[:2], q.forward(noise)[:2], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-14)


def test_the_score_of_a_nearly_singular_covariance():
    """By the noise that was drawn, a = L^-T noise, at a condition of 1e13."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    covariance = turn * np.geomspace(1, 1e-13, 3) @ turn.T
    q, noise = est.Gaussian((0.0, 0.0, 0.0), covariance), rng.standard_normal((50, 3))
    expected = np.linalg.solve(q.factor.T, noise.T).T
    np.testing.assert_allclose(q.score(q.forward(noise)[0])[:, :3], expected, atol=1e-7 * np.abs(expected).max())


def test_a_strongly_bent_step_keeps_the_digits_of_its_shift():
    """w'u = 1e10: softplus(s) - 1 - s is -1, and w's entry that nothing else reaches has -tanh(a) / |w|^2."""
    u = w = np.array([1e5, 0.0])
    *_, cache = planar_forward(np.array([[1e-5, 0.0]]), u, w, 0.0)
    dw = planar_backward(np.array([[0.0, 1.0]]), np.zeros(1), cache)[2]
    np.testing.assert_allclose(dw[0, 1], -np.tanh(1.0) / 1e10, rtol=1e-12)


NAN = float("nan")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: est.Gaussian((0.0, 0.0), ((1.0, 2.0), (2.0, 1.0))), "covariance: .*positive definite.*-1$"),
        (lambda: est.Gaussian((0.0, 0.0), ((1.0, 0.3), (0.2, 1.0))), r"symmetric matrix: \[0, 1\] is 0.3 and \[1, 0\]"),
        (lambda: est.Gaussian((0.0, 0.0), np.eye(3)), r"covariance: .*\(3, 3\), expected a shape of \(2, 2\)"),
        (lambda: est.Gaussian((0.0, 0.0), ((1.0, NAN), (NAN, 1.0))), "covariance: got .*nan.*finite"),
        (lambda: est.Gaussian((0.0, NAN), np.eye(2)), "mean: got .*finite"),
        (lambda: est.Gaussian(0.0, np.eye(1)), "mean: got 0.0, expected a vector"),
        (lambda: est.PlanarFlow((0.0, 0.0), (1.0, 0.0)), "sigma: .* above 0"),
        (lambda: est.PlanarFlow((0.0, 0.0), (1.0, 1.0), [[1, 1]], [[0, 0]], [1]), "w: .*no row of zeros"),
        (lambda: est.PlanarFlow((0.0,), (1.0,), [[-1000.0]], [[1.0]], [0.0]), "u: .*w'u above -700"),
        (lambda: est.Gaussian((0, 0), ((1e10, 1e-3), (0.0, 1e-10))), "symmetric"),
        (lambda: est.PlanarFlow((0.0, 0.0), (1.0, 1.0), [[1, 1]], [[1, 0]], [1, 2]), r"u: .*a shape of \(2, 2\)"),
        (lambda: est.PlanarFlow((0.0, 0.0), (1.0, 1.0), [[1, 1]]), r"u: .*a shape of \(0, 2\)"),
        (lambda: est.PlanarFlow((0.0, 0.0), (1.0, 1.0), [[1e300, 1]], [[1, 1]], [1]), "u: .*below 1e100"),
        (lambda: est.implicit(FORM, est.Dirichlet((1e9, 1.0)), np.random.default_rng(0), 3), "shape: got 1000000000.0"),
        (lambda: est.leave_one_out(FORM, FLOW, np.random.default_rng(0), 3), "q: got PlanarFlow.*with a score"),
        (lambda: est.optimal_baseline(FORM, FLOW, np.random.default_rng(0), 3), "q: got PlanarFlow.*with a score"),
        (lambda: est.Dirichlet((1.0,)), "concentration: .*at least two"),
        (lambda: est.Dirichlet((1.0, 0.0)), "concentration 1: got 0.0, expected a finite number of at least 1e-100"),
        (lambda: est.Dirichlet((1e-200, 1.0)), "concentration 0: got 1e-200"),
        (lambda: est.Beta(1e-300, 1.0), "a: got 1e-300"),
        (lambda: est.score_function(FORM, FLOW, np.random.default_rng(0), 3), "q: got PlanarFlow.*with a score"),
        (
            lambda: est.pathwise_elbo(FORM, est.Normal(0.0, 1.0), np.random.default_rng(0), 3),
            "a Gaussian or a PlanarFlow",
        ),
        (lambda: est.measure_valued(FORM, Q, np.random.default_rng(0), 3), "q: got Gaussian.*a Normal"),
    ],
)
def test_bad_posteriors_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
