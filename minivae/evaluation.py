"""Held-out evaluation: the ELBO and its parts, active units, and importance-sampled log-likelihood."""

from dataclasses import dataclass

import numpy as np

from . import importance
from .kernels import philox
from .layers import as_rows
from .parameters import RowBuffers
from .tally import Tally

# Rows in one evaluation batch or group: enough for fast matrix products, small enough to bound memory.
BATCH = 500
PAGE = 1000

# A latent is active if its posterior mean varies: Cov_x(E[u]) above this, Burda et al. (arXiv:1509.00519), section 5.2.
ACTIVE = 0.01


@dataclass(frozen=True)
class Evaluation:
    """Averages over a data set, in nats per example. `loss` is the model's objective, nll + beta * kl for "elbo"; the
    ELBO is -(nll + kl).

    kl_per_latent (latent,) adds up to kl; mean_variance (latent,) is the variance over the data of each posterior mean.
    """

    loss: float
    nll: float
    kl: float
    kl_per_latent: np.ndarray
    mean_variance: np.ndarray

    @property
    def active(self):
        """Which latents are active, (latent,) bool."""
        return self.mean_variance > ACTIVE

    @property
    def active_units(self):
        return int(self.active.sum())


class Evaluator:
    """Evaluates a model on one data set again and again, with buffers and recorded kernel calls kept in between.

    Parameters
    ----------
    data : (n, features), uint8 or float; stays as it is and is turned into floats batch by batch
    pixels : "grey", "threshold" or "dynamic", how a value becomes an input (see `kernels.naive.gather`)
    """

    def __init__(self, model, data, *, pixels="grey", seed=0):
        backend = model.backend
        self.model, self.n = model, len(data)
        self._data = backend.from_host(data)
        self._order = backend.from_host(np.arange(self.n))
        self._clock = backend.zeros((1,), "int64")
        self._tally = Tally(model, self._clock)
        self._rows = max(1, BATCH // model.draws)
        self._pixels, self._seed = pixels, seed
        self._buffers = RowBuffers(backend, model.dtype)
        self._passes = {}

    def __call__(self, draw=0):
        """The `Evaluation` on one noise draw per example; `draw` = 0, 1, ... chooses independent draws (and
        binarisations).
        """
        model, backend = self.model, self.model.backend
        batches = -(-self.n // self._rows)
        backend.assign(self._clock, draw * batches)
        self._tally.reset()
        mu, kl_per_latent = np.empty((self.n, model.latent)), np.zeros(model.latent)
        for start in range(0, self.n, self._rows):
            rows = min(self._rows, self.n - start)
            if rows in self._passes:
                program, head, kl = self._passes[rows]
                program()
            else:
                program = backend.record(lambda rows=rows: self._batch(rows))
                head, kl = model.posterior.y, model.kl.kl
                self._passes[rows] = program, head, kl
            mu[start : start + rows] = backend.to_host(head)[:, : model.latent]
            kl_per_latent += backend.to_host(kl).sum(axis=0, dtype=np.float64)
        sums = self._tally.read()
        return Evaluation(sums.loss, sums.nll, sums.kl, kl_per_latent / self.n, mu.var(axis=0))

    def _batch(self, rows):
        model, backend = self.model, self.model.backend
        x, noise = self._buffers("x", rows, model.features), self._buffers("noise", rows * model.draws, model.latent)
        backend.gather(self._data, self._order, self._clock, self._rows, self._pixels, self._seed, x)
        backend.standard_normal(self._seed, philox.EVALUATION, self._clock, noise)
        nll, kl = model.pass_down(x, noise)
        self._tally.add(nll, kl)
        backend.tick(self._clock)


def terms(model, x, seed=0):
    """nll and KL of each example with one z from q, in nats, each (n,). x is (n, features)."""
    x = np.asarray(x)
    clock, buffers = model.backend.zeros((1,), "int64"), RowBuffers(model.backend, model.dtype)
    nll, kl = np.empty(len(x)), np.empty(len(x))
    for start in range(0, len(x), PAGE):
        rows = model.backend.from_host(as_rows("x", x[start : start + PAGE], model.features, model.dtype))
        noise = buffers("noise", rows.shape[0], model.latent)
        model.backend.standard_normal(seed, philox.EVALUATION, clock, noise)
        model.backend.tick(clock)
        page = (model.backend.to_host(part) for part in model.elbo_terms(rows, noise))
        nll[start : start + PAGE], kl[start : start + PAGE] = next(page), next(page).sum(axis=1, dtype=np.float64)
    return nll, kl


def elbo(model, x, seed=0):
    """The ELBO of each example, log p(x|z) - KL(q(z|x) || p(z)) with one z from q, in nats, (n,). x is (n, features).

    On average over z a lower bound of log p(x) (Kingma and Welling, arXiv:1312.6114, equation 10).
    """
    nll, kl = terms(model, x, seed)
    return -(nll + kl)


def log_likelihood(model, x, samples=5000, seed=0, chunk=importance.CHUNK, progress=None):
    """log (1/K) sum_k p(x|z_k) p(z_k) / q(z_k|x), z_k from q(z|x), for each example, in nats, (n,). K = `samples`.

    On average a lower bound of log p(x) that rises with K. `importance.estimate`, which has the same arguments, tells
    its standard error too.
    """
    return importance.estimate(model, x, samples, seed, chunk, progress).log_likelihood
