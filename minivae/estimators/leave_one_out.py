"""Estimators of which a row takes K draws: each draw's baseline comes from the K - 1 others.

Drawing K times anyway, one gets a baseline for nothing. It does not depend on the draw that it is taken from, so the
mean of the gradient stays what it is.
"""

import numpy as np

from ..errors import expect, expect_choice, expect_integer
from .checked import estimator, expect_score
from .distributions import Bernoulli, Categorical

BASELINES = ("geometric", "arithmetic", None)


@estimator
def leave_one_out(f, q, rng, samples, draws=2):
    """REINFORCE with leave-one-out baselines; `draws` = K evaluations of f a row, K >= 2. For every q that has a score.

        1/K sum_k (f_k - 1/(K - 1) sum_{j != k} f_j) s_k  =  1/(K - 1) sum_k (f_k - mean f) s_k

    with f_k = f(z_k) and the score s_k of draw k.

    Derivation: `score_function`, averaged over the draws, with a baseline that is independent of the draw it is taken
    off. Both forms are the same as f_k - mean f = (1 - 1/K) (f_k - the mean of the others). The second is the unbiased
    covariance of a sample, and the gradient is Cov(f, s). So its variance is known, for central moments m of (f, s):

        K Var = m_22 - (K - 2)/(K - 1) m_11^2 + m_20 m_02 / (K - 1)

    which falls to that of the score function with baseline E f, m_22 - m_11^2, as K grows.

    Source: Salimans and Knowles, "On using control variates with stochastic approximation for variational Bayes and its
    connection to stochastic linear regression" (arXiv:1401.1022); Kool, van Hoof and Welling, "Buy 4 REINFORCE samples,
    get a baseline for free!" (2019).
    """
    expect_score(q)
    draws = expect_integer("draws", draws, 2)
    values, score = _groups(f, q, q.sample(rng, samples * draws), draws)
    return np.einsum("sk,skp->sp", values - values.mean(axis=1, keepdims=True), score) / (draws - 1)


@estimator
def vimco(f, q, rng, samples, draws=2, baseline="geometric"):
    """The gradient of L_K = E[log 1/K sum_k w_k] with w_k = exp(f(z_k)) / q(z_k), for a Categorical or Bernoulli q;
    `draws` = K evaluations of f a row.

    f(z) is log p(x, z) in nats, so L_K <= log p(x), and the gradient counts q in w as well as q that is drawn from.
    With L the log of the mean of one row's w, u_k = w_k / sum_j w_j and the score s_k:

        sum_k (L - L_{-k} - u_k) s_k

    Derivation: differentiate the density of the K draws (sum_k L s_k) and the logarithm (sum_k u_k dlog w_k, where
    dlog w_k = -s_k). L is the same for all draws, whichever of them is to thank for it. L_{-k} is L with the mean of
    the other log w in place of log w_k (`baseline="geometric"`: the geometric mean of the w), or with the mean of the
    other w ("arithmetic"): independent of z_k, so E[L_{-k} s_k] = 0. None leaves it out: the plain score gradient of
    L_K, which exists for K = 1 too.

    Source: Mnih and Rezende, "Variational inference for Monte Carlo objectives" (arXiv:1602.06725), section 2.
    """
    expect(isinstance(q, Categorical | Bernoulli), "q", q, "a Categorical or a Bernoulli")
    draws = vimco_draws(draws, baseline)
    z = q.sample(rng, samples * draws)
    log_joint, score = _groups(f, q, z, draws)
    return vimco_rows(log_joint - q.log_probability(z).reshape(-1, draws), score, baseline)


def vimco_draws(draws, baseline):
    expect_choice("baseline", baseline, BASELINES)
    return expect_integer("draws", draws, 1 if baseline is None else 2)


def vimco_rows(log_weight, score, baseline):
    """The rows of `vimco` from log w (rows, K), nats, and scores (rows, K, parameters)."""
    top = log_weight.max(axis=1, keepdims=True)
    log_weight = log_weight - top
    bound = log_mean_exp(log_weight)[:, None]
    share = np.exp(log_weight - bound) / log_weight.shape[1]
    signal = bound + top if baseline is None else bound - _bounds_without(log_weight, baseline)
    return np.einsum("sk,skp->sp", signal - share, score)


def log_mean_exp(values):
    """log of the mean of exp(values) over the last axis, without overflow."""
    top = values.max(axis=-1)
    return top + np.log(np.exp(values - top[..., None]).mean(axis=-1))


def _bounds_without(log_weight, baseline):
    """L_{-k} of each draw, (rows, K). A sum less one of its terms would cancel, so each sum is made anew."""
    result = np.empty_like(log_weight)
    for k in range(log_weight.shape[1]):
        others = np.delete(log_weight, k, axis=1)
        if baseline == "geometric":
            others = np.column_stack([others, others.mean(axis=1)])
        result[:, k] = log_mean_exp(others)
    return result


def _groups(f, q, z, draws):
    """f (rows, K) and scores (rows, K, parameters) of draws in rows of K."""
    score = q.score(z)
    return f(z).reshape(-1, draws), score.reshape(-1, draws, score.shape[1])
