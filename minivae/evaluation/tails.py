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

LEAST = 20  # weights in a tail below which nothing is said of it: K = 100

# The shape that the mean of a tail is taken at, where the fit is above: a mean of 10 sigma. Beyond 1 there is none.
CAP = 0.9


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
    n, length = excess.shape
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


def describe(log_weight: np.ndarray, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    """(k_hat, excess), each (n,), of log weights (n, K) that were computed in `dtype`.

    k_hat : NaN where K is too small to tell (`tail_length`), -inf where the tail's weights are equal but for rounding,
        inf where they span more than floats hold, or most of them are equal and the rest larger
    excess : nats, log of the mean weight with the fitted tail's mean in place of the tail's own, less that of the
        weights as they are: above 0 where larger weights are to come. 0 where nothing was fitted, NaN where K is too
        small.
    """
    n, count = log_weight.shape
    length = tail_length(count)
    if not length:
        return np.full(n, np.nan), np.full(n, np.nan)
    top = log_weight.max(axis=1, keepdims=True)
    top[top == -np.inf] = 0  # an example that no draw explains: all its weights are 0
    weight = np.exp(log_weight - top)
    mean = weight.mean(axis=1)
    tail = np.partition(weight, count - length - 1, axis=1)[:, count - length - 1 :]
    tail.sort(axis=1)
    over = tail[:, 1:] - tail[:, :1]
    equal = over[:, -1] <= 16 * np.finfo(dtype).eps * (1 + np.abs(top[:, 0]))
    k_hat, excess = np.where(equal & (mean > 0), -np.inf, np.inf), np.zeros(n)
    fitted = np.flatnonzero(~equal & (over[:, _quartile(length)] > 1e-290))
    if len(fitted):
        k_hat[fitted], sigma = fit(over[fitted])
        more = sigma / (1 - np.minimum(k_hat[fitted], CAP)) - over[fitted].mean(axis=1)
        more[k_hat[fitted] > CAP] = np.maximum(more[k_hat[fitted] > CAP], 0)
        excess[fitted] = np.log1p(more * length / (count * mean[fitted]))
    return k_hat, excess


def _quartile(length):
    """Where the first quartile stands among as many ascending numbers."""
    return int(length / 4 + 0.5) - 1
