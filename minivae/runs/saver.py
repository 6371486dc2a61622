"""Checkpoints of a run, written while training goes on."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ..files import stored
from ..files.atomic import link
from . import checkpoint, folder


class Saver:
    """Writes states into a run folder from a thread of its own, at most one behind.

    checkpoint.npz is the newest, checkpoint-STEP.npz are the `keep` - 1 before it, best.npz is the model with the
    lowest validation loss. An error of a write is raised by the next call, or on leaving the context.

    Only whole checkpoints are kept and counted. Damaged ones stay where they are until a new one is on the disk, and
    the file that training went on from is never given up for one of them.

    Parameters
    ----------
    path : of the run folder
    config : as JSON, kept in each checkpoint, so that a checkpoint alone is enough to go on
    whole : dict from the names of the checkpoints that are there and whole to their steps, newest first
    """

    def __init__(self, path, model, config, keep, whole=None):
        self._path, self._model, self._config, self._keep = path, model, config, keep
        self._earlier = [name for name in whole or {} if name != folder.CHECKPOINT]
        self._step = (whole or {}).get(folder.CHECKPOINT)  # of a checkpoint.npz that is known to be whole, or None
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._write = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self._wait()
        finally:
            self._thread.shutdown()

    def __call__(self, state):
        self._wait()
        self._write = self._thread.submit(self._save, state)

    def _wait(self):
        if self._write:
            write, self._write = self._write, None
            write.result()

    def _save(self, state):
        newest, extra = self._path / folder.CHECKPOINT, {"config": self._config}
        if state.is_best:
            # before the checkpoint: a run that goes on from an older one comes past here again
            _save_best(self._path, self._model, state, extra)
        if self._keep > 1 and self._step not in (None, state.step):
            earlier = folder.EARLIER.format(self._step)
            if earlier not in self._earlier:
                link(newest, self._path / earlier)
                self._earlier.insert(0, earlier)
        checkpoint.save(newest, self._model, state, extra)
        if self._step is None and self._earlier:
            stored.read(newest)  # this disk has damaged a file: what is left is given up only for one that can be read
        self._step = state.step
        del self._earlier[self._keep - 1 :]
        for path in folder.earlier_checkpoints(self._path):
            if path.name not in self._earlier:
                path.unlink(missing_ok=True)


def _save_best(path, model, state, extra):
    checkpoint.save(path / folder.BEST, model, replace(state, moments={}, best=None), extra)


def restore_best(path, choice, say):
    """Writes best.npz again where it is not whole and a checkpoint of the same moment is there."""
    if choice.best is None or choice.best.whole:
        return
    losses = choice.history.get("validation_loss", [])
    for name in choice.whole if losses else ():
        model, state, extra = checkpoint.load_state(path / name, "numpy")
        if state.is_best and state.history.epochs == losses.index(min(losses)) + 1:
            _save_best(path, model, state, extra)
            say(f"{folder.BEST} is written again from {name}; it was {choice.best.kind}: {choice.best.about}")
            return
    say(f"{choice.best}; no checkpoint holds it, an epoch with a lower validation loss will replace it")
