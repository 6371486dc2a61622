"""log p(x) by importance sampling from q(z|x): the estimate, how far off it may be, and how it rises with K."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..bounds import CHUNK, drawn_log_weights, log_mean_exp
from ..errors import expect_integer, expect_number
from ..vae import VAE
from . import tails

# Of an interval's reach above the estimate; chosen by benchmarks/coverage.py so that no interval fails unannounced.
SHARE = 0.6


@dataclass(frozen=True)
class ImportanceEstimate:
    """What K = `samples` weights w_k = p(x, z_k) / q(z_k|x) of each example say, in nats. docs/log-likelihood.md

    log_likelihood (n,) : log (1/K) sum_k w_k, on average a lower bound of log p(x) that rises with K (Burda, Grosse and
        Salakhutdinov, arXiv:1509.00519, theorem 1)
    standard_error (n,) : of log_likelihood, sd(w) / (mean(w) sqrt(K)), the first-order (delta method) error. Taken as
        the error of log p(x) it is too small where the weights have a heavy tail: the draws that would raise both the
        mean and its error are those not yet made, and effective_samples, made of the same draws, does not show it
    effective_samples (n,) : (sum_k w_k)^2 / sum_k w_k^2, from 1 to K (Kong, 1992); 0 where all weights are 0
    k_hat (n,) : the shape of a generalized Pareto distribution fitted to the largest weights (`tails.describe`); above
        `k_hat_threshold` the standard error is unreliable. NaN where K is below 96: nothing checks the error then
    rise (n,) : by how much the bound of K draws lies above the mean of those of either half, at least 0: with a bias of
        c / K just the bias, with heavy tails less. NaN for one draw
    tail_excess, tail_error (n,) : how much higher log_likelihood were if the tail of the weights had its fitted mean,
        and what one standard error of the fitted shape adds to that. NaN where k_hat is
    rounding (n,) : what the dtype leaves open of a number as large as log_likelihood: eps (1 + |log_likelihood|)
    counts, bounds : numbers of draws K_1 = 1 < K_2 < ... < `samples`, each a divisor of the next, and (n, len(counts))
        the mean over groups of K_j draws of log mean w. Rising in j for every example, by Jensen's inequality.
    """

    log_likelihood: np.ndarray
    standard_error: np.ndarray
    effective_samples: np.ndarray
    k_hat: np.ndarray
    rise: np.ndarray
    tail_excess: np.ndarray
    tail_error: np.ndarray
    rounding: np.ndarray
    counts: tuple[int, ...]
    bounds: np.ndarray

    def __repr__(self) -> str:
        mean, count = self.log_likelihood.mean(), self.counts[-1]
        unreliable = "" if self.unreliable is None else f", unreliable={int(self.unreliable.sum())}"
        return f"ImportanceEstimate(log_likelihood={mean:.6g} of {len(self.bounds)} rows, samples={count}{unreliable})"

    @property
    def k_hat_threshold(self) -> float:
        return tails.threshold(self.counts[-1])

    @property
    def unreliable(self) -> np.ndarray | None:
        """Of which examples k-hat is above the threshold, (n,) bool; None where K is too small for k-hat."""
        return None if np.isnan(self.k_hat).any() else self.k_hat > self.k_hat_threshold

    def interval(self, level: float = 0.95) -> np.ndarray:
        """(n, 2): where log p(x) of each example lies, at least with this probability over the draws of z.

        With the z of the normal distribution from log_likelihood - z standard_error to log_likelihood +
        max(rise, tail_excess) + z sqrt(standard_error^2 + tail_error^2): longer above, since log_likelihood is on
        average too low; and `rounding` further on both sides. The upper end is NaN where k_hat is; where all weights
        are 0 there is no end on either side.
        """
        z, value = _quantile(level), self.log_likelihood
        with np.errstate(invalid="ignore"):
            high = value + self._above + z * self._error_above + self.rounding
        high[(value == -np.inf) & ~np.isnan(self.k_hat)] = np.inf
        return np.stack([value - z * self.standard_error - self.rounding, high], axis=1)

    def mean_interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """The same for the mean over the examples; None where nothing is known."""
        n, z, mean = len(self.log_likelihood), _quantile(level), float(self.log_likelihood.mean())
        rounding = float(self.rounding.mean())
        low = mean - z * _norm(self.standard_error) / n - rounding
        above = float(np.maximum(self.rise.mean(), self.tail_excess.mean())) + z * _norm(self._error_above) / n
        return (low, mean + above + rounding) if np.isfinite([low, above]).all() else None

    @property
    def unreliable_share(self) -> float | None:
        """How much of `mean_interval` above the mean is due to the unreliable examples, from 0 to 1, rounding apart: 1
        where a k-hat is infinite, as nothing says what it lacks. None without k-hat.
        """
        if self.unreliable is None:
            return None
        if np.isposinf(self.k_hat).any():
            return 1.0
        total = _norm(self._error_above)
        if not np.isfinite(total + self._above.sum()):
            return float(self.unreliable.any())
        part = self._above + _quantile(0.95) * self._error_above**2 / (total or 1)
        return float(part[self.unreliable].sum() / part.sum()) if part.sum() else 0.0

    @property
    def warning(self) -> str | None:
        """Why `mean_interval` is not to be relied on, in one line, or None: more than SHARE of it is due to examples
        whose k-hat is above the threshold, or K is too small for k-hat, or examples have hardly a weight above 0.
        """
        n, share = len(self.log_likelihood), self.unreliable_share
        if self.unreliable is None or share is None:
            return f"the error of log p(x) is unchecked: {self.counts[-1]} draws are too few for k-hat, which takes 96"
        if lost := int(np.isinf(self.rise + self.standard_error).sum()):
            return (
                f"the error of log p(x) is unknown: {lost:,} of {n:,} examples have weights of 0 in half of the draws"
            )
        if share <= SHARE:
            return None
        count = f"{int(self.unreliable.sum()):,} of {n:,} examples have a k-hat above {self.k_hat_threshold:.2f}"
        return f"the error of log p(x) is unreliable: {count} and make up {share:.0%} of its interval"

    @property
    def _above(self):
        return np.maximum(self.rise, self.tail_excess)

    @property
    def _error_above(self):
        return np.hypot(self.standard_error, self.tail_error)

    def summary(self) -> dict[str, Any]:
        """Means over the examples as a dict of numbers, in nats where nothing else is said.

        sampling_error : the delta-method standard error of the mean from the draws of z alone; data_error : that from
            the choice of examples. Either is None where one draw, or one example, tells nothing of it.
        interval_95 : `mean_interval` as a list
        k_hat : the median over the examples, a number; unreliable_examples : how many are above k_hat_threshold;
            unreliable_share : a fraction. All None where K is too small; k_hat also where the weights are equal.
        """
        n = len(self.log_likelihood)
        sampling_error = float(_norm(self.standard_error) / n)
        interval = self.mean_interval()
        return {
            "log_likelihood": float(self.log_likelihood.mean()),
            "sampling_error": sampling_error if np.isfinite(sampling_error) else None,
            "data_error": _or_none(_data_error(self.log_likelihood)) if n > 1 else None,
            "interval_95": None if interval is None else list(interval),
            "rise_from_half": _or_none(self.rise.mean()),
            "tail_excess": _or_none(self.tail_excess.mean()),
            "k_hat": _or_none(np.quantile(self.k_hat, 0.5, method="lower")),
            "k_hat_threshold": self.k_hat_threshold,
            "unreliable_examples": None if self.unreliable is None else int(self.unreliable.sum()),
            "unreliable_share": self.unreliable_share,
            "warning": self.warning,
            "effective_samples": float(np.median(self.effective_samples)),
            "bounds": {str(k): float(bound) for k, bound in zip(self.counts, self.bounds.mean(axis=0), strict=True)},
        }


def estimate(
    model: VAE,
    x: ArrayLike,
    samples: int = 5000,
    seed: int = 0,
    chunk: int = CHUNK,
    progress: bool | None = None,
) -> ImportanceEstimate:
    """The `ImportanceEstimate` of each row of x (n, features).

    samples : K, draws of z for each example
    chunk : decoded rows held at a time. It bounds the memory and changes nothing else: draws are a function of the
        seed, the example's position in x and the draw's number, and each example's weights are added up in one order.
        Only the rounding inside matrix products may differ with their shape.
    progress : show a tqdm bar; by default in a notebook and if standard error is a terminal
    """
    x, samples = model.as_data("x", x), expect_integer("samples", samples, 1)
    pages = drawn_log_weights(model, x, samples, seed, chunk, progress)
    return of_log_weights((log_weight for _, log_weight in pages), samples, model.dtype)


def of_log_weights(pages: Iterable[np.ndarray], samples: int, dtype: str = "float64") -> ImportanceEstimate:
    """The `ImportanceEstimate` from pages (rows, samples) of log weights, float64, that were computed in `dtype`."""
    counts, found = divisor_chain(samples), []
    for page in pages:
        found.append((*moments(page), *tails.describe(page, dtype), rise_from_half(page), bound_curve(page, counts)))
    parts = (np.concatenate(part) for part in zip(*found, strict=True))
    value, error, effective, k_hat, excess, excess_error, rise, bounds = parts
    rounding = np.finfo(dtype).eps * (1 + np.abs(value))
    return ImportanceEstimate(value, error, effective, k_hat, rise, excess, excess_error, rounding, counts, bounds)


def moments(log_weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(log mean w, its standard error, effective samples), each (n,), from log weights (n, K)."""
    count, value = log_weight.shape[1], log_mean_exp(log_weight)
    some = value > -np.inf  # else all weights are 0
    effective, error = np.zeros(len(value)), np.full(len(value), np.inf)
    u = np.exp(log_weight[some] - log_weight[some].max(axis=1, keepdims=True))
    effective[some] = u.sum(axis=1) ** 2 / (u**2).sum(axis=1)
    if count > 1:
        error[some] = u.std(axis=1, ddof=1) / (u.mean(axis=1) * np.sqrt(count))
    return value, error, effective


def rise_from_half(log_weight: np.ndarray) -> np.ndarray:
    """(n,): log mean w of (n, K) less its mean over the two halves, without the last of an odd number of draws.

    NaN for one draw; infinite where one half has weights of 0 only, 0 where both have.
    """
    n, half = len(log_weight), log_weight.shape[1] // 2
    if not half:
        return np.full(n, np.nan)
    whole, halves = (log_mean_exp(log_weight[:, : 2 * half].reshape(n, parts, -1)).mean(axis=1) for parts in (1, 2))
    return np.subtract(whole, halves, out=np.zeros(n), where=whole > -np.inf)


def bound_curve(log_weight: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """(n, len(counts)): for each K of counts the mean of log mean w over the groups of K successive draws of (n, S)."""
    n = len(log_weight)
    return np.stack([log_mean_exp(log_weight.reshape(n, -1, k)).mean(axis=1) for k in counts], axis=1)


def divisor_chain(count: int) -> tuple[int, ...]:
    """1, ..., count, each a divisor of the next with the largest prime factors first: (1, 5, 25, ..., 2500, 5000)."""
    chain = [count]
    while chain[-1] > 1:
        last = chain[-1]
        chain.append(last // next(p for p in range(2, last + 1) if last % p == 0))
    return tuple(reversed(chain))


def _quantile(level):
    """The z of the normal distribution with this much of it within -z and z."""
    level = expect_number("level", level, lambda value: 0 < value < 1, "a number between 0 and 1")
    return NormalDist().inv_cdf(0.5 + level / 2)


def _norm(values):
    return float(np.sqrt((values**2).sum()))


def _or_none(value):
    return float(value) if np.isfinite(value) else None


def _data_error(values):
    return values.std(ddof=1) / np.sqrt(len(values)) if np.isfinite(values).all() else np.nan
