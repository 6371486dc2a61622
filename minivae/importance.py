"""log p(x) by importance sampling from q(z|x): the estimate, its standard error, and how it rises with K."""

import sys
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from .errors import expect_integer
from .kernels import philox
from .layers import as_rows
from .parameters import RowBuffers

# Draws whose noise is one function of (seed, example, page), whatever is decoded at a time.
PAGE = 1000

# Rows decoded at a time: enough for fast matrix products, few enough to bound memory.
CHUNK = 1000


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
    counts: tuple
    bounds: np.ndarray

    def summary(self):
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


def estimate(model, x, samples=5000, seed=0, chunk=CHUNK, progress=None):
    """The `ImportanceEstimate` of each row of x (n, features).

    samples : K, draws of z for each example
    chunk : decoded rows held at a time. It bounds the memory and changes nothing else: draws are a function of the
        seed, the example's position in x and the draw's number, and each example's weights are added up in one order.
        Only the rounding inside matrix products may differ with their shape.
    progress : show a tqdm bar; by default if standard error is a terminal
    """
    expect_integer("samples", samples, 1)
    expect_integer("chunk", chunk, 1)
    x = as_rows("x", x, model.features, model.dtype)
    counts = divisor_chain(samples)
    n, group = len(x), max(1, chunk // samples)
    value, error, effective = (np.empty(n) for _ in range(3))
    bounds = np.empty((n, len(counts)))
    draw = _Weights(model, seed, samples)
    show = sys.stderr.isatty() if progress is None else progress
    with tqdm(total=n * samples, desc="log p(x)", unit="z", unit_scale=True, leave=False, disable=not show) as bar:
        for start in range(0, n, group):
            rows = slice(start, min(start + group, n))
            weights = np.empty((rows.stop - start, samples))
            for first in range(0, samples, chunk):
                count = min(chunk, samples - first)
                weights[:, first : first + count] = draw(x[rows], start, first, count)
                bar.update((rows.stop - start) * count)
            value[rows], error[rows], effective[rows] = moments(weights)
            bounds[rows] = bound_curve(weights, counts)
    return ImportanceEstimate(value, error, effective, counts, bounds)


def moments(log_weight):
    """(log mean w, its standard error, effective samples), each (n,), from log weights (n, K)."""
    count = log_weight.shape[1]
    u = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    effective = u.sum(axis=1) ** 2 / (u**2).sum(axis=1)
    spread = u.std(axis=1, ddof=1) if count > 1 else np.full(len(u), np.inf)
    return _log_mean_exp(log_weight), spread / (u.mean(axis=1) * np.sqrt(count)), effective


def bound_curve(log_weight, counts):
    """(n, len(counts)): for each K of counts the mean of log mean w over the groups of K successive draws of (n, S)."""
    n = len(log_weight)
    return np.stack([_log_mean_exp(log_weight.reshape(n, -1, k)).mean(axis=1) for k in counts], axis=1)


def divisor_chain(count):
    """1, ..., count, each a divisor of the next with the largest prime factors first: (1, 5, 25, ..., 2500, 5000)."""
    chain = [count]
    while chain[-1] > 1:
        last = chain[-1]
        chain.append(last // next(p for p in range(2, last + 1) if last % p == 0))
    return tuple(reversed(chain))


def _log_mean_exp(values):
    top = values.max(axis=-1, keepdims=True)
    return top[..., 0] + np.log(np.exp(values - top).mean(axis=-1))


class _Weights:
    """Log weights of any range of draws of some examples, from noise that is made page by page."""

    def __init__(self, model, seed, samples):
        self._model, self._seed, self._samples = model, seed, samples
        self._buffers = RowBuffers(model.backend, model.dtype)
        self._clock = model.backend.zeros((1,), "int64")
        self._page = None

    def __call__(self, x, first_example, first, count):
        """Log weights (n, count) of draws first, first + 1, ... of the rows x (n, features)."""
        model, backend, n = self._model, self._model.backend, len(x)
        noise = np.empty((n, count, model.latent), model.dtype)
        for i in range(n):
            done = 0
            while done < count:
                page, offset = divmod(first + done, PAGE)
                part = min(count - done, PAGE - offset)
                noise[i, done : done + part] = self._normals(first_example + i, page)[offset : offset + part]
                done += part
        noise = backend.from_host(noise.reshape(n * count, model.latent))
        nll, _ = model.elbo_terms(backend.from_host(x), noise)
        weights, sampler = self._buffers("weights", n * count), model.sampler
        backend.log_weights(nll, sampler.rho, sampler.sigma, noise, sampler.z, model.scale, weights)
        return backend.to_host(weights).astype(np.float64).reshape(n, count)

    def _normals(self, example, page):
        step = example << 32 | page
        if step != self._page:
            backend, rows = self._model.backend, min(PAGE, self._samples - page * PAGE)
            noise = self._buffers("page", rows, self._model.latent)
            backend.assign(self._clock, step)
            backend.standard_normal(self._seed, philox.EVALUATION, self._clock, noise)
            self._page, self._values = step, backend.to_host(noise)
        return self._values
