"""`minivae train` as the ranks of MPI: the same bits for any number of them, one voice, one folder."""

import json
import os
import signal
import sys

import numpy as np
import pytest

from benchmarks.kills import contents
from minivae.command.main import main
from minivae.kernels import available_backends

from .launch import HANGS, digest, launched, needs_mpi, started

pytestmark = needs_mpi
# 300 rows are two whole batches and one of 44, in which of four shards one is cut short and two are empty.
SMALL = ["--pixels", "dynamic", "--batch-size", "128", "--hidden", "7", "--latent", "3", "--clip-norm", "1"]
SMALL += ["--no-pictures", "--epochs", "2", "--backend"]
OBJECTIVES = {"elbo": [], "iwae": ["--objective", "iwae", "--samples", "3"]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("data") / "rows.npz"
    np.savez(path, train=rng.random((300, 20)), test=rng.random((1300, 20)))
    return ["--data", str(path)]


def train(ranks, *arguments, **more):
    """(status, lines, errors) of `minivae train` on so many ranks; errors without what the launcher says."""
    status, out, error = launched(ranks, "-m", "minivae", "train", *arguments, **more)
    assert "Traceback" not in error, error
    return status, out, [line.strip("\0") for line in error.splitlines() if "minivae" in line]


def bits(run):
    """SHA-256 of all parameters, moments, sums and history in a run's checkpoint."""
    found = contents(run / "checkpoint.npz")
    assert {"parameter/encoder.0.weight", "first/encoder.0.weight", "history/validation_loss"} <= found.keys()
    return digest(*(part for name in sorted(found) for part in (name, found[name])))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("backend", ["numpy", *({"cpu"} & set(available_backends()))])
def test_any_number_of_ranks_gives_the_same_bits(data, tmp_path, backend, objective):
    options = [*data, *SMALL, backend, *OBJECTIVES[objective], "--shards", "4", "--out"]
    assert main(["train", *options, str(tmp_path / "alone")]) == 0
    for ranks in (2, 4):
        run = tmp_path / f"ranks-{ranks}"
        status, out, errors = train(ranks, *options, run)
        assert (status, errors) == (0, [])
        assert out.count("loading") == out.count("done in") == 1
        assert len((run / "history.csv").read_text().splitlines()) == 3
        assert bits(run) == bits(tmp_path / "alone")
        assert {path.name for path in run.iterdir()} == {path.name for path in (tmp_path / "alone").iterdir()}


def test_begun_on_four_ranks_resumed_on_two_and_finished_on_one(data, tmp_path):
    options = [*data, *SMALL, "numpy", "--early-stopping", "2"]
    elastic, whole = tmp_path / "elastic", tmp_path / "whole"
    assert train(4, *options, "--epochs", "1", "--out", elastic)[0] == 0
    assert json.loads((elastic / "config.json").read_text())["training"]["shards"] == 4  # as many as ranks
    status, _, errors = train(8, "--resume", elastic, "--epochs", "2")
    assert (status, errors) == (
        2,
        ["minivae: error: --resume: got '8 ranks', expected 1 or more that divide the 4 shards"],
    )
    assert train(2, "--resume", elastic, "--epochs", "2")[0] == 0
    assert main(["train", "--resume", str(elastic), "--epochs", "3"]) == 0
    assert main(["train", *options, "--epochs", "3", "--shards", "4", "--out", str(whole)]) == 0
    assert bits(elastic) == bits(whole)


def test_one_rank_is_a_process_of_its_own(data, tmp_path):
    status, _, errors = train(1, *data, *SMALL, "numpy", "--mpi", "--out", tmp_path / "one")
    assert (status, errors) == (0, [])
    assert main(["train", *data, *SMALL, "numpy", "--out", str(tmp_path / "alone")]) == 0
    assert bits(tmp_path / "one") == bits(tmp_path / "alone")


@pytest.mark.parametrize(
    ("ranks", "given", "said"),
    [
        (2, ["--epochs", "none"], "minivae train: error: argument --epochs: invalid whole number of at least 1, value"),
        (2, ["--out", "."], "minivae: error: --out: . exists and is not empty, expected a new folder"),
        (4, ["--shards", "2"], "minivae: error: shards: got 2, expected a multiple of the 4 ranks"),
        (2, ["--batch-size", "31"], "minivae: error: batch_size: got 31, expected a multiple of the 2 shards"),
        (3, [], "minivae: error: --mpi: got '3 ranks', expected a power of two"),
    ],
)
def test_what_all_ranks_would_say_one_says(data, tmp_path, monkeypatch, ranks, given, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").touch()
    status, _, (line,) = train(ranks, *data, *SMALL, "numpy", *given)
    assert (status, line.startswith(said)) == (2, True), line
    assert os.listdir(tmp_path) == ["mine"]


def test_help_is_said_once():
    status, out, errors = train(2, "--help")
    assert (status, out.count("usage:"), errors) == (0, 1, [])


def test_data_that_one_rank_cannot_read_or_has_otherwise(data, tmp_path, monkeypatch):
    """A rank on a machine that lacks the file, or has another of that name."""
    script = tmp_path / "elsewhere.py"
    script.write_text(
        "import os, sys\n"
        "from minivae.command.main import program\n"
        "from minivae.training.team import launched_rank\n"
        "os.chdir(f'rank-{launched_rank()}')\n"
        "sys.exit(program())\n"
    )
    monkeypatch.chdir(tmp_path)
    for rank in range(2):
        (tmp_path / f"rank-{rank}").mkdir()
    np.save(tmp_path / "rank-0" / "rows.npy", np.eye(20))
    for expected in ("rank 1: rows.npy: no such file", "rows.npy: got"):
        status, _, error = launched(2, script, "train", "--data", "rows.npy", *SMALL, "numpy", "--out", "run")
        (line,) = [line for line in error.splitlines() if "minivae" in line]
        assert (status, line.startswith(f"minivae: error: {expected}")) == (2, True), error
        np.save(tmp_path / "rank-1" / "rows.npy", np.eye(20) / 2)
    assert not (tmp_path / "rank-0" / "run").exists()
    assert not (tmp_path / "rank-1" / "run").exists()


def test_a_signal_that_the_launcher_hands_on_saves_once(data, tmp_path):
    """SIGUSR1, of which both MPIs leave all else to the ranks; all stop after the same step."""
    run, options = tmp_path / "run", [*data, *SMALL, "numpy", "--epochs", "100000", "--checkpoint-every", "10"]
    with started(2, "-m", "minivae", "train", *options, "--out", run) as job:
        for line in job.stdout:
            if line.startswith("    2 "):
                break
        job.send_signal(signal.SIGUSR1)
        out, error = job.communicate(timeout=HANGS)
    assert job.returncode == 128 + signal.SIGUSR1, error
    assert out.count(f"interrupted after step {contents(run / 'checkpoint.npz')['step']:,};") == 1
    assert "Traceback" not in error
    assert "minivae" not in error


def test_ranks_share_the_cores_of_their_machine():
    script = "import minivae as mv, os; t = mv.MPITeam(); print(t.threads, len(os.sched_getaffinity(0)), flush=True)"
    status, out, error = launched(2, "-c", script)
    assert status == 0, error
    for line in out.splitlines():
        threads, cores = map(int, line.split())
        assert threads in (max(1, cores // 2), cores)  # a launcher may have given each its own


def test_without_an_mpi_the_way_to_one_is_named_once(data, tmp_path):
    """Also where the launcher is not that of the MPI which mpi4py has."""
    (tmp_path / "mpi4py.py").write_text("raise ImportError('no such package')")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    for arguments, ranks in (([], 2), (["--mpi"], 0)):
        status, _, (line,) = train(ranks, *data, *SMALL, "numpy", *arguments, PYTHONPATH=path)
        assert status == 2
        assert "--mpi: MPI cannot be used here (no such package)" in line
        assert "pip install 'minivae[mpi]' mpich" in line
    status, _, (line,) = train(0, *data, *SMALL, "numpy", PMI_SIZE="2", OMPI_COMM_WORLD_SIZE="2", PMI_RANK="0")
    assert (status, "--mpi: got 'one rank of 2', expected the launcher of mpi4py's MPI" in line) == (2, True)
