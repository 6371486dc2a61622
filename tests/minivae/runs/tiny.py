"""Short runs by the command line, interrupted in every way, and what it means that two are the same."""

import os
import subprocess
import sys

import numpy as np

from minivae.files import stored

TINY = ["--data", "rings", "--size", "600", "--batch-size", "32", "--hidden", "8", "--latent", "2"]
TINY += ["--backend", "numpy", "--no-pictures"]


def command(*arguments):
    return [sys.executable, "-m", "minivae", "train", *map(str, arguments)]


def start(*arguments, **variables):
    """A process that trains, with its output in pipes."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command(*arguments), env=os.environ | variables, **pipes)


def train(*arguments, **variables):
    """(exit status, output, error) of a training that is left alone."""
    process = start(*arguments, **variables)
    out, error = process.communicate(timeout=120)
    return process.returncode, out, error


def contents(path):
    """All that a checkpoint holds, but for the times that were measured: a dict of bytes and numbers."""
    description, arrays = stored.read(path)
    training = {key: value for key, value in description["training"].items() if key != "seconds"}
    timed = ("history/examples_per_second",)
    return training | {name: array.tobytes() for name, array in arrays.items() if name not in timed}


def assert_same_run(folder, other):
    """Bit for bit the same parameters, moments, totals and history."""
    one, two = contents(folder / "checkpoint.npz"), contents(other / "checkpoint.npz")
    assert one.keys() == two.keys()
    assert [key for key in one if one[key] != two[key]] == []


def same_state(one, two):
    """Whether two `TrainingState`s are the same but for measured times."""
    history = [{key: value for key, value in state.history.items() if "second" not in key} for state in (one, two)]
    arrays = [[state.parameters, *state.moments.values(), state.totals] for state in (one, two)]
    return (
        one.step == two.step
        and one.moments.keys() == two.moments.keys()
        and all(np.array_equal(a, b) for a, b in zip(*arrays, strict=True))
        and repr(history[0]) == repr(history[1])
    )
