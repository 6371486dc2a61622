"""Held-out evaluation: the ELBO and its parts, active units, and importance-sampled log-likelihood."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import expect, expect_integer, expect_seed, is_sampled
from ..files import mapped
from ..kernels import philox
from ..losses import Tally
from ..parameters import RowBuffers
from ..parameters.memory import expect_room, pass_bytes
from ..vae import VAE

# Rows in one evaluation batch or group: enough for fast matrix products, small enough to bound memory.
BATCH = 500

# Rows that are binarised together. Pixels are a function of this, and not of the batches, so it stays as it is.
PAGE = 500

# A latent is active if its posterior mean varies: Cov_x(E[u]) above this, Burda et al. (arXiv:1509.00519), section 5.2.
ACTIVE = 0.01


@dataclass(frozen=True)
class Evaluation:
    """Averages over a data set, in nats per example. `loss` is the model's objective, nll + beta * kl for "elbo"
    without free bits, which are counted in the evaluation's own batches of 500 rows of z; the ELBO is -(nll + kl).

    kl_per_latent (latent,) adds up to kl; mean_variance (latent,) is the variance over the data of each posterior mean.
    """

    loss: float
    nll: float
    kl: float
    kl_per_latent: np.ndarray
    mean_variance: np.ndarray

    @property
    def active(self) -> np.ndarray:
        """Which latents are active, (latent,) bool."""
        return self.mean_variance > ACTIVE

    @property
    def active_units(self) -> int:
        return int(self.active.sum())

    def __repr__(self) -> str:
        active = f"{self.active_units} of {len(self.active)} active"
        return f"Evaluation(loss={self.loss:.6g}, nll={self.nll:.6g}, kl={self.kl:.6g}, {active})"


def bits_per_dimension(model: VAE, nll: float, kl: float) -> float | None:
    """(nll + kl) / (features * log 2), what a byte of the data costs at most; None where nll is not that of bytes."""
    return (nll + kl) / (model.features * float(np.log(2))) if getattr(model.likelihood, "of_bytes", False) else None


class Evaluator:
    """Evaluates a model on one data set again and again, with buffers kept in between.

    Parameters
    ----------
    data : as `fit` takes it; bytes and floats stay as they are and are turned into the model's floats batch by batch
    pixels : "grey", "threshold" or "dynamic", how a value becomes an input (see `kernels.naive.gather`); the images of
        a draw are those of `runs.folder.unit_values`, whatever the model and its number of draws of z
    team : a `Team` whose ranks share the batches out; all have the same `Evaluation`, whatever their number
    """

    def __init__(self, model: VAE, data: ArrayLike, *, pixels: str = "grey", seed: int = 0, team: Any = None) -> None:
        backend, data = model.backend, model.as_data("data", data, pixels)
        self.model, self.n, self._team = model, len(data), team
        self._clock = backend.zeros((1,), "int64")
        self._tally = Tally(model, self._clock)
        self._rows = max(1, BATCH // model.draws)
        if backend.on_host:
            several = model.draws > 1
            name, got = ("samples", model.draws) if several else ("model", f"{model.store.flat.size:,} parameters")
            expect_room(name, got, pass_bytes(model, min(self._rows, self.n)))
        self._pixels, self._seed = pixels, expect_seed(seed)
        page = PAGE if pixels == "dynamic" else self._rows
        self._pages = Pages(backend, data, model.dtype, pixels, seed, page)
        self._unseen = data if is_sampled(data) else None  # values that nobody has looked at yet
        self._batches = sum(-(-min(page, self.n - first) // self._rows) for first in range(0, self.n, page))
        self._batches_of_page = -(-page // self._rows)
        self._buffers = RowBuffers(backend, model.dtype)

    def __repr__(self) -> str:
        return f"Evaluator({self.model}, {self.n} rows, pixels={self._pixels!r}, seed={self._seed})"

    def __call__(self, draw: int = 0) -> Evaluation:
        """The `Evaluation` on one noise draw per example; `draw` = 0, 1, ... chooses independent draws (and
        binarisations).
        """
        model, backend, team = self.model, self.model.backend, self._team
        model.settle(training=False)
        rank, ranks = (0, 1) if team is None else (team.rank, team.size)
        latent, released = model.latent, mapped.Pages(self._unseen)
        sums = np.zeros((self._batches, 13 + 3 * latent))  # of the losses, KL by latent; moments of mu
        for first, page in self._pages(draw, rank, ranks):
            if self._unseen is not None:
                rows = np.array(self._unseen[first : first + page.shape[0]])  # of what is not mapped all is looked at
                model.check_values(f"data[{first}:{first + len(rows)}]", rows, self._pixels)
                released.touched(1, rows.nbytes)
            for start in range(0, page.shape[0], self._rows):
                batch = self._batches_of_page * (first // self._pages.rows) + start // self._rows
                backend.assign(self._clock, draw * self._batches + batch)
                self._tally.reset()
                kl = self._batch(page[start : start + self._rows])
                mu = backend.to_host(model.head)[:, :latent].astype(np.float64)
                found = self._tally.capture().ravel(), backend.to_host(kl).sum(axis=0, dtype=np.float64)
                sums[batch] = np.concatenate([*found, [len(mu)], mu.mean(axis=0), len(mu) * mu.var(axis=0)])
        if ranks > 1:
            sums = team.merge(sums)
        terms, kl_per_latent, moments = np.split(sums, [12, 12 + latent], axis=1)
        totals = terms.cumsum(axis=0)[-1]  # one batch after another, whoever had them
        totals[[3, 9]] = terms[-1, [3, 9]]
        self._tally.restore(totals.reshape(2, 6))
        read = self._tally.read()
        kl_per_latent = kl_per_latent.cumsum(axis=0)[-1] / self.n
        return Evaluation(read.loss, read.nll, read.kl, kl_per_latent, variance(moments))

    def _batch(self, x):
        model, backend = self.model, self.model.backend
        noise = self._buffers("noise", x.shape[0] * model.draws, model.latent)
        backend.standard_normal(self._seed, philox.EVALUATION, self._clock, noise)
        nll, kl = model.pass_down(x, noise)
        self._tally.add(nll, kl)
        return kl


def variance(moments):
    """The variance (latent,) of rows in several batches, each with its number of rows, their mean and the sum of their
    squared deviations from it (Chan, Golub and LeVeque, 1979).
    """
    count, mean, squares = 0.0, 0.0, 0.0
    for own, *rest in moments:
        own_mean, own_squares = np.split(np.array(rest), 2)
        apart, total = own_mean - mean, count + own
        squares = squares + own_squares + apart**2 * (count * own / total)
        mean, count = mean + apart * (own / total), total
    return squares / count


class Pages:
    """Held-out data (n, features) as a model sees it, some rows at a time: in memory that the next page overwrites.

    With pages of PAGE rows the binarised value of row r, feature f is a function of (seed, draw, r, f) alone.
    """

    def __init__(self, backend, data, dtype, pixels="grey", seed=0, rows=PAGE):
        self._backend, self._pixels, self._seed, self.rows = backend, pixels, expect_seed(seed), rows
        data = backend.from_host(data)
        self._pages = [data[first : first + rows] for first in range(0, data.shape[0], rows)]
        self._order = backend.from_host(np.arange(rows))
        self._clock = backend.zeros((1,), "int64")
        self._buffers = RowBuffers(backend, dtype)

    def __call__(self, draw=0, first=0, step=1):
        """Iterator over (first row, x (rows, features) on the backend) of page `first` and each `step` pages later."""
        draw = expect_integer("draw", draw, 0)
        expect(draw < 1 << 31, "draw", draw, "a number below 2^31")
        return (self._page(draw, number) for number in range(first, len(self._pages), step))

    def _page(self, draw, number):
        backend, data = self._backend, self._pages[number]
        rows, features = data.shape
        x = self._buffers("x", rows, features)
        backend.assign(self._clock, draw << 32 | number)
        stream = philox.EVALUATION_PIXELS
        backend.gather(data, self._order[:rows], self._clock, rows, self._pixels, self._seed, stream, x)
        return number * self.rows, x
