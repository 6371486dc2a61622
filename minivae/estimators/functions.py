"""Functions f whose expectation under a normal distribution is known, and exact means and variances of the estimators.

The three of Mohamed et al. (arXiv:1906.10652), figures 2 and 3. Closed forms where there are some, quadrature for the
rest.
"""

import math
from dataclasses import dataclass

import numpy as np

from .gaussian import cholesky_tangent

NODES = 201


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
    """{estimator: (mean (2,), variance (2,))} of one draw for any smooth f under a Normal q, by Gauss-Legendre rules
    over twelve standard deviations: no sampling, no closed form of f.
    """
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    e, de = 12 * nodes, 12 * weights * np.exp(-0.5 * (12 * nodes) ** 2) / math.sqrt(2 * math.pi)
    value, slope, score = f(q.mu + q.sigma * e), f.derivative(q.mu + q.sigma * e), q.score(q.mu + q.sigma * e)
    best = (de @ (value[:, None] * score**2)) / (de @ score**2)
    columns = {
        "score_function": value[:, None] * score,
        "baseline": (value[:, None] - best) * score,
        "pathwise": np.stack([slope, slope * e], axis=1),
    }
    result: dict[str, tuple[np.ndarray, ...]] = {name: _moments(de, column) for name, column in columns.items()}

    w, u = 6 * (nodes + 1), 0.5 * (nodes + 1)
    dw, du = 6 * weights * w * np.exp(-0.5 * w**2), 0.5 * weights
    dmu = (f(q.mu + q.sigma * w) - f(q.mu - q.sigma * w)) / (q.sigma * math.sqrt(2 * math.pi))
    dsigma = (f(q.mu + q.sigma * e)[:, None] - f(q.mu + q.sigma * np.outer(e, u))) / q.sigma
    both = _moments(dw, dmu), _moments(np.outer(de * e**2, du).ravel(), dsigma.ravel())
    result["measure_valued"] = tuple(np.array(pair) for pair in zip(*both, strict=True))
    return result


def _moments(weight, values):
    mean = weight @ values
    return mean, weight @ values**2 - mean**2
