"""The Gaussian with full covariance, and the way back through the Cholesky decomposition."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import as_array, expect

SYMMETRIC = 1e-8  # how far apart two entries may be that should be equal, as correlations


def cholesky_forward(covariance):
    """The lower triangular L with covariance = L L', (d, d); of the covariance only the lower triangle is read."""
    return np.linalg.cholesky(covariance)


def cholesky_backward(dfactor, factor):
    """dcovariance (..., d, d), lower triangular, from dfactor (..., d, d) and L: the gradient with respect to the lower
    triangle of the covariance, where an entry below the diagonal stands for its mirror image too. Zeros above.

    Derivation: dS = dL L' + L dL' makes L^-1 dS L^-T = L^-1 dL + (L^-1 dL)', a lower triangle and its mirror image. So
    dL = L Phi(L^-1 dS L^-T), where Phi keeps the lower triangle and halves the diagonal, which both share. Each step is
    linear; transposed and taken in the other order they are

        P = Phi(L' dL),    dS = Phi(L^-T (P + P') L^-1)

    Source: Murray, "Differentiation of the Cholesky decomposition" (arXiv:1602.07527), equations 8 and 10.
    """
    p = _phi(factor.T @ dfactor)
    inverse = np.linalg.inv(factor)
    return _phi(inverse.T @ (p + np.swapaxes(p, -1, -2)) @ inverse)


def cholesky_tangent(dcovariance, factor):
    """dL = L Phi(L^-1 dS L^-T), how L moves when the covariance moves by the symmetric dS; (..., d, d) each."""
    inverse = np.linalg.inv(factor)
    return factor @ _phi(inverse @ dcovariance @ inverse.T)


def _phi(matrix):
    d = matrix.shape[-1]
    return matrix * (np.tril(np.ones((d, d))) - 0.5 * np.eye(d))


@dataclass(frozen=True, eq=False)
class Gaussian:
    """N(mean, covariance) in d dimensions, z = mean + L noise with the Cholesky factor L; draws are (samples, d).

    Its parameters are the mean and the lower triangle of the covariance by rows; "covariance_1_0" is the entry and its
    mirror image.

    mean : (d,); covariance : (d, d), symmetric and positive definite. Both are copied.
    """

    mean: Any
    covariance: Any
    factor: np.ndarray = field(init=False, repr=False)
    names: tuple = field(init=False, repr=False)

    def __post_init__(self):
        mean, covariance = vector("mean", self.mean), finite("covariance", self.covariance)
        d = len(mean)
        expect(covariance.shape == (d, d), "covariance", covariance, f"a shape of {(d, d)}, for a mean of {d} numbers")
        scale = np.sqrt(np.abs(np.diag(covariance)))
        worst = np.abs(covariance - covariance.T) - SYMMETRIC * np.outer(scale, scale)
        i, j = np.unravel_index(worst.argmax(), worst.shape)
        text = f"a symmetric matrix: [{i}, {j}] is {covariance[i, j]:.10g} and [{j}, {i}] is {covariance[j, i]:.10g}"
        expect(worst[i, j] <= 0, "covariance", covariance, text)
        covariance = np.tril(covariance) + np.tril(covariance, -1).T
        try:
            factor = cholesky_forward(covariance)
        except np.linalg.LinAlgError:
            text = f"a positive definite matrix: its least eigenvalue is {np.linalg.eigvalsh(covariance)[0]:.3g}"
            raise ValueError(f"covariance: got float64 of shape {covariance.shape}, expected {text}") from None
        names = [f"mean_{i}" for i in range(d)] + [f"covariance_{i}_{j}" for i in range(d) for j in range(i + 1)]
        values = {"mean": mean, "covariance": covariance, "factor": factor, "names": tuple(names)}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def size(self):
        return len(self.mean)

    def forward(self, noise):
        """z = mean + L noise and log q(z), nats, from noise (samples, d); and what `backward` needs."""
        z = self.mean + noise @ self.factor.T
        log_q = -0.5 * (noise**2).sum(axis=1) - np.log(np.diag(self.factor)).sum() - 0.5 * self.size * np.log(2 * np.pi)
        return z, log_q, noise

    def backward(self, dz, dlog_q, noise):
        """A row for each draw of the gradient with respect to `names`, (samples, parameters), at fixed noise.

        dmean = dz and dL = dz noise', of which the lower triangle counts; log q has -log L_ii on the diagonal. From L
        to the covariance: `cholesky_backward`.
        """
        dfactor = np.tril(dz[:, :, None] * noise[:, None, :])
        dfactor -= dlog_q[:, None, None] * np.diag(1 / np.diag(self.factor))
        rows, columns = np.tril_indices(self.size)
        return np.hstack([dz, cholesky_backward(dfactor, self.factor)[:, rows, columns]])

    def sample(self, rng, samples):
        """(samples, d)."""
        return self.forward(rng.standard_normal((samples, self.size)))[0]

    def score(self, z):
        """a = S^-1 (z - mean), and (a a' - S^-1) / 2 with both mirror images added, (samples, parameters)."""
        inverse = np.linalg.inv(self.factor)  # not of the covariance, whose condition is the factor's squared
        precision = inverse.T @ inverse
        a = (z - self.mean) @ inverse.T @ inverse
        full = a[:, :, None] * a[:, None, :] - precision
        rows, columns = np.tril_indices(self.size)
        return np.hstack([a, full[:, rows, columns] * np.where(rows == columns, 0.5, 1.0)])


def finite(name, value):
    """A float64 copy; ValueError unless all of it is finite real numbers."""
    array = as_array(name, value)
    expect(array.dtype.kind in "iuf" and np.isfinite(array).all(), name, value, "finite real numbers")
    return array.astype(float)


def vector(name, value):
    """A float64 copy of at least one finite number, (d,)."""
    array = finite(name, value)
    expect(array.ndim == 1 and len(array), name, value, "a vector of at least one number")
    return array
