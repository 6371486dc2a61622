"""How heavy the tail of importance weights is: k-hat, and the mean that a fitted tail would have.

The largest weights of each example, less the next one, are taken for draws of a generalized Pareto distribution,

    P(excess > t) = (1 + k t / sigma)^(-1/k),    mean sigma / (1 - k) for k < 1,    1/k moments are finite

Where k >= 1/2 the weights have no variance, and what their spread says of the error is worth little; where k >= 1 they
have no mean. Sources: Vehtari, Simpson, Gelman, Yao and Gabry, "Pareto smoothed importance sampling", arXiv:1507.02646
(which weights are the tail, the prior on k, the threshold); Zhang and Stephens, "A new and efficient estimation method
for the generalized Pareto distribution", Technometrics 51 (2009), 316-325 (the fit).
"""

import math

import numpy as np

LEAST = 20  # weights in a tail, as 96 draws have: with fewer nothing is said of it

# The largest shapes at which the mean of a tail is taken, without and with its error: means of 5 and of 10 sigma. A
# shape of 1 has none: of `count` draws the sum grows with count^k. Chosen by benchmarks/coverage.py.
CAP, CAP_WITH_ERROR = 0.8, 0.9


def tail_length(count: int) -> int:
    """How many of `count` weights are their tail; 0 where these would be fewer than LEAST."""
    length = math.ceil(min(0.2 * count, 3 * math.sqrt(count)))
    return length if length >= LEAST else 0


def threshold(count: int) -> float:
    """The k-hat above which `count` draws do not make a mean one can rely on (arXiv:1507.02646, section 3.2.4)."""
    return min(1 - 1 / math.log10(count), 0.7) if count > 10 else 0.0


def fit(excess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(k, sigma), each (n,), of excesses (n, N) above 0 and ascending along each row, by Zhang and Stephens.

    With b = -k / sigma the likelihood's maximum over k is the mean of log(1 - b excess): a profile of one variable, and
    its mean over a prior with the scale of the first quartile needs no search. For k the prior of arXiv:1507.02646
    counts as ten excesses of a tail with k = 1/2.
    """
    length = excess.shape[1]
    points = 30 + math.isqrt(length)
    quartile, largest = excess[:, _quartile(length), None], excess[:, -1:]
    b = 1 / largest + (1 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))) / (3 * quartile)
    b = np.where(b == 0, 1e-10 / largest, b)  # the exponential distribution, to which the formulas below are continuous
    k = np.stack([np.log1p(-column[:, None] * excess).mean(axis=1) for column in b.T], axis=1)
    profile = length * (np.log(-b / k) - k - 1)
    belief = np.exp(profile - profile.max(axis=1, keepdims=True))
    b = (b * belief).sum(axis=1) / belief.sum(axis=1)
    k = np.log1p(-b[:, None] * excess).mean(axis=1)
    return (k * length + 10 * 0.5) / (length + 10), -k / b


def describe(log_weight: np.ndarray, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(k_hat, excess, error), each (n,), of log weights (n, K) that were computed in `dtype`.

    k_hat : NaN where K is too small to tell (`tail_length`), -inf where the tail's weights are equal but for rounding,
        inf where all weights are 0, where they span more than floats hold, or where the tail has too many equal ones,
        as rounding makes them where log weights are large
    excess : nats, log of the mean weight with the fitted tail's mean in place of the tail's own, less that of the
        weights as they are: above 0 where larger weights are to come. Where k is above 1, and so is the slope of log w
        against the log of its rank, the tail has no mean, and the one of K times as many draws is taken, which is
        larger by a factor of K^(k - 1) with the smaller of both
    error : nats, by how much the excess grows where k is a standard error, (1 + k) / sqrt(tail length), above k_hat.
        Both are 0 where nothing was fitted and NaN where K is too small.
    """
    n, count = log_weight.shape
    length = tail_length(count)
    if not length:
        return np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    top = log_weight.max(axis=1, keepdims=True)
    top[top == -np.inf] = 0  # an example that no draw explains: all its weights are 0
    weight = np.exp(log_weight - top)
    weight.partition(count - length - 1, axis=1)
    below, tail = weight[:, : count - length], np.sort(weight[:, count - length :], axis=1)
    base = below.sum(axis=1) + length * below[:, -1]  # of all weights, but what the tail has over its threshold
    over = tail - below[:, -1:]
    with np.errstate(divide="ignore"):
        equal = -np.log(below[:, -1]) <= np.minimum(16 * np.finfo(dtype).eps * (1 + np.abs(top[:, 0])), 0.1)
    k_hat, excess, error = np.where(equal, -np.inf, np.inf), np.zeros(n), np.zeros(n)
    fitted = np.flatnonzero(~equal & (over[:, _quartile(length)] > 1e-290))
    if len(fitted):
        k, sigma = fit(over[fitted])
        base, own = base[fitted], over[fitted].sum(axis=1)
        at_k, higher = np.minimum(k, CAP), k + np.maximum(1 + k, 0.3) / math.sqrt(length)
        expected, most = (length * sigma / (1 - shape) for shape in (at_k, np.minimum(higher, CAP_WITH_ERROR)))
        k_hat[fitted], error[fitted] = k, np.log(base + most) - np.log(base + expected)
        expected = np.where(k > CAP, np.maximum(expected, own), expected)
        # The slope of log w against the log of its rank (Hill, 1975), where a few large weights beside many equal ones
        # make k-hat large, and are no sum that grows.
        with np.errstate(divide="ignore"):
            slope = (np.log(tail[fitted]) - np.log(below[fitted, -1:])).mean(axis=1)
        growth = np.maximum(np.minimum(k, slope) - 1, 0) * math.log(count)
        excess[fitted] = np.logaddexp(np.log(base), np.log(expected) + growth) - np.log(base + own)
    return k_hat, excess, error


def _quartile(length):
    """Where the first quartile stands among as many ascending numbers."""
    return int(length / 4 + 0.5) - 1
