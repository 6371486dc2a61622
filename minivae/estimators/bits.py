"""Unbiased estimators for a Bernoulli q that make use of how bits are drawn."""

import numpy as np

from ..errors import expect
from .checked import constant, estimator, expect_temperature
from .distributions import Bernoulli, sigmoid


@estimator
def disarm(f, q, rng, samples):
    """A pair of bits from u and from 1 - u; no derivative of f, two evaluations a row.

        1/2 (f(b) - f(b')) (b_i - b'_i) sigmoid(|logit_i|),    b_i = [u_i < p_i],  b'_i = [1 - u_i < p_i]

    Derivation: `leave_one_out` with two draws is 1/2 (f(b) - f(b')) (b_i - b'_i), as the score is b_i - p_i. Only pairs
    whose bits differ count, (1, 0) and (0, 1) with probability p_i (1 - p_i) each if drawn independently. From u and
    1 - u they come with min(p_i, 1 - p_i) each, so each counts for less by the quotient, max(p_i, 1 - p_i) =
    sigmoid(|logit_i|). The other bits may be paired as one likes, each of both has their law. So the pair differs as
    often as possible, and is weighted for it.

    Source: Dong, Mnih and Tucker, "DisARM" (arXiv:2006.10680), section 3; the same estimator is U2G of Yin, Ho, Yan,
    Qian and Zhou (arXiv:2006.07581).
    """
    expect(isinstance(q, Bernoulli), "q", q, "a Bernoulli")
    logits = np.array(q.logits)
    u = rng.random((samples, len(logits)))
    return pair_rows(f, q, (u < sigmoid(logits)).astype(float), (u > sigmoid(-logits)).astype(float))


def pair_rows(f, q, z, other):
    """The rows of `disarm` from its pairs of draws."""
    return 0.5 * (f(z) - f(other))[:, None] * (z - other) * sigmoid(np.abs(q.logits))


@estimator
def rebar(f, q, rng, samples, temperature=0.5, eta=1.0):
    """The score function, with the relaxed problem taken off and its gradient put back: two evaluations of f and one of
    its derivative a row. f must be defined between the bits' two values.

    Derivation: a bit is b = [z > 0] of logistic z = logit + noise, and y = sigmoid(z / temperature) is nearly it. By
    the path, d E f(y) = E[f'(y) y (1 - y) / temperature], as dz/dlogit = 1. The same by the score: draw b first and z
    from what is left, z = h(v, b, logit) with v uniform. Then d E f(y) = E[f(y) s + f'(y) y (1 - y) / temperature *
    dh/dlogit]. Their difference has mean zero and, times eta, is added to f(b) s:

        (f(b) - eta f(y)) s  +  eta f'(y) y (1 - y) / temperature * (1 - dh/dlogit)

    With the sign e = 2 b - 1 (see `conditional_size`),

        h = e (softplus(log v + e logit) - log(1 - v)),    dh/dlogit = sigmoid(e logit) (1 - exp(-|h|))

    Both expectations of y are taken at the same z, which is allowed, as means ask for no independence, and saves an
    evaluation: the common random numbers of the paper. eta is any finite number, or one for each parameter, and must
    not depend on the draws used here; `optimal_eta` finds the best.

    Source: Tucker, Mnih, Maddison, Lawson and Sohl-Dickstein, "REBAR" (arXiv:1703.07370), section 3, and its appendix
    on the conditional reparameterization.
    """
    plain, control = _sampled_parts(f, q, rng, samples, temperature)
    return plain + constant("eta", eta, q) * control


@estimator
def optimal_eta(f, q, rng, samples, temperature=0.5):
    """The eta of each parameter for which `rebar` varies least, -Cov(f(b) s, c) / Var(c) for what eta multiplies, c;
    from draws, (parameters,). 0 where c is 0 in every draw.
    """
    plain, control = _sampled_parts(f, q, rng, samples, temperature)
    square = (control**2).mean(axis=0)
    return -((plain - plain.mean(axis=0)) * control).mean(axis=0) / np.where(square > 0, square, 1)


def conditional_size(q, z, v):
    """|h(v, b, logit)|, the size of the logistic variable of which it is known that its bit is b; v in (0, 1).

    z = logit + log(u / (1 - u)) is positive for u > 1 - p. So for b = 1 u = 1 - p + v p, and z = log((1 + v exp(logit))
    / (1 - v)). b = 0 is the same with the sign of z and logit changed.
    """
    return np.logaddexp(0, np.log(v) + (2 * z - 1) * np.array(q.logits)) - np.log1p(-v)


def relaxed_parts(f, q, z, size, temperature):
    """What `rebar` adds up, f(b) s and what eta multiplies, from bits z and sizes of the logistic variables."""
    sign = 2 * z - 1
    score = q.score(z)
    y = sigmoid(sign * size / temperature)
    slope = f.derivative(y) * y * (1 - y) / temperature
    conditional = sigmoid(sign * np.array(q.logits)) * -np.expm1(-size)  # dh/dlogit
    return f(z)[:, None] * score, slope * (1 - conditional) - f(y)[:, None] * score


def _sampled_parts(f, q, rng, samples, temperature):
    expect(isinstance(q, Bernoulli), "q", q, "a Bernoulli")
    expect_temperature(temperature)
    z = q.sample(rng, samples)
    v = np.maximum(rng.random(z.shape), np.finfo(float).tiny)  # 0 has no logarithm
    return relaxed_parts(f, q, z, conditional_size(q, z, v), temperature)
