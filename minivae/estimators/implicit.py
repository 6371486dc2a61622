"""Pathwise gradients where the draw is no simple function of noise: implicit reparameterization."""

import numpy as np

from ..errors import expect
from .distributions import Beta, Gamma
from .special import gamma_draw_slope


def implicit(f, q, rng, samples):
    """f'(z) * dz/dparameter, where dz/dparameter comes from the distribution function F instead of from a sampler.

    Derivation: u = F(z; t) is uniform whatever t is. Holding it fixed, 0 = p(z; t) dz + dF/dt dt, so
    dz/dt = -(dF/dt) / p(z; t): the inverse of F is never needed, and z may be drawn in any way, by rejection too.

    Gamma(shape, rate), z = g / rate: dz/dshape = (dg/dshape) / rate with `gamma_draw_slope`, dz/drate = -z / rate.
    Beta(a, b), z = x / (x + y) of gamma draws: dz/da = (dx/da) y / (x + y)^2, dz/db = -(dy/db) x / (x + y)^2.

    Source: Figurnov, Mohamed and Mnih, "Implicit reparameterization gradients" (arXiv:1805.08498), sections 3 and 4.
    """
    expect(isinstance(q, Gamma | Beta), "q", q, "a Gamma or a Beta")
    if isinstance(q, Gamma):
        z = q.sample(rng, samples)
        slopes = gamma_draw_slope(q.shape, q.rate * z) / q.rate, -z / q.rate
    else:
        x, y = q.sample_pair(rng, samples)
        total = x + y
        z = x / total
        slopes = gamma_draw_slope(q.a, x) * (y / total / total), -gamma_draw_slope(q.b, y) * (x / total / total)
    return f.derivative(z)[:, None] * np.stack(slopes, axis=1)
