"""Estimators for a categorical q that put a continuous variable in its place. All trade bias for variance.

A sample of a category does not move when the logits move a little, so there is no path for a derivative. By Gumbel's
maximum a draw is argmax(logits + g) with g of the Gumbel distribution; the softmax of the same numbers does move:

    y = softmax((logits + g) / temperature),    dy_i/dlogit_j = y_i ([i = j] - y_j) / temperature

and tends to the one-hot draw as the temperature falls to 0, while the derivative's variance grows without bound.
"""

import numpy as np

from ..errors import expect
from .checked import estimator, expect_temperature
from .distributions import Categorical, one_hot


def _softmax(values):
    weights = np.exp(values - values.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def _relaxed(q, rng, samples, temperature):
    """logits + g, and its softmax at the temperature, each (samples, categories)."""
    expect(isinstance(q, Categorical), "q", q, "a Categorical")
    expect_temperature(temperature)
    perturbed = np.array(q.logits) + rng.gumbel(size=(samples, len(q.logits)))
    return perturbed, _softmax(perturbed / temperature)


def _softmax_backward(y, dy):
    """dlogits = y * (dy - sum_j dy_j y_j) of y = softmax(logits)."""
    return y * (dy - (dy * y).sum(axis=1, keepdims=True))


@estimator
def gumbel_softmax(f, q, rng, samples, temperature=1.0):
    """The pathwise gradient of E[f(y)]: unbiased for the relaxed problem, biased for E[f(z)].

    f must be defined between the corners of the simplex. Source: Jang, Gu and Poole (arXiv:1611.01144), section 2.2;
    Maddison, Mnih and Teh (arXiv:1611.00712), section 3.
    """
    _, y = _relaxed(q, rng, samples, temperature)
    return _softmax_backward(y, f.derivative(y)) / temperature


@estimator
def straight_through_gumbel(f, q, rng, samples, temperature=1.0):
    """f and its derivative at the one-hot draw, the way back through the softmax of the same draw.

    Source: Jang, Gu and Poole (arXiv:1611.01144), section 2.2.
    """
    perturbed, y = _relaxed(q, rng, samples, temperature)
    return _softmax_backward(y, f.derivative(one_hot(perturbed))) / temperature


@estimator
def straight_through(f, q, rng, samples):
    """f' at the one-hot draw as if the draw were p itself: dlogits = p * (f'(z) - sum_j f'(z)_j p_j).

    Exact where f is linear, as the mean of z is p. Source: Bengio, Leonard and Courville (arXiv:1308.3432), section 4.
    """
    expect(isinstance(q, Categorical), "q", q, "a Categorical")
    z = q.sample(rng, samples)
    return _softmax_backward(np.broadcast_to(q.probabilities, z.shape), f.derivative(z))
