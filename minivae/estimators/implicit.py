"""Pathwise gradients where the draw is no simple function of noise: implicit reparameterization."""

import numpy as np

from ..errors import expect
from .checked import estimator
from .distributions import TINY, Beta, Dirichlet, Gamma, log_gamma, shares
from .special import gamma_draw_slope, gamma_log_slope


@estimator
def implicit(f, q, rng, samples):
    """f'(z) * dz/dparameter, where dz/dparameter comes from the distribution function F instead of from a sampler.

    Derivation: u = F(z; t) is uniform whatever t is. Holding it fixed, 0 = p(z; t) dz + dF/dt dt, so
    dz/dt = -(dF/dt) / p(z; t): the inverse of F is never needed, and z may be drawn in any way, by rejection too.

    Gamma(shape, rate), z = g / rate: dz/dshape = (dg/dshape) / rate with `gamma_draw_slope`, dz/drate = -z / rate.
    Dirichlet(a), z = x / sum(x) of gamma draws: dz_j/da_i = z_j ([i = j] - z_i) dlog x_i/da_i with `gamma_log_slope`,
    so the gradient with respect to a_i is dlog x_i/da_i z_i (f'_i - sum_j f'_j z_j), a softmax's way back.
    Beta(a, b): z and 1 - z are a Dirichlet's two, and f' of the second is 0.

    Source: Figurnov, Mohamed and Mnih, "Implicit reparameterization gradients" (arXiv:1805.08498), sections 3 and 4.
    """
    expect(isinstance(q, Gamma | Beta | Dirichlet), "q", q, "a Gamma, a Beta or a Dirichlet")
    if isinstance(q, Gamma):
        z = q.sample(rng, samples)
        pair = gamma_draw_slope(q.shape, q.rate * z) / q.rate, -z / q.rate
        return f.derivative(z)[:, None] * np.stack(pair, axis=1)
    shapes = q.concentration if isinstance(q, Dirichlet) else (q.a, q.b)
    log_x = log_gamma(rng, shapes, samples)
    slopes = np.stack([gamma_log_slope(a, column) for a, column in zip(shapes, log_x.T, strict=True)], axis=1)
    z = shares(log_x)
    if isinstance(q, Beta):
        return (f.derivative(np.maximum(z[:, 0], TINY)) * z[:, 0] * z[:, 1])[:, None] * slopes * (1, -1)
    slope = f.derivative(np.maximum(z, TINY))
    return slopes * z * (slope - (slope * z).sum(axis=1, keepdims=True))
