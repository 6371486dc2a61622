"""Running sums of losses, kept where the backend computes."""

from typing import NamedTuple

SIZE = 5  # of one set of totals, see `kernels.naive.accumulate`


class Sums(NamedTuple):
    """Averages over what was added, in nats per example, and the loss of the last batch."""

    loss: float
    nll: float
    kl: float
    examples: int
    last: float


class Tally:
    """Adds up the loss and its parts over batches, inside a recorded step.

    loss is what the model minimises; nll and kl are the two terms of the negative ELBO, which for another objective do
    not add up to the loss.

    Attributes
    ----------
    totals : the totals of `accumulate` for the loss, and after them, for an objective other than "elbo", those of nll
        and kl. totals[3] is the loss of the last batch, totals[4] tells of one that was not finite.
    """

    def __init__(self, model, clock):
        self._model, self._clock = model, clock
        self.totals = model.backend.zeros((tally_size(model),), "float64")
        self._losses, self._terms = self.totals[:SIZE], self.totals[-SIZE:]
        self._none = {}

    def reset(self):
        self._model.backend.assign(self.totals, 0.0)

    def add(self, nll, kl):
        """Adds the last pass down of the model, which returned nll and kl."""
        model, backend = self._model, self._model.backend
        backend.accumulate(nll, kl, model.beta, self._terms, self._clock)
        if model.bound is not None:
            loss = model.bound.loss
            n = loss.shape[0]
            if n not in self._none:
                self._none[n] = backend.zeros((n, 1), model.dtype)
            backend.accumulate(loss, self._none[n], 0.0, self._losses, self._clock)

    def read(self):
        """The `Sums` so far; on a device, waits for it."""
        model = self._model
        totals = model.backend.to_host(self.totals).tolist()
        nll, kl, n, _, _ = totals[-SIZE:]
        loss = nll + model.beta * kl if model.bound is None else totals[0]
        return Sums(loss / n, nll / n, kl / n, int(n), totals[3])


def tally_size(model):
    """The length of `Tally.totals` for this model."""
    return SIZE if model.bound is None else 2 * SIZE
