"""A model, and the state of its training if wanted, in one `.npz` file. No pickle: loading runs nothing.

description        JSON: format, version, the model's arguments, the training's numbers, whatever else was given
parameter/NAME     the parameters; moment MOMENT/NAME the optimizer's
totals             the running totals of the epoch under way
history/COLUMN     one entry for each finished epoch
best/NAME          the parameters with the lowest validation loss, under early stopping
last/NAME          where training is over and `parameter` holds the best: those of its last step

The whole file is covered by a checksum (see `archive`). Version 1 had no state of training, and a checksum over its
arrays only; it is still read.
"""

import contextlib
import hashlib
import json

import numpy as np

from . import archive
from .errors import expect_integer
from .state import History, TrainingState

FORMAT = "minivae checkpoint"
VERSION = 2


def save(path, model, state=None, extra=None):
    """Writes `model`, or its parameters as they are in `state`, to `path`.

    The file is written beside its destination, flushed to disk and then renamed over it, so that at every moment
    there is a whole file under that name: the old one or the new one. `extra` is a JSON-serialisable dict kept with
    it.
    """
    description = {"format": FORMAT, "version": VERSION, "model": model.config, "extra": extra or {}}
    views = model.store.views
    if state is None:
        to_host = model.backend.to_host
        arrays = {f"parameter/{name}": to_host(value) for name, value in model.parameters.items()}
    else:
        groups = {"parameter": state.parameters}
        if state.finished:
            groups = {"parameter": state.best[1], "last": state.parameters}
        elif state.best:
            groups["best"] = state.best[1]
        groups |= state.moments
        arrays = {f"{group}/{name}": value for group, flat in groups.items() for name, value in views(flat).items()}
        arrays["totals"] = state.totals
        arrays |= {f"history/{name}": np.array(column) for name, column in state.history.items()}
        description["training"] = {
            "first": state.first,
            "step": state.step,
            "batches": state.batches,
            "seconds": state.seconds,
            "stopped": state.history.stopped,
            "moments": sorted(state.moments),
            "best": state.best and state.best[0],
            "finished": state.finished,
        }
    archive.write(path, {"description": json.dumps(description, indent=1)} | arrays)


def load(path, backend="auto"):
    """(model, description, arrays) from a file that `save` wrote.

    Raises
    ------
    ValueError
        If there is no such file, it is not a checkpoint, is of a newer version, or does not match its checksum.
    """
    from .layers import resolve_backend
    from .vae import VAE, parameter_shapes  # vae.py imports this module for VAE.save

    description, arrays = read(path)
    backend = resolve_backend(backend)
    with _named(path, "the checkpoint describes no model that this version can build"):
        config = description["model"]
        # Before a model is made, so that its description cannot ask for more memory than the file has filled.
        for name, shape in parameter_shapes(**config).items():
            _expect(arrays, f"parameter/{name}", shape, config["dtype"])
        model = VAE(**config, backend=backend)
    for name, value in model.parameters.items():
        model.backend.assign(value, arrays[f"parameter/{name}"])
    return model, description, arrays


@contextlib.contextmanager
def _named(path, complaint):
    """What damaged contents can raise, as a ValueError of one line that names the file."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path}: {complaint} ({error})") from error


def load_state(path, backend="auto"):
    """(model, state, extra) from a file that `save` wrote with a state; ValueError as from `load`."""
    model, description, arrays = load(path, backend)
    if "training" not in description:
        raise ValueError(f"{path}: holds a model and no state of its training")
    with _named(path, "the state of training is damaged"):
        state = _state(description["training"], arrays, model)
    return model, state, description["extra"]


def _state(training, arrays, model):
    for key in ("first", "step", "batches"):
        expect_integer(key, training[key], 0)
    history = History({name[8:]: _column(value) for name, value in arrays.items() if name.startswith("history/")})
    history.stopped = str(training["stopped"])
    if len({history.epochs, *map(len, history.values())}) > 1:
        raise ValueError("columns of the history differ in length")
    _expect(arrays, "totals", (2, 5), "float64")
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
        arrays["totals"],
        float(training["seconds"]),
        history,
        best,
        finished,
    )


def read(path):
    """The description (a dict) and the arrays (a dict) of a checkpoint, its checksum verified."""
    try:
        members, sealed = archive.read(path)
        description = json.loads(members.pop("description"))
        version, known = description["version"], description["format"] == FORMAT
        if not isinstance(description["model"], dict) or not isinstance(description["extra"], dict):
            raise TypeError("its description lacks the model")
    except ValueError as error:
        if "no such file" in str(error):
            raise ValueError(f"{path}: there is no such checkpoint") from None
        raise ValueError(f"{path}: not a minivae checkpoint, or a damaged one ({error})") from error
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: not a minivae checkpoint ({error})") from error
    if not known or version not in (1, VERSION):
        raise ValueError(f"{path}: got checkpoint version {version!r:.80}, expected 1 to {VERSION}")
    if not sealed and (version != 1 or description.get("sha256") != _digest_1(members)):
        raise ValueError(f"{path}: the checksum does not match the contents; the file is damaged")
    if not all(isinstance(array, np.ndarray) for array in members.values()):
        raise ValueError(f"{path}: not a minivae checkpoint (a text besides its description)")
    if version == 1:
        description.pop("training", None)
    return description, members


def _digest_1(arrays):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array)
    return digest.hexdigest()


def _expect(arrays, name, shape, dtype):
    array = arrays.get(name)
    if array is None or array.shape != tuple(shape) or array.dtype.name != dtype:
        came = "nothing" if array is None else f"{array.dtype} {array.shape}"
        raise ValueError(f"{name}: got {came}, expected {dtype!r:.80} {tuple(shape)!r:.80}")


def _flat(arrays, group, model):
    """The arrays of a group in one buffer of the model's layout."""
    flat = np.zeros(model.store.flat.shape, model.dtype)
    for name, view in model.store.views(flat).items():
        _expect(arrays, f"{group}/{name}", view.shape, model.dtype)
        view[...] = arrays[f"{group}/{name}"]
    return flat


def _column(array):
    """A column of the history as the list that training makes."""
    return array.tolist() if array.ndim == 1 else list(array)
