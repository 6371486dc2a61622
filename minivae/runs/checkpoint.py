"""A model and the state of its training in one file (see `files.stored`), which adds to the description and parameters:

moment MOMENT/NAME the optimizer's
totals             the running totals of the epoch under way
history/COLUMN     one entry for each finished epoch
best/NAME          the parameters with the lowest validation loss, under early stopping
last/NAME          where training is over and `parameter` holds the best: those of its last step
"""

import numpy as np

from ..errors import expect, expect_choice, expect_integer, expect_not_negative
from ..files import stored
from ..files.stored import damage_named, expect_stored
from ..training.state import COLUMNS, HELD_OUT, STOPPED, History, TrainingState
from ..vae import VAE

MOST_STEPS = 1 << 53


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
    training |= {} if state.shards == 1 else {"shards": state.shards}
    stored.write(path, model.description(), arrays, extra=extra or {}, training=training)


def load_state(path, backend="auto", parts=None):
    """(model, state, extra) from a file that `save` wrote with a state; arguments and ValueError as in `VAE.load`."""
    return from_stored(path, *stored.read(path), backend, parts)


def from_stored(path, description, arrays, backend="auto", parts=None):
    """(model, state, extra) from what `stored.read` gave for the file `path`; ValueError as from `load_state`."""
    model = VAE.from_stored(path, description, arrays, backend, parts)
    if "training" not in description:
        raise ValueError(f"{path}: holds a model and no state of its training")
    with damage_named(path, "the state of training is damaged"):
        state = _state(path, description["training"], arrays, model)
    return model, state, description["extra"]


def _state(path, training, arrays, model):
    numbers = {key: expect_integer(key, training[key], 0) for key in ("first", "step", "batches")}
    history, finished, best = _history(arrays, model), training["finished"], training["best"]
    updates, moments, stopped = training.get("updates"), training["moments"], training["stopped"]
    if updates is not None:
        numbers["updates"] = expect_integer("updates", updates, 0)
    for key, number in numbers.items():
        expect(number < MOST_STEPS, key, number, "a number of steps that can be made")
    expect_not_negative("seconds", training["seconds"])
    expect_choice("stopped", stopped, STOPPED)
    expect_choice("finished", finished, (False, True))
    distinct = isinstance(moments, list) and len(set(moments)) == len(moments)
    expect(distinct and all(isinstance(name, str) for name in moments), "moments", moments, "a list of their names")
    history.stopped = stopped
    if best is not None:
        expect(expect_integer("best", best, 1) <= history.epochs, "best", best, "an epoch that is done")
        best = best, _flat(arrays, "parameter" if finished else "best", model)
    expect(best or not finished, "finished", finished, "the epoch with the best parameters with it")
    return TrainingState(
        training["first"],
        training["step"],
        training["batches"],
        _flat(arrays, "last" if finished else "parameter", model),
        {moment: _flat(arrays, moment, model) for moment in moments},
        _totals(arrays, model),
        float(training["seconds"]),
        history,
        best,
        finished,
        updates,
        model.beta,
        str(path),
        expect_integer("shards", training.get("shards", 1), 1),
    )


def _history(arrays, model):
    """The epochs that are done: columns of those names that training gives them, and of their kinds."""
    columns = {name.removeprefix("history/"): array for name, array in arrays.items() if name.startswith("history/")}
    if not columns:
        return History()
    epochs = len(columns.get("epoch", ()))
    columns.setdefault("beta", np.full(epochs, model.beta))  # version 0.1.0 had no such column
    known = set(COLUMNS) | (set(HELD_OUT) if columns.keys() & set(HELD_OUT) else set())
    if other := sorted(columns.keys() ^ known):
        expect(False, "history", f"{'a' if other[0] in columns else 'no'} column {other[0]:.40}", "those of a training")
    for name, array in columns.items():
        kind = "iu" if name in ("epoch", "active_units") else "f"
        shape = (epochs, model.latent) if name == "kl_per_latent" else (epochs,)
        right = array.dtype.kind in kind and array.shape == shape
        expect(right, f"history/{name}", array, f"numbers of shape {shape}, a row for each epoch")
    expect((columns["epoch"] == np.arange(1, epochs + 1)).all(), "history/epoch", "other numbers", f"1 to {epochs}")
    finite = np.isfinite([columns[f"train_{term}"] for term in ("loss", "nll", "kl")]).all()
    expect(finite, "history", "a training loss that is not finite", "finite numbers")
    return History({name: array.tolist() for name, array in columns.items()})


def _totals(arrays, model):
    """The running totals (2, 6). At first (2, 5) were stored, without the sums of the losses: of the terms with a
    constant beta, and of a bound, or of the terms once more.
    """
    width = 5 if arrays.get("totals", np.zeros(0)).shape == (2, 5) else 6
    expect_stored(arrays, "totals", (2, width), "float64")
    totals = arrays["totals"]
    good = np.isfinite(totals).all() and (totals[:, 2] >= 0).all() and not totals[:, 4].any()
    expect(good, "totals", "numbers that are no sums of a good epoch", "finite ones, and no bad step")
    if width == 6:
        return totals
    terms, losses = totals
    losses = np.zeros(5) if model.bound is None else losses
    return np.array([[*terms, terms[0] + model.beta * terms[1]], [*losses, losses[0]]])


def _flat(arrays, group, model):
    """The arrays of a group in one buffer of the model's layout."""
    flat = np.zeros(model.store.flat.shape, model.dtype)
    for name, view in model.store.views(flat).items():
        expect_stored(arrays, f"{group}/{name}", view.shape, model.dtype)
        view[...] = arrays[f"{group}/{name}"]
        expect(np.isfinite(view).all(), f"{group}/{name}", "numbers that are not finite", "finite ones")
    return flat
