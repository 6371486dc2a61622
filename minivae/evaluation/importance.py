"""log p(x) by importance sampling from q(z|x): the estimate, its standard error, and how it rises with K."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..bounds import CHUNK, drawn_log_weights, log_mean_exp
from ..errors import expect_integer
from ..vae import VAE


@dataclass(frozen=True)
class ImportanceEstimate:
    """What K = `samples` weights w_k = p(x, z_k) / q(z_k|x) of each example say, in nats.

    log_likelihood (n,) : log (1/K) sum_k w_k, on average a lower bound of log p(x) that rises with K (Burda, Grosse and
        Salakhutdinov, arXiv:1509.00519, theorem 1)
    standard_error (n,) : of log_likelihood as an estimate of log p(x), sd(w) / (mean(w) sqrt(K)), the first-order
        (delta method) error; itself an estimate, and too small where effective_samples is only a few
    effective_samples (n,) : (sum_k w_k)^2 / sum_k w_k^2, from 1 to K (Kong, 1992)
    counts, bounds : numbers of draws K_1 = 1 < K_2 < ... < `samples`, each a divisor of the next, and (n, len(counts))
        the mean over groups of K_j draws of log mean w. Rising in j for every example, by Jensen's inequality.
    """

    log_likelihood: np.ndarray
    standard_error: np.ndarray
    effective_samples: np.ndarray
    counts: tuple[int, ...]
    bounds: np.ndarray

    def __repr__(self) -> str:
        mean = self.log_likelihood.mean()
        return f"ImportanceEstimate(log_likelihood={mean:.6g} of {len(self.bounds)} rows, samples={self.counts[-1]})"

    def summary(self) -> dict[str, Any]:
        """Means over the examples as a dict of numbers; `sampling_error` is the standard error of the mean from the
        draws of z alone, `data_error` that from the choice of examples. Either is None where one draw, or one example,
        tells nothing of it.
        """
        n = len(self.log_likelihood)
        sampling_error = float(np.sqrt((self.standard_error**2).sum()) / n)
        return {
            "log_likelihood": float(self.log_likelihood.mean()),
            "sampling_error": sampling_error if np.isfinite(sampling_error) else None,
            "data_error": float(self.log_likelihood.std(ddof=1) / np.sqrt(n)) if n > 1 else None,
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
    progress : show a tqdm bar; by default if standard error is a terminal
    """
    x, samples = model.as_data("x", x), expect_integer("samples", samples, 1)
    pages = drawn_log_weights(model, x, samples, seed, chunk, progress)
    counts, n = divisor_chain(samples), len(x)
    value, error, effective = (np.empty(n) for _ in range(3))
    bounds = np.empty((n, len(counts)))
    for rows, log_weight in pages:
        value[rows], error[rows], effective[rows] = moments(log_weight)
        bounds[rows] = bound_curve(log_weight, counts)
    return ImportanceEstimate(value, error, effective, counts, bounds)


def moments(log_weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(log mean w, its standard error, effective samples), each (n,), from log weights (n, K)."""
    count = log_weight.shape[1]
    u = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    effective = u.sum(axis=1) ** 2 / (u**2).sum(axis=1)
    spread = u.std(axis=1, ddof=1) if count > 1 else np.full(len(u), np.inf)
    return log_mean_exp(log_weight), spread / (u.mean(axis=1) * np.sqrt(count)), effective


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
