"""What the ranks of a team must have in common, compared where a training begins and at each checkpoint."""

import functools
import hashlib
from pathlib import Path

import numpy as np

from ..errors import sampled


def expect_same_training(team, model, optimizer, beta, good, told, train, validation):
    """ValueError on all ranks, naming what differs: of arguments (`told`, by name), data, model, code, the state `good`
    that training begins with.
    """
    data = {"train": train, "validation": validation}
    told = told | {"beta": _numbers_of(beta), "optimizer": _numbers_of(optimizer)}
    told |= {"its schedule": _numbers_of(optimizer.schedule), "the step of start": good.step}
    told |= {name: value if value is None else sampled(value) for name, value in data.items()} | _of(model)
    told |= {"parameters": good.parameters}
    told |= {f"the moment {name}": moment for name, moment in good.moments.items()}
    for name, value in told.items():
        team.expect_same(name, value)


def kept_by_first(team, model, on_checkpoint):
    """What takes a state of a team: it must be that of all ranks, and the first one keeps it."""

    def save(state):
        history = {name: column for name, column in state.history.items() if name != "examples_per_second"}
        team.expect_same("the model between steps", state.beta, model.beta, model.config, model.precision)
        team.expect_same("the state of training", state.step, state.totals, history, state.parameters)
        team.expect_same("the state of the optimizer", state.updates, *state.moments.values())
        if on_checkpoint is not None and team.rank == 0:
            on_checkpoint(state)

    return save


def _of(model):
    """What must be the same on all ranks of a model besides its parameters, by name."""
    parts = {name: f"{type(part).__module__}.{type(part).__qualname__}" for name, part in model.parts().items()}
    names = {name: array.shape for name, array in model.parameters.items()}
    return {
        "the code of minivae": _code(),
        "backend": model.backend.name,
        **{f"model.{name}": value for name, value in model.config.items()},
        "precision": model.precision,
        "the model's parts": (type(model).__qualname__, parts, names),
    }


@functools.cache
def _code():
    """SHA-256 of the modules of this package, and the version of NumPy."""
    digest, root = hashlib.sha256(np.__version__.encode()), Path(__file__).parents[1]
    for path in sorted([*root.glob("*.py"), *(root / "training").glob("*.py"), *(root / "kernels").rglob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _numbers_of(part):
    """What can be compared of an optimizer or a schedule, whosever it is."""
    own = getattr(part, "wrapped", part)
    values = {**getattr(own, "__dict__", {}), "learning_rate": getattr(own, "learning_rate", None)}
    return type(own).__name__, {name: value for name, value in values.items() if isinstance(value, (int, float, str))}
