"""Running sums of losses, kept where the backend computes."""

from typing import NamedTuple

import numpy as np


class Sums(NamedTuple):
    """Averages over what was added, in nats per example; `bad_step` is 0, or one more than the step where the loss
    stopped being finite, and `last` the loss of the last batch.
    """

    loss: float
    nll: float
    kl: float
    examples: int
    last: float
    bad_step: int


class Tally:
    """Adds up the loss and its parts over batches, inside a recorded step.

    loss is what the model minimises; nll and kl are the two terms of the negative ELBO, which for another objective do
    not add up to the loss.
    """

    def __init__(self, model, clock):
        self._model, self._clock = model, clock
        self.terms = model.backend.zeros((5,), "float64")
        self.losses = self.terms if model.bound is None else model.backend.zeros((5,), "float64")
        self._none = {}

    def reset(self):
        for totals in (self.terms, self.losses):
            self._model.backend.assign(totals, 0.0)

    def add(self, nll, kl):
        """Adds the last pass down of the model, which returned nll and kl."""
        model, backend = self._model, self._model.backend
        backend.accumulate(nll, kl, model.beta, self.terms, self._clock)
        if model.bound is not None:
            loss = model.bound.loss
            n = loss.shape[0]
            if n not in self._none:
                self._none[n] = backend.zeros((n, 1), model.dtype)
            backend.accumulate(loss, self._none[n], 0.0, self.losses, self._clock)

    def capture(self):
        """The sums so far as (2, 5) float64 in host memory: of the terms, and of the losses."""
        return np.stack([self._model.backend.to_host(totals) for totals in (self.terms, self.losses)])

    def restore(self, captured):
        """Puts back what `capture` returned."""
        for totals, values in zip((self.terms, self.losses), captured, strict=True):
            self._model.backend.assign(totals, values)

    def read(self):
        """The `Sums` so far; on a device, waits for it."""
        to_host, model = self._model.backend.to_host, self._model
        nll, kl, n, last, bad = to_host(self.terms).tolist()
        loss = nll + model.beta * kl
        if model.bound is not None:
            loss, _, _, last, bad_loss = to_host(self.losses).tolist()
            bad = min(bad or bad_loss, bad_loss or bad)
        return Sums(loss / n, nll / n, kl / n, int(n), last, int(bad)) if n else Sums(0.0, 0.0, 0.0, 0, 0.0, 0)
