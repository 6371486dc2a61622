"""Distributions q with what the estimators ask of them: draws, and the score d log q(z) / d parameter."""

from dataclasses import dataclass, field

import numpy as np

from ..errors import expect, expect_positive
from .special import digamma


@dataclass(frozen=True)
class Normal:
    """N(mu, sigma^2); sigma is the standard deviation."""

    mu: float
    sigma: float
    names = ("mu", "sigma")

    def __post_init__(self):
        expect(np.isfinite(self.mu), "mu", self.mu, "a finite number")
        expect_positive("sigma", self.sigma)

    def sample(self, rng, samples):
        return self.mu + self.sigma * rng.standard_normal(samples)

    def score(self, z):
        """(z - mu) / sigma^2 and ((z - mu)^2 / sigma^2 - 1) / sigma, (samples, 2)."""
        noise = (z - self.mu) / self.sigma
        return np.stack([noise, noise**2 - 1], axis=1) / self.sigma


@dataclass(frozen=True)
class Gamma:
    """Density rate^shape z^(shape - 1) exp(-rate z) / Gamma(shape), z > 0."""

    shape: float
    rate: float
    names = ("shape", "rate")

    def __post_init__(self):
        expect_positive("shape", self.shape)
        expect_positive("rate", self.rate)

    def sample(self, rng, samples):
        return _positive(rng.standard_gamma(self.shape, samples)) / self.rate

    def score(self, z):
        """log(rate z) - digamma(shape) and shape / rate - z, (samples, 2)."""
        return np.stack([np.log(self.rate * z) - digamma(self.shape), self.shape / self.rate - z], axis=1)


@dataclass(frozen=True)
class Beta:
    """Density z^(a - 1) (1 - z)^(b - 1) / B(a, b), 0 < z < 1. A draw is x / (x + y), x ~ Gamma(a, 1), y ~ Gamma(b,
    1).
    """

    a: float
    b: float
    names = ("a", "b")

    def __post_init__(self):
        expect_positive("a", self.a)
        expect_positive("b", self.b)

    def sample_pair(self, rng, samples):
        """x and y, (samples,) each: the draw is x / (x + y), and y / (x + y) is 1 minus it with all its digits."""
        return (_positive(rng.standard_gamma(parameter, samples)) for parameter in (self.a, self.b))

    def sample(self, rng, samples):
        x, y = self.sample_pair(rng, samples)
        return x / (x + y)

    def score(self, z):
        """log z - digamma(a) + digamma(a + b) and log(1 - z) - digamma(b) + digamma(a + b), (samples, 2)."""
        both = digamma(self.a + self.b)
        return np.stack([np.log(z) - digamma(self.a) + both, np.log1p(-z) - digamma(self.b) + both], axis=1)


@dataclass(frozen=True)
class Categorical:
    """One of C categories with p = softmax(logits). A draw is a one-hot row, (samples, C)."""

    logits: tuple
    names: tuple = field(init=False)

    def __post_init__(self):
        expect(len(self.logits) > 1, "logits", self.logits, "at least two numbers")
        finite = -np.inf < max(self.logits) < np.inf and not np.isnan(self.logits).any()
        expect(finite, "logits", self.logits, "numbers below infinity (-inf: never drawn), one of them finite")
        object.__setattr__(self, "names", tuple(f"logit_{c}" for c in range(len(self.logits))))

    @property
    def probabilities(self):
        weights = np.exp(np.array(self.logits) - max(self.logits))
        return weights / weights.sum()

    def sample(self, rng, samples):
        """One-hot rows by Gumbel's maximum: the argmax of logits + gumbel has the probabilities p."""
        return one_hot(np.array(self.logits) + rng.gumbel(size=(samples, len(self.logits))))

    def score(self, z):
        """d log p(z) / d logits = z - p, (samples, C)."""
        return z - self.probabilities

    def log_probability(self, z):
        """log p(z) in nats, (samples,); of a category that is never drawn -inf."""
        logits = np.array(self.logits) - max(self.logits)
        return np.where(z > 0, logits, 0).sum(axis=1) - np.log(np.exp(logits).sum())


def one_hot(values):
    """1 at each row's largest value, 0 elsewhere."""
    return (np.arange(values.shape[1]) == values.argmax(axis=1)[:, None]).astype(float)


def _positive(draws):
    """A gamma draw of a small shape can underflow to 0, where neither log z nor dz/dshape exists."""
    return np.maximum(draws, np.finfo(float).tiny)


@dataclass(frozen=True)
class Bernoulli:
    """Independent bits, z_i = 1 with probability sigmoid(logit_i). A draw is a row of 0 and 1, (samples, bits). A logit
    of inf or -inf is a bit that never changes.
    """

    logits: tuple
    names: tuple = field(init=False)

    def __post_init__(self):
        expect(np.ndim(self.logits) == 1 and len(self.logits) > 0, "logits", self.logits, "a number for each bit")
        expect(not np.isnan(self.logits).any(), "logits", self.logits, "numbers")
        object.__setattr__(self, "names", tuple(f"logit_{i}" for i in range(len(self.logits))))

    @property
    def probabilities(self):
        return sigmoid(np.array(self.logits))

    def sample(self, rng, samples):
        return (rng.random((samples, len(self.logits))) < self.probabilities).astype(float)

    def score(self, z):
        """d log p(z) / d logits = z - p, (samples, bits), with all digits where p is near 1."""
        sign = 2 * z - 1
        return sign * sigmoid(-sign * np.array(self.logits))

    def log_probability(self, z):
        """log p(z) in nats, (samples,)."""
        return -np.logaddexp(0, (1 - 2 * z) * np.array(self.logits)).sum(axis=1)


def sigmoid(x):
    return np.exp(-np.logaddexp(0, -x))
