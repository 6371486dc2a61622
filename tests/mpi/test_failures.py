"""A rank that fails ends the job, or what it met is met by all; no process is left waiting."""

import threading
from pathlib import Path

import pytest

from .launch import needs_mpi, started

SCRIPT = Path(__file__).with_name("failing.py")
SOON = 10  # seconds: many times what it takes

# What the last rank does, and what standard error then says.
ENDS = {
    "raises": "RuntimeError: planted",
    "early": "RuntimeError: planted",
    "on_epoch": "KeyboardInterrupt",
    "diverges": "TrainingDiverged: planted",
    "killed": "",
    "leaves": "rank 1 has ended, and rank 0 waits for it",
    "nan": "the first value that was not finite is in the output of encoder.0",
    "differs": "epochs: got 2000 on rank 0 and 3 on rank 1, expected the same on all ranks",
}
STOPS = ("terminated", "interrupted")


def run(kind):
    """(status, standard output, standard error) of a job that ends soon after the failure."""
    with started(2, SCRIPT, kind) as process:
        said = []  # what ranks write may come in another order
        while not any("now" in line for line in said):
            said.append(process.stdout.readline())
            assert said[-1], process.stderr.read()
        late = threading.Timer(SOON, process.terminate)
        late.start()
        out, error = "".join(said) + process.stdout.read(), process.stderr.read()
        process.wait()
        assert late.is_alive(), f"the job hung: {out} {error}"
        late.cancel()
    return process.returncode, out, error


@needs_mpi
@pytest.mark.parametrize("kind", ENDS)
def test_a_rank_that_fails_ends_the_job(kind):
    status, out, error = run(kind)
    assert status
    assert "completed" not in out
    assert ENDS[kind] in error


@needs_mpi
@pytest.mark.parametrize("kind", STOPS)
def test_a_signal_to_one_rank_stops_all_after_the_same_step(kind):
    status, out, error = run(kind)
    assert (status, sorted(out.split("\n"))) == (0, ["", "now", "rank 0: interrupted", "rank 1: interrupted"]), error
