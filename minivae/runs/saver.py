"""Checkpoints of a run, written while training goes on."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ..files.atomic import replacing
from . import checkpoint, folder


class Saver:
    """Writes states into a run folder from a thread of its own, at most one behind.

    checkpoint.npz is the newest, checkpoint-STEP.npz are the `keep` - 1 before it, best.npz is the model with the
    lowest validation loss. An error of a write is raised by the next call, or on leaving the context.

    Parameters
    ----------
    path : of the run folder
    config : as JSON, kept in each checkpoint, so that a checkpoint alone is enough to go on
    step : of the checkpoint that is there already, or None
    """

    def __init__(self, path, model, config, keep, step=None):
        self._path, self._model, self._config, self._keep, self._step = path, model, config, keep, step
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
            checkpoint.save(self._path / folder.BEST, self._model, replace(state, moments={}, best=None), extra)
        if self._keep > 1 and self._step not in (None, state.step) and newest.exists():
            earlier = self._path / f"checkpoint-{self._step:08d}.npz"
            try:
                earlier.unlink(missing_ok=True)
                os.link(newest, earlier)
            except OSError:  # a file system without links, or a folder that is gone: then this names the file
                with replacing(earlier) as copy, open(newest, "rb") as file:
                    shutil.copyfileobj(file, copy)
        checkpoint.save(newest, self._model, state, extra)
        self._step = state.step
        for path in folder.earlier_checkpoints(self._path)[self._keep - 1 :]:
            path.unlink(missing_ok=True)
