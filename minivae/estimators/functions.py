"""Functions f whose expectation under a normal distribution is known, and exact means and variances of the estimators.

The three of Mohamed et al. (arXiv:1906.10652), figures 2 and 3. Closed forms where there are some, quadrature for the
rest.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np

from ..errors import expect
from .distributions import Normal
from .gaussian import cholesky_tangent

NODES, REACH, FEWEST, MOST = 32, 37.0, 32, 4096  # nodes in a part, standard deviations, parts of them


@dataclass(frozen=True)
class Quadratic:
    """f(z) = (z - k)^2; E f = (mu - k)^2 + sigma^2."""

    k: float

    def __call__(self, z):
        return (z - self.k) ** 2

    def derivative(self, z):
        return 2 * (z - self.k)

    def gradient(self, q):
        """d E f / d(mu, sigma) = 2 (mu - k), 2 sigma."""
        return np.array([2 * (q.mu - self.k), 2 * q.sigma])

    def baseline(self, q):
        """E[f s^2] / E[s^2] for the scores of mu and sigma: d^2 + 3 sigma^2 and d^2 + 5 sigma^2, d = mu - k."""
        d = q.mu - self.k
        return np.array([d**2 + 3 * q.sigma**2, d**2 + 5 * q.sigma**2])

    def variances(self, q):
        """Variance of one draw for (mu, sigma), with d = mu - k, v = sigma^2 and z = mu + sigma e, all from the moments
        1, 3, 15, 105 of e^2, e^4, e^6, e^8:

        score function    (d + sigma e)^2 e / sigma            d^4 / v + 14 d^2 + 15 v
                          (d + sigma e)^2 (e^2 - 1) / sigma    2 d^4 / v + 60 d^2 + 74 v
        best baseline     less E[f s^2]^2 / E[s^2]             8 d^2 + 6 v and 40 d^2 + 24 v
        pathwise          2 (d + sigma e), times e             4 v and 4 d^2 + 8 v
        measure-valued    4 d w / sqrt(2 pi), w Rayleigh       16 d^2 (2 - pi / 2) / (2 pi) = 1.0930 d^2
                          2 d m (1 - u) + sigma m^2 (1 - u^2)  4 d^2 + 4 v, from E m^2 = 3 and E m^4 = 15
        """
        d2, v = (q.mu - self.k) ** 2, q.sigma**2
        return {
            "score_function": np.array([d2**2 / v + 14 * d2 + 15 * v, 2 * d2**2 / v + 60 * d2 + 74 * v]),
            "baseline": np.array([8 * d2 + 6 * v, 40 * d2 + 24 * v]),
            "pathwise": np.array([4 * v, 4 * d2 + 8 * v]),
            "measure_valued": np.array([16 * d2 * (2 - math.pi / 2) / (2 * math.pi), 4 * d2 + 4 * v]),
        }


@dataclass(frozen=True)
class Exponential:
    """f(z) = exp(-k z^2), k > 0; E f = exp(-k mu^2 / c) / sqrt(c) with c = 1 + 2 k sigma^2."""

    k: float

    def __call__(self, z):
        return np.exp(-self.k * z**2)

    def derivative(self, z):
        return -2 * self.k * z * np.exp(-self.k * z**2)

    def gradient(self, q):
        c = 1 + 2 * self.k * q.sigma**2
        mean = math.exp(-self.k * q.mu**2 / c) / math.sqrt(c)
        dmu = -2 * self.k * q.mu / c * mean
        dc = mean * (self.k * q.mu**2 / c**2 - 0.5 / c)
        return np.array([dmu, dc * 4 * self.k * q.sigma])


@dataclass(frozen=True)
class Cosine:
    """f(z) = cos(k z); E f = cos(k mu) exp(-k^2 sigma^2 / 2)."""

    k: float

    def __call__(self, z):
        return np.cos(self.k * z)

    def derivative(self, z):
        return -self.k * np.sin(self.k * z)

    def gradient(self, q):
        damping = math.exp(-0.5 * (self.k * q.sigma) ** 2)
        return np.array([-self.k * math.sin(self.k * q.mu), -(self.k**2) * q.sigma * math.cos(self.k * q.mu)]) * damping


@dataclass(frozen=True, eq=False)
class QuadraticForm:
    """f(z) = (z - centre)' A (z - centre) for z (samples, d), A symmetric (d, d)."""

    centre: np.ndarray
    matrix: np.ndarray

    def __call__(self, z):
        return np.einsum("si,ij,sj->s", z - self.centre, self.matrix, z - self.centre)

    def derivative(self, z):
        return 2 * (z - self.centre) @ self.matrix

    def gradient(self, q):
        """Of E f = d' A d + tr(A S) under a Gaussian q, d = mean - centre: 2 A d, then A_ii and 2 A_ij."""
        rows, columns = np.tril_indices(q.size)
        lower = self.matrix[rows, columns] * np.where(rows == columns, 1, 2)
        return np.concatenate([2 * self.matrix @ (q.mean - self.centre), lower])

    def pathwise_variance(self, q):
        """Variance of one pathwise draw for each of q's names, z = mean + L e.

        f'(z) = 2 A (d + L e), so that of the means is 4 (A S A)_ii. When S_p moves L moves by C, and the estimate for
        it is f'(z)' C e = h' e + e' B e with h = 2 C' A d and B = 2 L' A C. With B made symmetric the variance is
        h' h + 2 tr(B B), from the moments 1 and 3 of e^2 and e^4.
        """
        result = list(4 * np.diag(self.matrix @ q.covariance @ self.matrix))
        for i, j in zip(*np.tril_indices(q.size), strict=True):
            moved = np.zeros((q.size, q.size))
            moved[i, j] = moved[j, i] = 1
            c = cholesky_tangent(moved, q.factor)
            h = 2 * c.T @ self.matrix @ (q.mean - self.centre)
            b = q.factor.T @ self.matrix @ c
            b = b + b.T
            result.append(h @ h + 2 * (b**2).sum())
        return np.array(result)


def quadrature(f, q):
    """{estimator: (mean (2,), variance (2,))} of one draw for any smooth f under a Normal q, with no sampling and no
    closed form of f.

    Gauss-Legendre rules of 32 nodes on equal parts of 37 standard deviations to each side, on twice as many parts until
    no result moves by more than 1e-10 of its second moment. Raises ValueError, naming f, where that does not come about
    within 4096 parts (f jumps, has kinks, or varies a hundred times within a standard deviation), and where a second
    moment has no end (f grows too fast). A peak that no node meets, far narrower than 1/100 of sigma, is not seen.
    """
    expect(isinstance(q, Normal), "q", q, "a Normal")
    before, panels = None, FEWEST
    while panels <= MOST:
        found = _second_moments(f, q, panels)
        if before is not None and _stand_still(before, found):
            return {name: (mean, second - mean**2) for name, (mean, second) in found.items()}
        before, panels = found, 2 * panels
    expect(False, "f", f, "a smooth function whose estimators have finite variances: quadrature does not converge")


@functools.cache
def _rule(panels):
    """Nodes e (n,) in (0, REACH), roots of their weights under N(0, 1), and the function that integrates values (2, n)
    at the nodes from 0 to each node.
    """
    x, weights = np.polynomial.legendre.leggauss(NODES)
    width = REACH / panels
    e = (width * (np.arange(panels)[:, None] + 0.5 * (x + 1))).reshape(-1)
    root = np.sqrt(np.tile(0.5 * width * weights, panels) / math.sqrt(2 * math.pi)) * np.exp(-0.25 * e**2)
    # within a part: the polynomial through the nodes by its Legendre coefficients; (2k+1) int P_k = P_k+1 - P_k-1
    p = np.polynomial.legendre.legvander(x, NODES)
    integrals = np.column_stack([x + 1, p[:, 2:] - p[:, :-2]])
    matrix = 0.5 * width * (p[:, :-1] * 0.5 * weights[:, None]) @ integrals.T

    def integrate(values):
        parts = values.reshape(2, panels, NODES)
        whole = 0.5 * width * (parts @ weights)
        return (parts @ matrix + (np.cumsum(whole, axis=1) - whole)[:, :, None]).reshape(2, -1)

    return e, root, integrate


def _second_moments(f, q, panels):
    """{estimator: (mean (2,), second moment (2,))}. Values are (2, n): above mu and below."""
    e, root, integrate = _rule(panels)
    side = np.array([[1.0], [-1.0]]) * e
    with np.errstate(over="ignore", invalid="ignore"):
        value, slope = (np.asarray(g(q.mu + q.sigma * side)) + 0.0 * side for g in (f, f.derivative))
        score = np.stack([side, side**2 - 1]) / q.sigma
        square = (root * score) ** 2
        best = (value * square).sum(axis=(1, 2)) / square.sum(axis=(1, 2))
        columns = {
            "score_function": value * score,
            "baseline": (value - best[:, None, None]) * score,
            "pathwise": np.stack([slope, slope * side]),
        }
        result = {name: _moments(root, column) for name, column in columns.items()}

        # dmu: differences at mu +- sigma w, and w exp(-w^2/2) is the normal density times sqrt(2 pi) w
        dmu = (value[0] - value[1]) / (q.sigma * math.sqrt(2 * math.pi))
        rayleigh = root * np.sqrt(math.sqrt(2 * math.pi) * e)
        # dsigma: f(m) - f(m u), where m has the density e^2 times the normal one and m u the normal one; the mean of
        # f(m) f(m u) over u is that of f(m) times the mean of f between 0 and m. f(mu), which cancels, is taken off.
        value = value - f(np.array([q.mu]))
        (mean_m,), (square_m,) = _moments(root * e, value[None])
        (mean,), (square,) = _moments(root, value[None])
        product = (root**2 * e * value * integrate(value)).sum()
        (mean_mu,), (square_mu,) = _moments(rayleigh, dmu[None, None])
        dsigma = (mean_m - mean) / q.sigma, (square_m + square - 2 * product) / q.sigma**2
    result["measure_valued"] = np.array([mean_mu, dsigma[0]]), np.array([square_mu, dsigma[1]])
    return result


def _moments(root, values):
    """Mean and second moment, (k,) each, of values (k, sides, n) under weights root^2; infinite where those of the last
    part are no small share.
    """
    scaled = root * values
    squares = scaled**2
    second = squares.sum(axis=(1, 2))
    end = squares[:, :, -NODES:].sum(axis=(1, 2)) > 1e-12 * second
    return (scaled * root).sum(axis=(1, 2)), np.where(end, np.inf, second)


def _stand_still(before, found):
    scale = 1e-13 * np.sqrt(max(second.max() for _, second in found.values()))  # below that, numbers are rounding
    return all(
        np.isfinite(second).all()
        and (np.abs(mean - before[name][0]) <= 1e-10 * np.sqrt(second) + scale).all()
        and (np.abs(second - before[name][1]) <= 1e-10 * second + scale**2).all()
        for name, (mean, second) in found.items()
    )
