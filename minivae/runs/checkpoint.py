"""A model and the state of its training in one file (see `files.stored`), which adds to the description and parameters:

moment MOMENT/NAME the optimizer's
totals             the running totals of the epoch under way
history/COLUMN     one entry for each finished epoch
best/NAME          the parameters with the lowest validation loss, under early stopping
last/NAME          where training is over and `parameter` holds the best: those of its last step
"""

import numpy as np

from ..errors import expect_integer
from ..files import stored
from ..files.stored import damage_named, expect_stored
from ..training.state import History, TrainingState
from ..vae import VAE


def save(path, model, state, extra=None):
    """Writes `model`, with its parameters as they are in `state`, and the state to `path`.

    `extra` is a JSON-serialisable dict kept with it. See `stored.write`.
    """
    groups = {"parameter": state.parameters}
    if state.finished:
        groups = {"parameter": state.best[1], "last": state.parameters}
    elif state.best:
        groups["best"] = state.best[1]
    groups |= state.moments
    views = model.store.views
    arrays = {f"{group}/{name}": value for group, flat in groups.items() for name, value in views(flat).items()}
    arrays["totals"] = state.totals
    arrays |= {f"history/{name}": np.array(column) for name, column in state.history.items()}
    training = {
        "first": state.first,
        "step": state.step,
        "batches": state.batches,
        "seconds": state.seconds,
        "stopped": state.history.stopped,
        "moments": sorted(state.moments),
        "best": state.best and state.best[0],
        "finished": state.finished,
    } | ({} if state.updates is None else {"updates": state.updates})
    stored.write(path, model.description(), arrays, extra=extra or {}, training=training)


def load(path, backend="auto", parts=None):
    """(model, description, arrays) from a file that `save` wrote; arguments and ValueError as in `VAE.load`."""
    description, arrays = stored.read(path)
    return VAE.from_stored(path, description, arrays, backend, parts), description, arrays


def load_state(path, backend="auto", parts=None):
    """(model, state, extra) from a file that `save` wrote with a state; ValueError as from `load`."""
    description, arrays = stored.read(path)
    return from_stored(path, description, arrays, backend, parts)


def from_stored(path, description, arrays, backend="auto", parts=None):
    """(model, state, extra) from what `stored.read` gave for the file `path`; ValueError as from `load_state`."""
    model = VAE.from_stored(path, description, arrays, backend, parts)
    if "training" not in description:
        raise ValueError(f"{path}: holds a model and no state of its training")
    with damage_named(path, "the state of training is damaged"):
        state = _state(description["training"], arrays, model)
    return model, state, description["extra"]


def _state(training, arrays, model):
    for key in ("first", "step", "batches"):
        expect_integer(key, training[key], 0)
    history = History({name[8:]: value.tolist() for name, value in arrays.items() if name.startswith("history/")})
    if history:
        history.setdefault("beta", [model.beta] * history.epochs)  # version 0.1.0 had no such column
    history.stopped = str(training["stopped"])
    if len({history.epochs, *map(len, history.values())}) > 1:
        raise ValueError("columns of the history differ in length")
    finished, best = bool(training["finished"]), training["best"]
    if best is not None:
        expect_integer("best", best, 1)
        best = best, _flat(arrays, "parameter" if finished else "best", model)
    return TrainingState(
        training["first"],
        training["step"],
        training["batches"],
        _flat(arrays, "last" if finished else "parameter", model),
        {str(moment): _flat(arrays, moment, model) for moment in training["moments"]},
        _totals(arrays, model),
        float(training["seconds"]),
        history,
        best,
        finished,
        training.get("updates"),
        model.beta,
    )


def _totals(arrays, model):
    """The running totals (2, 6). At first (2, 5) were stored, without the sums of the losses: of the terms with a
    constant beta, and of a bound, or of the terms once more.
    """
    if arrays.get("totals", np.zeros(0)).shape != (2, 5):
        expect_stored(arrays, "totals", (2, 6), "float64")
        return arrays["totals"]
    expect_stored(arrays, "totals", (2, 5), "float64")
    terms, losses = arrays["totals"]
    losses = np.zeros(5) if model.bound is None else losses
    return np.array([[*terms, terms[0] + model.beta * terms[1]], [*losses, losses[0]]])


def _flat(arrays, group, model):
    """The arrays of a group in one buffer of the model's layout."""
    flat = np.zeros(model.store.flat.shape, model.dtype)
    for name, view in model.store.views(flat).items():
        expect_stored(arrays, f"{group}/{name}", view.shape, model.dtype)
        view[...] = arrays[f"{group}/{name}"]
    return flat
