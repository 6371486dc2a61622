"""Score function, pathwise and measure-valued estimators."""

import numpy as np

from ..errors import expect
from .checked import constant, estimator, expect_score
from .distributions import Normal
from .gaussian import Gaussian
from .planar import PlanarFlow


@estimator
def score_function(f, q, rng, samples, baseline=0.0):
    """(f(z) - baseline) * d log q(z) / d parameter. Uses no derivative of f.

    Derivation: d/dt int q f = int (dq/dt) f, and dq/dt = q dlog q/dt. The score has mean zero, as int dq/dt = d1/dt =
    0, so any constant may be taken off f: the mean stays, the variance does not. `baseline` is a number or one for each
    parameter, (parameters,); it must not depend on the draws used here.

    Source: Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement learning"
    (1992).
    """
    expect_score(q)
    baseline = constant("baseline", baseline, q)
    z = q.sample(rng, samples)
    return (f(z)[:, None] - baseline) * q.score(z)


@estimator
def optimal_baseline(f, q, rng, samples):
    """The constants that make `score_function` vary least, E[f s^2] / E[s^2] for score s, from draws; (parameters,).

    Derivation: Var[(f - b) s] = E[(f - b)^2 s^2] - (E[f s])^2, a parabola in b whose derivative vanishes there.
    Source: Greensmith, Bartlett and Baxter, "Variance reduction techniques for gradient estimates in reinforcement
    learning" (2004), theorem 8.

    Where the score is 0 at every draw, as that of a logit whose category has probability 0 or 1, the estimate is 0 with
    any baseline: 0 stands for it.
    """
    expect_score(q)
    z = q.sample(rng, samples)
    score = q.score(z)
    # the ratio does not change with the score's unit: with the largest as 1, squares of tiny ones do not vanish
    largest = np.abs(score).max(axis=0)
    square = (score / np.where(largest > 0, largest, 1)) ** 2
    return (f(z)[:, None] * square).sum(axis=0) / np.where(largest > 0, square.sum(axis=0), 1)


@estimator
def pathwise(f, q, rng, samples):
    """f'(z) and f'(z) * noise, for z = mu + sigma * noise: the reparameterization trick (`reparam.py`).

    For a Gaussian and a PlanarFlow f'(z) goes back through their own way from noise to z, `backward`.

    Derivation: E_q[f(z)] = E[f(mu + sigma noise)] with noise ~ N(0, 1) whatever mu and sigma are, and the derivative
    goes inside for an f that has one almost everywhere and no jumps.
    Source: Kingma and Welling (arXiv:1312.6114), section 2.4; Rezende, Mohamed and Wierstra (arXiv:1401.4082).
    """
    if isinstance(q, Gaussian | PlanarFlow):
        z, _, cache = q.forward(rng.standard_normal((samples, q.size)))
        return q.backward(f.derivative(z), np.zeros(samples), cache)
    expect(isinstance(q, Normal), "q", q, "a Normal, a Gaussian or a PlanarFlow")
    noise = rng.standard_normal(samples)
    slope = f.derivative(q.mu + q.sigma * noise)
    return np.stack([slope, slope * noise], axis=1)


@estimator
def pathwise_elbo(f, q, rng, samples):
    """The pathwise gradient of E_q[f(z) - log q(z)]: of the ELBO in nats, where f is log p(x, z).

    log q(z) changes with the parameters of q through z and on its own. Along the path from the noise both are one
    derivative: log q(z) is the noise's own density less the log-determinant of the way to z.
    Source: Rezende and Mohamed (arXiv:1505.05770), equation 15.
    """
    expect(isinstance(q, Gaussian | PlanarFlow), "q", q, "a Gaussian or a PlanarFlow")
    z, _, cache = q.forward(rng.standard_normal((samples, q.size)))
    return q.backward(f.derivative(z), np.full(samples, -1.0), cache)


@estimator
def measure_valued(f, q, rng, samples):
    """Differences of f at two coupled draws. Uses no derivative of f, which may have jumps; two evaluations a
    parameter.

    Derivation: dq/dparameter is a constant times the difference of two densities. For N(mu, sigma^2):

        dq/dmu     = (q+ - q-) / (sigma sqrt(2 pi)),    q+-: mu +- sigma w,  w ~ Rayleigh, density w exp(-w^2/2), w > 0
        dq/dsigma  = (qm - q) / sigma,                  qm: mu + sigma m,  m ~ density m^2 exp(-m^2/2) / sqrt(2 pi)

    Coupling: one w serves both sides, and m u with u uniform on (0, 1) is a standard normal, so mu + sigma m u is the
    draw from q that goes with mu + sigma m. Uncoupled draws would be as unbiased and vary more.
    Source: Pflug, "Sampling derivatives of probabilities" (1989); Mohamed et al. (arXiv:1906.10652), section 6, table
    1.
    """
    expect(isinstance(q, Normal), "q", q, "a Normal")
    w = np.sqrt(2 * rng.standard_exponential(samples))
    # |m| is Maxwell distributed: m^2 / 2 ~ Gamma(3/2)
    m = np.sqrt(2 * rng.standard_gamma(1.5, samples)) * rng.choice((-1.0, 1.0), samples)
    u = rng.random(samples)
    dmu = (f(q.mu + q.sigma * w) - f(q.mu - q.sigma * w)) / (q.sigma * np.sqrt(2 * np.pi))
    dsigma = (f(q.mu + q.sigma * m) - f(q.mu + q.sigma * m * u)) / q.sigma
    return np.stack([dmu, dsigma], axis=1)
