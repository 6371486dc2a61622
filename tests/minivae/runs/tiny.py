"""Short runs by the command line, interrupted in every way, and what it means that two are the same."""

import contextlib
import os
import subprocess
import sys
import time

from benchmarks.kills import contents, differences

TINY = ["--data", "rings", "--size", "600", "--batch-size", "32", "--hidden", "8", "--latent", "2"]
TINY += ["--backend", "numpy", "--no-pictures"]
ENDLESS = [*TINY, "--size", "600000", "--batch-size", "1", "--epochs", "1", "--checkpoint-every", "100"]
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
HANGS = 300  # seconds after which a process hangs; no outcome depends on them


def command(*arguments):
    return [sys.executable, "-m", "minivae", "train", *map(str, arguments)]


@contextlib.contextmanager
def started(*arguments, before=None, **variables):
    """A process that trains, with its output in pipes, once it has called `before`; it ends with the context."""
    with subprocess.Popen(command(*arguments), env=os.environ | variables, preexec_fn=before, **PIPES) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_epoch(process, number):
    """Until the process has printed this epoch's row; the checkpoint of the last but one is then on disk."""
    for line in process.stdout:
        if line.lstrip().startswith(f"{number} "):
            return
    raise AssertionError(f"it ended before epoch {number}: {process.stderr.read()}")


def wait_for_file(process, path):
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def train(*arguments, **variables):
    """(exit status, output, error) of a training that is left alone."""
    with started(*arguments, **variables) as process:
        out, error = process.communicate(timeout=HANGS)
    return process.returncode, out, error


def assert_same_run(folder, other):
    """Bit for bit the same parameters, moments, totals and history."""
    assert_same(*(contents(path / "checkpoint.npz") for path in (folder, other)))


def assert_same_state(one, two, model):
    """Two `TrainingState`s of the model are the same, but for measured times."""
    assert_same(*(entries(state, model) for state in (one, two)))


def assert_same(one, two):
    lines = differences(one, two)
    assert not lines, "\n".join(lines)


def entries(state, model):
    """All of a state but for measured times: a dict of arrays, each under its name, and other values."""
    found = {name: getattr(state, name) for name in ("first", "step", "batches", "totals", "finished")}
    found |= {"stopped": state.history.stopped, "best epoch": state.best and state.best[0]}
    flats = {"parameter": state.parameters} | state.moments | ({"best": state.best[1]} if state.best else {})
    for group, flat in flats.items():
        found[group] = flat  # the gaps between the arrays too
        found |= {f"{group}/{name}": view for name, view in model.store.views(flat).items()}
    for name, column in state.history.items():
        if name != "examples_per_second":
            found |= {f"history/{name}[{epoch}]": value for epoch, value in enumerate(column)}
    return found
