"""Learning rates, and the weight beta of the KL, as functions of the step.

A schedule is a callable: step (0, 1, ...) -> rate, or beta. One that also has a method `observe(history)` is shown the
`History` before each epoch, and may follow it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .errors import expect, expect_integer, expect_not_negative, expect_number, expect_positive


def _set(schedule, **checked):
    """Puts numbers that were checked into a schedule that is being made."""
    vars(schedule).update(checked)


@dataclass(frozen=True)
class Constant:
    """The same rate at every step."""

    rate: float

    def __post_init__(self) -> None:
        _set(self, rate=expect_positive("learning_rate", self.rate))

    def __call__(self, step: int) -> float:
        return self.rate


@dataclass(frozen=True)
class StepDecay:
    """rate * factor^(step // every)."""

    rate: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        every, factor = expect_integer("every", self.every, 1), expect_positive("factor", self.factor)
        _set(self, rate=expect_positive("learning_rate", self.rate), every=every, factor=factor)

    def __call__(self, step: int) -> float:
        return self.rate * self.factor ** (step // self.every)


@dataclass(frozen=True)
class Cosine:
    """Linear warm-up over `warmup` steps, then half a cosine from rate to rate * floor at step `total`, constant
    after it.

    For step >= warmup and p = min((step - warmup) / (total - warmup), 1): rate * (floor + (1 - floor) * (1 + cos(pi
    p)) / 2). Source: Loshchilov and Hutter, "SGDR" (arXiv:1608.03983), equation 5, without restarts.
    """

    rate: float
    total: int
    warmup: int = 0
    floor: float = 0.0

    def __post_init__(self) -> None:
        total, warmup = expect_integer("total", self.total, 1), expect_integer("warmup", self.warmup, 0)
        expect(warmup < total, "warmup", warmup, f"fewer steps than the total, {total}")
        floor = expect_number("floor", self.floor, lambda floor: 0 <= floor <= 1, "a number in [0, 1]")
        _set(self, rate=expect_positive("learning_rate", self.rate), total=total, warmup=warmup, floor=floor)

    def __call__(self, step: int) -> float:
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        progress = min((step - self.warmup) / (self.total - self.warmup), 1.0)
        return self.rate * (self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * progress)))


@dataclass(frozen=True)
class Warmup:
    """value * min(step / steps, 1): beta from 0 at step 0, where the KL does not count yet, to `value` at step `steps`.

    Source: KL annealing, Bowman et al. (arXiv:1511.06349), section 3.1; linear as in the ladder variational autoencoder
    (arXiv:1602.02282).
    """

    steps: int
    value: float = 1.0

    def __post_init__(self) -> None:
        _set(self, steps=expect_integer("steps", self.steps, 1), value=expect_positive("value", self.value))

    def __call__(self, step: int) -> float:
        return self.value * min(step / self.steps, 1.0)


@dataclass(frozen=True)
class Cyclical:
    """value * min(p / ramp, 1) with p = (step mod period) / period: in each period beta rises linearly from 0 to
    `value` over the share `ramp`, then stays; the next period begins with 0 again.

    Source: Fu et al., "Cyclical annealing schedule" (arXiv:1903.10145), equation 6, there with R for `ramp`.
    """

    period: int
    value: float = 1.0
    ramp: float = 0.5

    def __post_init__(self) -> None:
        ramp = expect_positive("ramp", self.ramp)
        expect(ramp <= 1, "ramp", ramp, "a share of the period, above 0 and at most 1")
        period, value = expect_integer("period", self.period, 1), expect_positive("value", self.value)
        _set(self, period=period, value=value, ramp=ramp)

    def __call__(self, step: int) -> float:
        return self.value * min(step % self.period / self.period / self.ramp, 1.0)


@dataclass(frozen=True)
class Plateau:
    """rate * max(factor^cuts, floor), where `cuts` counts how often the loss came to a plateau: `patience` epochs in a
    row, counted anew after each cut, that were not lower by more than `threshold` nats than the best before them.

    The loss is the validation loss, without validation the training loss. `cuts` is a function of the whole history
    that was last shown, so a training that goes on from a checkpoint has the same rates.
    """

    rate: float
    factor: float = 0.1
    patience: int = 5
    threshold: float = 0.0
    floor: float = 0.0
    cuts: int = field(default=0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rate, factor = expect_positive("learning_rate", self.rate), expect_positive("factor", self.factor)
        expect(factor < 1, "factor", factor, "a number above 0 and below 1")
        patience, threshold = (
            expect_integer("patience", self.patience, 1),
            expect_not_negative("threshold", self.threshold),
        )
        floor = expect_number("floor", self.floor, lambda value: 0 <= value <= 1, "a number in [0, 1]")
        _set(self, rate=rate, factor=factor, patience=patience, threshold=threshold, floor=floor)

    def observe(self, history: Mapping[str, Sequence[float]]) -> None:
        """Counts the plateaus in the epochs of this history, all of them."""
        best, waited, cuts = math.inf, 0, 0
        for loss in history.get("validation_loss", history.get("train_loss", ())):
            waited += 1
            if loss < best - self.threshold:
                best, waited = loss, 0
            elif waited == self.patience:
                waited, cuts = 0, cuts + 1
        _set(self, cuts=cuts)

    def __call__(self, step: int) -> float:
        return self.rate * max(self.factor**self.cuts, self.floor)


# Functions of the step, and where they are shown it of the history, whose values may be computed beforehand.
SCHEDULES = (Constant, StepDecay, Cosine, Warmup, Cyclical, Plateau)
