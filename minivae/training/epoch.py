"""The steps of one epoch, from its beginning or from a state within it, with checkpoints and a watch on the numbers."""

import math
import time

from ..errors import TrainingDiverged, add_note, expect_integer, expect_positive
from ..files import progress as progress_bar
from .non_finite import first_non_finite_parameter
from .state import TrainingState

STOP, SAVE = range(2)  # the flags of a step: that training is to end after it, that a checkpoint is due


class Due:
    """Says when the next checkpoint is due: after so many steps or so many seconds, each None for never."""

    def __init__(self, steps, seconds):
        self._steps = None if steps is None else expect_integer("checkpoint_steps", steps, 1)
        self._seconds = None if seconds is None else expect_positive("checkpoint_seconds", seconds)
        self.reset()

    def reset(self):
        self._last = time.monotonic()

    def __call__(self, step):
        by_steps = self._steps is not None and step % self._steps == 0
        return by_steps or (self._seconds is not None and time.monotonic() - self._last >= self._seconds)


class Epoch:
    """One epoch of a training.

    Parameters
    ----------
    step : TrainingStep
    number : of the epoch, from 1
    good : the `TrainingState` to begin with and to return to if the numbers go bad
    total : the step at which training ends
    due, save : when to make a checkpoint, and what takes it
    foreign : whether code of the user's runs at checkpoints and between epochs
    """

    def __init__(self, step, number, good, total, due, save, foreign=True):
        self.step, self.number, self.good, self._due, self._save = step, number, good, due, save
        self._total, self._foreign = total, foreign
        begin = good.first + (number - 1) * step.batches
        self._end = begin + step.batches
        self._within = good.step > begin
        self._next = good.step  # how many steps there are after that under way
        step.look(total, foreign)
        step.shuffle(begin // step.batches)
        if self._within:
            step.tally.restore(good.totals)
        self._carried = good.seconds if self._within else 0.0
        self._started = self._now()

    def capture(self):
        """The state now."""
        good = self.good
        return TrainingState.capture(self.step, good.first, good.history, self._seconds(), good.best)

    def run(self, label, progress, interrupt):
        """Makes the steps that are left, up to the end or to where an interrupt is requested.

        Raises TrainingDiverged where the loss or a parameter is not finite, with model and optimizer in the state
        `good`.
        """
        step, backend = self.step, self.step.model.backend
        step.flags = (lambda: interrupt.requested), (lambda: self._due(self._next))
        shown = time.monotonic()
        rows = int(self.good.totals[0, 2]) if self._within else 0
        counted = {"total": step.rows, "initial": rows, "desc": label, "unit": "ex", "unit_scale": True}
        with progress_bar.bar(show=progress, **counted) as bar:
            for number in range(self.good.step, self._end):
                self._next = number + 1
                try:
                    rows = step(number)
                except Exception as error:
                    add_note(error, f"in step {number + 1} of training; the model is in its state after step {number}")
                    raise
                bar.update(rows)
                # on a device, reading the sums waits for it: only as often as a person looks
                look = time.monotonic() - shown > 0.5
                if backend.on_host or look or step.shards > 1:
                    sums = step.tally.read()
                    if sums.bad_step:
                        break
                    if look:
                        shown = time.monotonic()
                        phrase = f"{sums.loss:.1f} loss, {sums.nll:.1f} nll, {sums.kl:.1f} kl"
                        bar.set_postfix_str(phrase, refresh=False)
                if step.raised(STOP):
                    break
                if number + 1 < self._end and step.raised(SAVE):
                    self._check()
                    self.good = self.capture()
                    self._save(self.good)
                    self._due.reset()
                    step.look(self._total, self._foreign)
        self._elapsed = self._seconds()
        self._check()

    def row(self):
        """The epoch's row of the history, without validation."""
        step, optimizer = self.step, self.step.optimizer
        sums = step.tally.read()
        return {
            "epoch": self.number,
            "train_loss": sums.loss,
            "train_nll": sums.nll,
            "train_kl": sums.kl,
            "learning_rate": optimizer.last_rate,
            "beta": step.model.beta,
            "examples_per_second": sums.examples / self._elapsed,
        }

    def _seconds(self):
        return self._carried + self._now() - self._started

    def _now(self):
        """Seconds, of which those that kernels took to be compiled do not count."""
        return time.perf_counter() - self.step.model.backend.seconds_preparing()

    def _check(self):
        step = self.step
        sums = step.tally.read()
        bad_step = sums.bad_step
        bad_parameter = None if bad_step else first_non_finite_parameter(step.model)
        bad_moment = None if bad_step or bad_parameter else step.first_non_finite_moment()
        if not (bad_step or bad_parameter or bad_moment):
            return
        if bad_step:
            if not step.model.backend.on_host:
                # the steps since then have overwritten what the bad one computed
                self.good.restore(step)
                for number in range(self.good.step, bad_step):
                    step(number)
            what = f"the loss became {'NaN' if math.isnan(sums.last) else 'infinite'} at step {bad_step}"
            where = step.first_non_finite() or "the sum of the loss"
        else:
            kind = "a parameter" if bad_parameter else "a moment of the optimizer"
            what, where = f"{kind} became infinite or NaN by step {step.made}", bad_parameter or bad_moment
        self.good.restore(step)
        back = f"step {self.good.step}" if self._within_epoch else f"the end of epoch {self.number - 1}"
        message = (
            f"{what}, in epoch {self.number}; the model is back at {back}; the first value that was not finite is in "
            f"{where}: try a lower learning rate, or clip_norm"
        )
        raise step.team.by_all(TrainingDiverged(message))

    @property
    def _within_epoch(self):
        return not self.good.between_epochs
