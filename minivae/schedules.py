"""Learning rates as functions of the step. A schedule is a callable: step (0, 1, ...) -> rate."""

import math
from dataclasses import dataclass

from .errors import expect, expect_integer, expect_number, expect_positive


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


# Functions of the step and of nothing else, whose values may be computed before they are needed.
SCHEDULES = (Constant, StepDecay, Cosine)
