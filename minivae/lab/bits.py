"""Two problems of bits, and the estimators for them with their exact means and variances."""

from functools import partial
from typing import Any

import numpy as np

from .. import estimators as est
from ..estimators import enumeration
from ..estimators.distributions import sigmoid

DRAWS = (2, 4, 8, 16)
TEMPERATURE, NODES = 1.0, 16
NAMES = {
    "score_function": "score function",
    "baseline": "with best baseline",
    **{f"leave_one_out_{k}": f"leave-one-out, K = {k}" for k in DRAWS},
    "disarm": "DisARM",
    "rebar_1": "REBAR, eta = 1",
    "rebar": "REBAR, best eta",
}
RELAXED = {
    "gumbel_softmax": "Gumbel-softmax",
    "straight_through": "straight-through",
    "straight_through_gumbel": "straight-through Gumbel",
}


class FirstBit:
    """f(z) = (z_1 - t)^2 of the first bit, or of the first of two categories. Source: Tucker et al. (arXiv:1703.07370),
    section 5.1.
    """

    def __init__(self, t):
        self.t = t

    def __call__(self, z):
        return (z[:, 0] - self.t) ** 2

    def derivative(self, z):
        slope = np.zeros_like(z)
        slope[:, 0] = 2 * (z[:, 0] - self.t)
        return slope


class BeliefNetwork:
    """f(z) = log p(x, z) in nats of a sigmoid belief network: three bits z with a prior, six bits x given them."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.weight, self.bias = 1.5 * rng.standard_normal((3, 6)), 0.5 * rng.standard_normal(6)
        self.x = (rng.random(6) < 0.5).astype(float)
        self.prior = np.array([0.3, -0.4, 0.2])

    def __call__(self, z):
        a = z @ self.weight + self.bias
        log_prior = z @ self.prior - np.logaddexp(0, self.prior).sum()
        return log_prior + (self.x * a - np.logaddexp(0, a)).sum(axis=1)

    def derivative(self, z):
        return self.prior + (self.x - sigmoid(z @ self.weight + self.bias)) @ self.weight.T


PROBLEMS: dict[str, tuple[Any, int]]
PROBLEMS = {"t = 0.45": (FirstBit(0.45), 1), "t = 0.499": (FirstBit(0.499), 1), "network": (BeliefNetwork(), 3)}


def methods(f, q):
    """{name: (evaluations of f in a row, estimator, exact mean and variance)} of the unbiased estimators; the
    derivative that REBAR takes counts as an evaluation.
    """
    baseline, eta = enumeration.best_baseline(f, q), enumeration.best_eta(f, q, TEMPERATURE, NODES)
    result = {
        "score_function": (1, est.score_function, enumeration.score_function(f, q)),
        "baseline": (1, partial(est.score_function, baseline=baseline), enumeration.score_function(f, q, baseline)),
        "disarm": (2, est.disarm, enumeration.disarm(f, q)),
    }
    for k in DRAWS:
        estimator = partial(est.leave_one_out, draws=k)
        result[f"leave_one_out_{k}"] = (k, estimator, enumeration.leave_one_out(f, q, k))
    for name, value in (("rebar_1", 1.0), ("rebar", eta)):
        estimator = partial(est.rebar, temperature=TEMPERATURE, eta=value)
        result[name] = (3, estimator, enumeration.rebar(f, q, TEMPERATURE, value, NODES))
    return result


def relaxed(t, logit):
    """{name: (estimator, exact mean and variance)} of the biased estimators for `FirstBit` and two categories; for the
    logit of the first, as the other's is its negative.
    """
    f, q = FirstBit(t), est.Bernoulli((logit,))
    z, size, p = enumeration.logistic_grid(q, 200, TEMPERATURE)
    y = sigmoid((2 * z - 1) * size / TEMPERATURE)
    warm = partial(est.gumbel_softmax, temperature=TEMPERATURE)
    return {
        "gumbel_softmax": (warm, enumeration.moments(p, f.derivative(y) * y * (1 - y) / TEMPERATURE)),
        "straight_through": (
            est.straight_through,
            enumeration.moments(p, f.derivative(z) * q.probabilities * (1 - q.probabilities)),
        ),
        "straight_through_gumbel": (
            partial(est.straight_through_gumbel, temperature=TEMPERATURE),
            enumeration.moments(p, f.derivative(z) * y * (1 - y) / TEMPERATURE),
        ),
    }
