"""Distributions q with what the estimators ask of them: draws, and the score d log q(z) / d parameter."""

from dataclasses import dataclass, field

import numpy as np

from ..errors import LARGEST, as_array, expect, expect_number, expect_positive
from .special import digamma

TINY = float(np.finfo(float).tiny)
ROUNDED = 2.0**-53  # how far below 1 the shares end that are rounded to 1
LEAST = 1e-100  # of the shapes whose draws are kept as logarithms: the squares of the logarithms must be finite


@dataclass(frozen=True)
class Normal:
    """N(mu, sigma^2); sigma is the standard deviation."""

    mu: float
    sigma: float
    names = ("mu", "sigma")

    def __post_init__(self):
        expect_number("mu", self.mu, lambda mu: -LARGEST <= mu <= LARGEST, "a finite number")
        expect_positive("sigma", self.sigma)

    def sample(self, rng, samples):
        """(samples,)."""
        return self.mu + self.sigma * rng.standard_normal(samples)

    def score(self, z):
        """(z - mu) / sigma^2 and ((z - mu)^2 / sigma^2 - 1) / sigma, (samples, 2)."""
        noise = (z - self.mu) / self.sigma
        return np.stack([noise, noise**2 - 1], axis=1) / self.sigma


@dataclass(frozen=True)
class Gamma:
    """Density rate^shape z^(shape - 1) exp(-rate z) / Gamma(shape), z > 0; shape >= 1e-100."""

    shape: float
    rate: float
    names = ("shape", "rate")

    def __post_init__(self):
        _expect_shape("shape", self.shape)
        expect_positive("rate", self.rate)

    @property
    def _least(self):
        """The least draw, such that neither it nor its product with the rate is too small for a float."""
        return TINY / min(1, self.rate)

    def sample(self, rng, samples):
        """(samples,)."""
        return np.maximum(rng.standard_gamma(self.shape, samples) / self.rate, self._least)

    def score(self, z):
        """log(rate z) - digamma(shape) and shape / rate - z, (samples, 2)."""
        log_z = _log(z, self.shape, self._least)
        return np.stack([log_z + np.log(self.rate) - digamma(self.shape), self.shape / self.rate - z], axis=1)


@dataclass(frozen=True)
class Beta:
    """Density z^(a - 1) (1 - z)^(b - 1) / B(a, b), 0 < z < 1. A draw is x / (x + y), x ~ Gamma(a, 1), y ~ Gamma(b,
    1). a, b >= 1e-100.
    """

    a: float
    b: float
    names = ("a", "b")

    def __post_init__(self):
        _expect_shape("a", self.a)
        _expect_shape("b", self.b)

    def sample(self, rng, samples):
        """(samples,)."""
        return np.maximum(shares(log_gamma(rng, (self.a, self.b), samples))[:, 0], TINY)

    def score(self, z):
        """log z - digamma(a) + digamma(a + b) and log(1 - z) - digamma(b) + digamma(a + b), (samples, 2)."""
        both = digamma(self.a + self.b)
        # numbers nearer to 1 than half a unit in the last place are 1
        rest = np.where(z == 1, np.log(ROUNDED) - 1 / self.b, np.log1p(-np.where(z == 1, 0.5, z)))
        return np.stack([_log(z, self.a) - digamma(self.a) + both, rest - digamma(self.b) + both], axis=1)


@dataclass(frozen=True)
class Dirichlet:
    """Density proportional to the product of z_c^(a_c - 1) over the simplex, a = concentration; C categories.

    A draw is x / sum(x) with x_c ~ Gamma(a_c, 1), (samples, C). Each a_c >= 1e-100. A z_c below 2.2e-308 is that
    number. Below a_c of about 1 / samples hardly a draw leaves the corners, and only their values of f are seen:
    there `implicit` is right on average over more draws than there are.
    """

    concentration: tuple
    names: tuple = field(init=False)

    def __post_init__(self):
        concentration = tuple(np.atleast_1d(self.concentration).tolist())
        expect(len(concentration) > 1, "concentration", self.concentration, "at least two numbers")
        for c, value in enumerate(concentration):
            _expect_shape(f"concentration {c}", value)
        object.__setattr__(self, "concentration", concentration)
        object.__setattr__(self, "names", tuple(f"concentration_{c}" for c in range(len(concentration))))

    def sample(self, rng, samples):
        """(samples, C), rows that sum to 1."""
        return np.maximum(shares(log_gamma(rng, self.concentration, samples)), TINY)

    def score(self, z):
        """log z_c - digamma(a_c) + digamma(sum a), (samples, C)."""
        a = np.array(self.concentration)
        return _log(z, a) - digamma(a) + digamma(a.sum())


@dataclass(frozen=True)
class Categorical:
    """One of C categories with p = softmax(logits). A draw is a one-hot row, (samples, C)."""

    logits: tuple
    names: tuple = field(init=False)

    def __post_init__(self):
        logits = _expect_logits(self, 2, "at least two numbers")
        finite = -np.inf < max(logits) < np.inf and not np.isnan(logits).any()
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


def log_gamma(rng, shapes, samples):
    """log x of draws x ~ Gamma(shape, 1), (samples, shapes): a draw of a small shape may be too small for a float.

    x = y u^(1 / shape) with y ~ Gamma(shape + 1, 1) and u uniform. Source: Marsaglia and Tsang, "A simple method for
    generating gamma variables" (2000), section 6.
    """
    shapes, size = np.array(shapes), (samples, len(shapes))
    return np.log(_positive(rng.standard_gamma(shapes + 1, size))) - rng.standard_exponential(size) / shapes


def shares(log_x):
    """x / sum(x) of each row, from the logarithms; a share below 2.2e-308 may be 0."""
    weights = np.exp(log_x - log_x.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def _positive(draws):
    """A gamma draw of a small shape can underflow to 0, where neither log z nor dz/dshape exists."""
    return np.maximum(draws, TINY)


def _log(z, shape, limit=TINY):
    """log z, and where z has underflowed, to the limit, the mean of log z over such draws: the density there is
    z^(shape - 1), which makes it log(limit) - 1 / shape.
    """
    return np.where(z <= limit, np.log(limit) - 1 / np.asarray(shape), np.log(z))


def _expect_shape(name, value):
    expect_number(name, value, lambda value: LEAST <= value <= LARGEST, f"a finite number of at least {LEAST:g}")


def _expect_logits(q, least, text):
    logits = as_array("logits", q.logits)
    expect(logits.ndim == 1 and len(logits) >= least and logits.dtype.kind in "iuf", "logits", q.logits, text)
    return logits


@dataclass(frozen=True)
class Bernoulli:
    """Independent bits, z_i = 1 with probability sigmoid(logit_i). A draw is a row of 0 and 1, (samples, bits). A logit
    of inf or -inf is a bit that never changes.
    """

    logits: tuple
    names: tuple = field(init=False)

    def __post_init__(self):
        logits = _expect_logits(self, 1, "a number for each bit")
        expect(not np.isnan(logits).any(), "logits", self.logits, "numbers")
        object.__setattr__(self, "names", tuple(f"logit_{i}" for i in range(len(self.logits))))

    @property
    def probabilities(self):
        return sigmoid(np.array(self.logits))

    def sample(self, rng, samples):
        """(samples, bits), floats 0 and 1."""
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
