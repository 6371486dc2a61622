"""Steps replayed as one program, where that is proven to be what the step does as it stands.

A recorded step is a list of kernel calls on arrays that stay where they are. Python code, and arithmetic of NumPy's,
would run when it is recorded and never again. So a step is recorded only if each of its parts is exactly one of this
package's own, with its own methods; what is recorded is compared with the step itself, bit for bit, on other data than
it was recorded with; and after each call of the user's code (`on_epoch`, `on_checkpoint`) both are done again: a step
runs as it stands and is compared, call by call, with what was recorded, and the next one bit for bit, because code may
have been edited where it stands. Everything else runs as it stands, step by step.
"""

import inspect
import logging
import operator
import sys
from typing import Any

import numpy as np

from .. import bounds, layers, losses, optim, reparam, schedules, vae

log = logging.getLogger("minivae")


def _methods(cls):
    """All functions and properties of a class by name, with those that it inherits."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__[:-1]):
        found |= {name: f for name, f in vars(base).items() if inspect.isroutine(f) or isinstance(f, property)}
    return found


# The classes of which a step may be made, with the methods that they were written with.
OWN = {
    cls: _methods(cls)
    for module in (vae, layers, reparam, losses, bounds, optim, schedules)
    for cls in vars(module).values()
    if isinstance(cls, type) and cls.__module__ == module.__name__
}


def foreign(name, part):
    """A phrase that says why a part cannot be replayed, or None."""
    cls = type(part)
    if cls not in OWN:
        return f"{name} is a {cls.__name__}, no class of minivae"
    changed = [method for method, f in _methods(cls).items() if OWN[cls].get(method) is not f]
    changed += vars(part).keys() & OWN[cls].keys() if hasattr(part, "__dict__") else []
    return f"{name} has another {changed[0]} than minivae's {cls.__name__}" if changed else None


def overrides(model, *methods):
    """Whether a model has one of these methods from elsewhere than `VAE`."""
    return any(getattr(type(model), name) is not OWN[vae.VAE][name] or name in vars(model) for name in methods)


class Replay:
    """Makes a training step of a number of rows, by replaying it where that is the same.

    Parameters
    ----------
    step : the `TrainingStep`
    run : its function of the number of rows, that makes a step as it stands
    beta : the schedule of beta, or None

    Attributes
    ----------
    steps : how many were made through it; programs : by the number of rows; proven : those that may be run
    reason : why steps are not replayed, or None
    """

    def __init__(self, step, run, beta):
        self._step, self._run, self._beta = step, run, beta
        self.steps, self.reason, self._failed = 0, None, None
        self.programs, self.proven, self._current = {}, {}, set()

    def check(self):
        """Other code has run: looks again at what the step is made of."""
        self._current.clear()
        self.proven.clear()
        reason = self._failed or self._reason()
        if reason != self.reason and reason:
            log.info("training runs each step as it stands, without replaying: %s", reason)
        self.reason = reason

    def _reason(self):
        model, optimizer = self._step.model, self._step.optimizer
        backend = model.backend
        if self._step.clock is not optimizer.clock and not foreign("", optimizer):
            return "the optimizer makes other steps than those of training"
        if sys.gettrace():
            return "a debugger or another tracing function is at work"
        if changed := backend.changed():
            return f"{changed} of the backend was replaced"
        parts = {"the model": model, "the encoder": model.encoder, "the decoder": model.decoder, **model.parts()}
        parts["the optimizer"] = getattr(optimizer, "wrapped", optimizer)
        parts |= {"the schedule": optimizer.schedule, "the tally": self._step.tally}
        parts |= {} if model.bound is None else {"the bound": model.bound}
        parts |= {} if self._beta is None else {"the schedule of beta": self._beta}
        return next(filter(None, (foreign(name, part) for name, part in parts.items())), None)

    def __call__(self, rows):
        if self.reason:
            self._run(rows)
        elif rows in self.proven:
            self.proven[rows]()
        elif rows in self._current:
            self._prove(rows)
        else:
            self._record(rows)
        self.steps += 1

    def _record(self, rows):
        """Makes the step as it stands, and what it called is the program from now on, if it is another one."""
        backend, known = self._step.model.backend, self.programs.get(rows)
        calls = backend.calls_of(lambda: self._run(rows))
        if known is None or not same_calls(known.calls, calls):
            self.programs[rows] = backend.program(calls)
        self._current.add(rows)

    def _prove(self, rows):
        """Makes the step as it stands and once more as its program; where the two differ, the first counts."""
        before = self._state()
        self._run(rows)
        after = self._state()
        self._restore(before)
        self.programs[rows]()
        to_host = self._step.model.backend.to_host
        if all(_same_bits(values, to_host(array)) for values, array in zip(after, self._step.arrays(), strict=True)):
            self.proven[rows] = self.programs[rows]
            return
        self._restore(after)
        self.reason = self._failed = "a replayed step gave other numbers than the step itself"
        log.warning("training runs each step as it stands, without replaying: %s", self.reason)

    def _state(self):
        return [np.array(self._step.model.backend.to_host(array)) for array in self._step.arrays()]

    def _restore(self, state):
        for array, values in zip(self._step.arrays(), state, strict=True):
            self._step.model.backend.assign(array, values)


def _same_bits(a, b):
    return np.array_equal(a.view(f"u{a.itemsize}"), b.view(f"u{b.itemsize}"))


def same_calls(calls, others):
    """Whether two lists of (kernel, arguments) are of the same kernels on the same arrays and equal constants."""
    return len(calls) == len(others) and all(
        name == other and len(a) == len(b) and all(map(_same, a, b))
        for (name, a), (other, b) in zip(calls, others, strict=True)
    )


def _same(a, b):
    return a is b or (type(a) is type(b) and isinstance(a, (int, float, str, bool)) and operator.eq(a, b))
