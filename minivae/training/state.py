"""The state of a training run: all that its future depends on, besides its data and its arguments.

Noise, shuffles and binarisations are functions of the seed and the step, so no generator's state is among it.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import expect


class History(dict):
    """One list for each column, one entry for each epoch; nats per example throughout.

    Columns: epoch, train_loss, train_nll, train_kl (running averages over the epoch's steps), learning_rate and
    beta (of its last step), examples_per_second (without validation), and, with validation data, validation_loss,
    validation_nll, validation_kl, active_units and kl_per_latent (a list for each epoch). All numbers are Python's, so
    that `json.dumps` takes it.

    stopped : "completed", "early", "interrupted", or "on_epoch" where that returned False
    """

    stopped = "completed"

    def add(self, row):
        for column, value in row.items():
            self.setdefault(column, []).append(value)

    @property
    def epochs(self):
        """How many epochs are in it."""
        return len(self.get("epoch", ()))

    def copy(self):
        copied = History({column: list(values) for column, values in self.items()})
        copied.stopped = self.stopped
        return copied

    def __repr__(self):
        last = [f"{column}={self[column][-1]:.6g}" for column in ("train_loss", "validation_loss") if self.get(column)]
        return f"History({', '.join([f'{self.epochs} epochs, {self.stopped}', *last])})"


@dataclass
class TrainingState:
    """A run after `step` updates, in host memory of its own: nothing that training does later changes it.

    Attributes
    ----------
    first : the optimizer's step count when training began; step : its count now
    batches : steps in an epoch
    parameters : (size,) the model's flat buffer; moments : dict from name to (size,), the optimizer's
    totals : (2, 6) float64, running sums of the epoch under way (see `Tally.capture`)
    seconds : training time in that epoch so far
    history : of the epochs that are done
    best : None, or (epoch, parameters) of the lowest validation loss, where early stopping needs it
    finished : whether training is over and the model is left with `best` instead of `parameters`
    """

    first: int
    step: int
    batches: int
    parameters: np.ndarray
    moments: dict
    totals: np.ndarray
    seconds: float
    history: History
    best: tuple | None = None
    finished: bool = False

    @classmethod
    def capture(cls, training_step, first, history, seconds=0.0, best=None):
        model, optimizer = training_step.model, training_step.optimizer
        to_host = model.backend.to_host
        moments = {name: to_host(moment).copy() for name, moment in optimizer.state.items()}
        parameters, totals = to_host(model.store.flat).copy(), training_step.tally.capture()
        step = optimizer.steps
        return cls(first, step, training_step.batches, parameters, moments, totals, seconds, history.copy(), best)

    def restore(self, training_step):
        """Puts everything back but the history; the order of the rows is `TrainingStep.shuffle`'s to make."""
        model, optimizer = training_step.model, training_step.optimizer
        assign = model.backend.assign
        assign(model.store.flat, self.parameters)
        for name, moment in optimizer.state.items():
            assign(moment, self.moments[name])
        assign(optimizer.clock, self.step)
        training_step.tally.restore(self.totals)

    def check(self, training_step, epochs):
        """Raises ValueError unless the state belongs to such a training, before anything changes."""
        model, optimizer = training_step.model, training_step.optimizer
        same = self.parameters.shape == tuple(model.store.flat.shape) and self.parameters.dtype == model.dtype
        expect(same, "start", f"{self.parameters.size} parameters", f"the model's {model.store.flat.shape[0]}")
        expect(set(self.moments) == set(optimizer.moments), "start", sorted(self.moments), "the optimizer's moments")
        expect(self.batches == training_step.batches, "start", f"{self.batches} batches", f"{training_step.batches}")
        done = self.first + self.history.epochs * self.batches
        expect(done <= self.step <= done + self.batches, "start", f"step {self.step}", f"{done} or one of that epoch")
        expect(self.history.epochs <= epochs, "epochs", epochs, f"at least the {self.history.epochs} that are done")
        expect(self.history.stopped != "early", "start", "a run that stopped early", "one that can go on")

    def __repr__(self):
        moments = f"moments {', '.join(self.moments) or 'none'}"
        return f"TrainingState(step {self.step}, {self.parameters.size} parameters, {moments}, {self.history})"

    @property
    def between_epochs(self):
        """Whether no epoch is under way."""
        return self.step == self.first + self.history.epochs * self.batches

    @property
    def is_best(self):
        """Whether these are the parameters at the end of an epoch with a lower validation loss than all before it."""
        losses = self.history.get("validation_loss")
        if not losses or self.finished or not self.between_epochs:
            return False
        return losses[-1] < min(losses[:-1], default=float("inf"))
