"""Trainings by the ranks of MPI: what kills do to them, and what the steps and sums take.

    python -m benchmarks.team kills [--times 100] [--seed 0]
    python -m benchmarks.team reduction | shards | ranks [--times 200]

kills: a run of 2 or 4 ranks is begun in a folder, a random rank of it ends by SIGKILL at a random moment, the launcher
must have ended within 10 s, and the run goes on from rank 0's checkpoint with other ranks, over and over until it is
complete; its parameters, moments and history must then be those of the run that one process made alone.
reduction: `Team.total` on two ranks beside the MPI's own Allreduce of the same buffer.
shards: a step with S = 1, 2, 4, 8 on one process.
ranks: a step of two ranks with one thread each beside one rank with one thread.

The other measurements take their turns with each other. Each part writes benchmarks/results/MACHINE/team_PART.json.
The MPI is that of mpiexec beside this Python, or on the path.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import minivae as mv
from minivae.training.shards import ShardedStep
from minivae.training.step import TrainingStep
from minivae.training.team import MPITeam, Team

from . import harness
from .kills import OPTIONS, STEPS, both, differences, folder, saved

SHARDS = 4
LONGEST = 10.0  # seconds from a kill to the end of the launcher; beyond, the job hangs
SIZES = (16, 163_206, 652_824)  # floats; the last are the gradients of the reference model
TOKEN = "MINIVAE_TRIAL"


def command(ranks, *arguments):
    beside = Path(sys.executable).parent / "mpiexec"
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    if mpiexec is None:
        raise SystemExit("benchmarks.team: no mpiexec beside this Python, nor on the path")
    said = subprocess.run([mpiexec, "--version"], capture_output=True, text=True).stdout
    open_mpi = ["--oversubscribe"] if "Open MPI" in said or "prte" in said else []
    return [mpiexec, *open_mpi, "-n", str(ranks), sys.executable, "-m", *map(str, arguments)]


def environment(**more):
    own = {"OPENBLAS_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return harness.clean_environment() | {"PYTHONPATH": str(harness.HERE.parent)} | own | more


def process_of(token, rank):
    """The process id of a rank of the job with this token, None while there is none."""
    wanted = {f"{name}={rank}".encode() for name in ("PMI_RANK", "OMPI_COMM_WORLD_RANK")}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            values = set((entry / "environ").read_bytes().split(b"\0"))
        except OSError:
            continue
        if f"{TOKEN}={token}".encode() in values and values & wanted:
            return int(entry.name)
    return None


class Killer:
    """Kills ranks of runs in the folder `path`."""

    def __init__(self, path, seed):
        self._folder, self._random, self._jobs = Path(path), random.Random(seed), 0
        self.figures = {"kills": 0, "runs": 0, "hangs": 0, "before_first": 0, "different": [], "ranks": {}}
        self._seconds, self._first = [], 5.0

    def _start(self, run, ranks):
        begun = (run / "config.json").exists()
        again = ["--resume", run, "--no-pictures", "--checkpoint-every", 1]
        options = again if begun else [*OPTIONS, "--shards", SHARDS, "--out", run]
        self._jobs += 1
        token, arguments = f"{os.getpid()}-{self._jobs}", ("minivae", "train", *options)
        with open(self._folder / "log", "w") as log:
            whole = command(ranks, *arguments) if ranks > 1 else [sys.executable, "-m", *map(str, arguments)]
            process = subprocess.Popen(whole, stdout=log, stderr=log, env=environment(**{TOKEN: token}))
        return process, token

    def _expect_success(self, process):
        if process.wait(600):
            raise RuntimeError(f"a run ended with {process.returncode}: {(self._folder / 'log').read_text()}")

    def kill(self, times):
        started, (process, _) = time.monotonic(), self._start(self._folder / "alone", 1)
        self._expect_success(process)
        self._first = (time.monotonic() - started) * 2
        expected = both(self._folder / "alone")
        while self.figures["kills"] < times:
            run = self._folder / f"run-{self.figures['runs']}"
            ranks = self._random.choice((2, 4))
            while self.figures["kills"] < times and self._killed(run, ranks):
                ranks = self._random.choice((ranks, 6 - ranks, 6 - ranks))
            if self.figures["kills"] == times:
                self._expect_success(self._start(run, self._random.choice((1, 2, 4)))[0])
            self.figures["runs"] += 1
            self.figures["different"] += differences(both(run), expected)
            shutil.rmtree(run)
        taken = {"median": np.median(self._seconds), "slowest": max(self._seconds)}
        return self.figures | {"seconds_to_end": {name: round(float(value), 2) for name, value in taken.items()}}

    def _killed(self, run, ranks):
        """Goes on with a run and kills one of its ranks; False if it was complete before."""
        process, token = self._start(run, ranks)
        victim, moment = self._random.randrange(ranks), self._random.random()
        if self._random.random() < 0.2:
            end = time.monotonic() + moment * self._first
            while process.poll() is None and time.monotonic() < end:
                time.sleep(0.01)
        else:
            last = self._random.randrange(min(saved(run), STEPS - 1), STEPS) + 1
            while process.poll() is None and saved(run) < last:
                time.sleep(0.01)
            time.sleep(moment * 0.05)
        while process.poll() is None and (pid := process_of(token, victim)) is None:
            time.sleep(0.01)
        if process.poll() is not None:
            self._expect_success(process)
            return False
        killed = time.monotonic()
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            self._expect_success(process)
            return False
        try:
            process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            self.figures["hangs"] += 1
            process.terminate()
            process.wait(60)
        if process.returncode == 0:  # its work was done
            return False
        self._seconds.append(time.monotonic() - killed)
        self.figures["kills"] += 1
        self.figures["ranks"][ranks] = self.figures["ranks"].get(ranks, 0) + 1
        self.figures["before_first"] += not (run / folder.CHECKPOINT).exists()
        print(f"kill {self.figures['kills']}: rank {victim} of {ranks}, {self._seconds[-1]:.2f} s", file=sys.stderr)
        return True


def stepper(shards, batch, team=None):
    """A function that makes the next step of the reference model."""
    images = np.random.default_rng(0).random((4096, 784), dtype=np.float32)
    model = mv.VAE(784, 20, (400,), backend="cpu", seed=1)
    common = model, images, batch, mv.Adam(1e-3), "grey", 0, None
    step = TrainingStep(*common) if shards == 1 else ShardedStep(*common, shards, team or Team())
    step.look(1 << 20)
    number = iter(range(1 << 20))

    def make():
        with model.backend.at_most(1 if team else None):
            step(next(number))

    for _ in range(4):  # as it stands, recorded, compared
        make()
    return make


def timed(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def in_turns(works, times):
    """`harness.summary` of each: ten calls after another, `times` in all."""
    seconds = {name: [] for name in works}
    for _ in range(max(1, times // 10)):
        for name, work in works.items():
            seconds[name] += [timed(work) for _ in range(11)][1:]
    return {name: harness.summary(taken) for name, taken in seconds.items()}


def shards(times):
    works = {f"S = {count}": stepper(count, 128) for count in (1, 2, 4, 8)}
    return {"batch_size": 128, **in_turns(works, times)}


def rank_of_reduction(times):
    from mpi4py import MPI

    team, results = MPITeam(), {}
    for size in SIZES:
        array = np.zeros(size, np.float32)  # whose sum it stays, however often it is added up
        works = {
            "total": lambda array=array: team.total(array),
            "allreduce": lambda array=array: team.comm.Allreduce(MPI.IN_PLACE, array),
        }
        results[f"{size * 4} bytes"] = in_turns(works, times)
    return team.rank == 0 and {"mpi": MPI.Get_library_version().split(",")[0].split("\n")[0], **results}


def rank_of_ranks(times):
    team = MPITeam()
    both_of_us, alone, batch = stepper(2, 256, team), None, 256
    if team.rank == 0:
        alone = stepper(2, batch, _Alone())
    works = {"2 ranks": both_of_us, "1 rank": alone}
    seconds = {name: [] for name in works}
    for _ in range(max(1, times // 10)):
        for name, work in works.items():
            if work:
                seconds[name] += [timed(work) for _ in range(11)][1:]
            waiting = team.comm.Ibarrier()
            while not waiting.Test():
                time.sleep(1e-3)  # a rank that waits for MPI takes its core
    return team.rank == 0 and {"batch_size": batch, **{name: harness.summary(s) for name, s in seconds.items()}}


class _Alone(Team):
    """One rank, told apart from no team at all, which may have all threads."""


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.team", description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=["kills", "reduction", "shards", "ranks", "rank_of_reduction", "rank_of_ranks"])
    parser.add_argument("--times", type=int, help="kills (100), or calls of each (200)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    part, times = arguments.part, arguments.times or (100 if arguments.part == "kills" else 200)
    if part.startswith("rank_of"):
        if found := globals()[part](times):
            print(json.dumps(found))
        return 0
    if part == "kills":
        with tempfile.TemporaryDirectory() as path:
            result = Killer(path, arguments.seed).kill(times)
    elif part == "shards":
        result = shards(times)
    else:
        job = command(2, "benchmarks.team", f"rank_of_{part}", "--times", times)
        done = subprocess.run(job, capture_output=True, text=True, env=environment(NUMBA_NUM_THREADS="1"))
        if done.returncode:
            raise SystemExit(done.stderr)
        result = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(result, indent=1))
    harness.write(f"team_{part}", {"machine": harness.machine(), **result})
    return 1 if part == "kills" and (result["different"] or result["hangs"]) else 0


if __name__ == "__main__":
    raise SystemExit(main())
