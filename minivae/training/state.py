"""The state of a training run: all that its future depends on, besides its data and its arguments.

Noise, shuffles and binarisations are functions of the seed and the step, so no generator's state is among it.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import expect
from . import showing

COLUMNS = ("epoch", "train_loss", "train_nll", "train_kl", "learning_rate", "beta", "examples_per_second")
# With validation data there are these as well.
HELD_OUT = ("validation_loss", "validation_nll", "validation_kl", "active_units", "kl_per_latent")
STOPPED = ("completed", "early", "interrupted", "on_epoch")


class History(dict):
    """One list for each column, one entry for each epoch; nats per example throughout.

    Columns: epoch, train_loss, train_nll, train_kl (running averages over the epoch's steps), learning_rate and
    beta (of its last step), examples_per_second (without validation, and without compiling kernels), and, with
    validation data, validation_loss, validation_nll, validation_kl, active_units and kl_per_latent (a list for each
    epoch). All numbers are Python's, so that `json.dumps` takes it.

    stopped : "completed", "early", "interrupted", or "on_epoch" where that returned False
    """

    stopped = "completed"

    def add(self, row):
        """An epoch's entry: a dict from column to value."""
        for column, value in row.items():
            self.setdefault(column, []).append(value)

    @property
    def epochs(self):
        """How many epochs are in it."""
        return len(self.get("epoch", ()))

    def copy(self):
        """One whose lists are its own."""
        copied = History({column: list(values) for column, values in self.items()})
        copied.stopped = self.stopped
        return copied

    def __repr__(self):
        last = [f"{column}={self[column][-1]:.6g}" for column in ("train_loss", "validation_loss") if self.get(column)]
        return f"History({', '.join([f'{self.epochs} epochs, {self.stopped}', *last])})"

    def _repr_html_(self):
        return showing.page(self)


@dataclass
class TrainingState:
    """A run after `step` updates, in host memory of its own: nothing that training does later changes it.

    Attributes
    ----------
    first : the number of the first step; step : that of the one to come
    batches : steps in an epoch
    parameters : (size,) the model's flat buffer; moments : dict from name to (size,), the optimizer's
    totals : (2, 6) float64, running sums of the epoch under way (see `Tally.capture`)
    seconds : training time in that epoch so far
    history : of the epochs that are done
    best : None, or (epoch, parameters) of the lowest validation loss, where early stopping needs it
    finished : whether training is over and the model is left with `best` instead of `parameters`
    updates : the optimizer's step count; None where it is `step`
    beta : the model's
    source : what messages call the state: the file that it was read from
    shards : in which each batch was cut
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
    updates: int | None = None
    beta: float | None = None
    source: str = "start"
    shards: int = 1

    @classmethod
    def capture(cls, training_step, first, history, seconds=0.0, best=None):
        """That of a `TrainingStep` as it is now, in copies."""
        model, optimizer = training_step.model, training_step.optimizer
        to_host = model.backend.to_host
        moments = {name: to_host(moment).copy() for name, moment in optimizer.state.items()}
        parameters, totals = to_host(model.store.flat).copy(), training_step.tally.capture()
        step, updates = training_step.made, optimizer.steps
        more = {"updates": None if updates == step else updates, "beta": model.beta, "shards": training_step.shards}
        batches, history = training_step.batches, history.copy()
        return cls(first, step, batches, parameters, moments, totals, seconds, history, best, **more)

    def restore(self, training_step):
        """Puts everything back but the history; the order of the rows is `TrainingStep.shuffle`'s to make."""
        model, optimizer = training_step.model, training_step.optimizer
        assign = model.backend.assign
        assign(model.store.flat, self.parameters)
        if not optimizer.state:  # one of the user's own that makes its arrays in its first step
            optimizer.state = {name: moment.copy() for name, moment in self.moments.items()}
        for name, moment in optimizer.state.items():
            assign(moment, self.moments.get(name, 0.0))  # one that was made since begins anew
        assign(optimizer.clock, self.step if self.updates is None else self.updates)
        training_step.made = self.step
        if self.updates is not None or training_step.clock is not optimizer.clock:
            training_step.go_by_another_clock()
        if self.beta is not None:
            model.beta = self.beta
        model.settle()
        training_step.tally.restore(self.totals)

    def check(self, training_step, epochs, held_out):
        """Raises ValueError unless the state belongs to such a training, before anything changes.

        held_out : whether there are validation data
        """
        model, optimizer, name = training_step.model, training_step.optimizer, self.source
        same = self.parameters.shape == tuple(model.store.flat.shape) and self.parameters.dtype == model.dtype
        expect(same, name, f"{self.parameters.size} parameters", f"the model's {model.store.flat.shape[0]}")
        fits = set(self.moments) == set(optimizer.state) or (hasattr(optimizer, "wrapped") and not optimizer.state)
        expect(fits, name, sorted(self.moments), f"the optimizer's moments, {sorted(optimizer.state)}")
        expect(self.batches == training_step.batches, name, f"{self.batches} batches", f"{training_step.batches}")
        expect(self.shards == training_step.shards, name, f"{self.shards} shards", f"{training_step.shards} (shards)")
        done = self.first + self.history.epochs * self.batches
        expect(done <= self.step <= done + self.batches, name, f"step {self.step}", f"{done} or one of that epoch")
        expect(self.history.epochs <= epochs, "epochs", epochs, f"at least the {self.history.epochs} that are done")
        validated = not self.history or ("validation_loss" in self.history) == held_out
        expect(validated, name, f"validation data {'now' if held_out else 'before'} only", "them always, or never")
        expect(self.history.stopped != "early", name, "a run that stopped early", "one that can go on")

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
