"""Kills a training run with SIGKILL at random moments, resumes it, and compares the end with a run left alone.

    python -m benchmarks.kills [--kills 200] [--seed 0]

One life of the run is: start it (`minivae train`, or `--resume` once there is something to resume), kill it at a
random moment, look whether the newest checkpoint can be read. Lives follow each other in one folder until the run ends
by itself; its parameters, moments, totals and history must then be, bit for bit, those of the run left alone. Moments
are drawn so that they fall on every phase: the start of the process, loading, each step and each write. They are
counted from a step that the run has saved, so that a busy machine changes nothing. A final JSON line has the figures.
"""

import argparse
import json
import multiprocessing
import os
import random
import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from minivae.command.main import main
from minivae.files import stored
from minivae.runs import checkpoint

STEPS = 60  # each followed by a checkpoint
OPTIONS = ["--data", "rings", "--size", "640", "--batch-size", "32", "--hidden", "16", "--latent", "2", "--epochs", "3"]
OPTIONS += ["--backend", "numpy", "--no-pictures", "--checkpoint-every", "1"]

# Each life is a fork of a process that has imported the package: without it, most of the time would go into imports.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["minivae.runs.train", "minivae.command.main"])


def live(log, *arguments):
    """One life: `minivae train` with these arguments, its output in a file."""
    tqdm.set_lock(threading.RLock())  # its own kind would leave a semaphore behind with every kill
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        raise SystemExit(main(["train", *map(str, arguments)]))


MEASURED = ("seconds", "history/examples_per_second")


def contents(path):
    """All that a checkpoint holds, but for the times that were measured: a dict of arrays and numbers."""
    description, arrays = stored.read(path)
    found = description["training"] | arrays
    return {name: value for name, value in found.items() if name not in MEASURED}


def differences(one, two):
    """A line for each entry of two dicts of arrays and other values that is not the same in both, bit for bit."""
    lines = [f"{name}: only in one of the two" for name in sorted(one.keys() ^ two.keys())]
    for name in sorted(one.keys() & two.keys()):
        a, b = one[name], two[name]
        if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
            if repr(a) != repr(b):
                lines.append(f"{name}: {a!r} and {b!r}")
        elif (a.dtype, a.shape) != (b.dtype, b.shape):
            lines.append(f"{name}: {a.dtype} {a.shape} and {b.dtype} {b.shape}")
        elif a.tobytes() != b.tobytes():
            bits = [np.frombuffer(array.tobytes(), f"V{array.itemsize}").reshape(array.shape) for array in (a, b)]
            places = np.argwhere(bits[0] != bits[1])
            index = tuple(places[0].tolist())
            where = f"{name}[{', '.join(map(str, index))}]: {a[index]!s} and {b[index]!s}"
            lines.append(f"{where}, the first of {len(places)} in {a.size} entries")
    return lines


def saved(folder):
    """The step of the checkpoint before the newest, 0 if there is none."""
    return max((int(path.stem[-8:]) for path in folder.glob("checkpoint-*.npz")), default=0)


class Killer:
    """Kills runs in `folder`; `kill(count)` returns the figures."""

    def __init__(self, folder, seed):
        self._folder, self._random = Path(folder), random.Random(seed)

    def _start(self, *arguments):
        process = processes.Process(target=live, args=(self._folder / "log", *arguments))
        process.start()
        return process

    def _expect_success(self, process):
        if process.exitcode:
            raise RuntimeError(f"a run ended with {process.exitcode}: {(self._folder / 'log').read_text()}")

    def _alone(self):
        """Contents of a run left alone, and about how long it takes until its first checkpoint, and for a step."""
        self._start("--help").join()  # what all of them share is imported by then
        alone, started = self._folder / "alone", time.monotonic()
        process, first = self._start(*OPTIONS, "--out", alone), 0.0
        while process.is_alive():
            if not first and (alone / "checkpoint.npz").exists():
                first = time.monotonic() - started
            time.sleep(0.002)
        self._expect_success(process)
        return contents(alone / "checkpoint.npz"), first, (time.monotonic() - started - first) / STEPS

    def kill(self, count):
        expected, first, step = self._alone()
        figures = {"kills": 0, "runs": 0, "different": [], "unreadable": 0, "in_writes": 0, "before_first": 0}
        figures["most_lives"] = 0
        while figures["kills"] < count:
            folder = self._folder / f"run-{figures['runs']}"
            lives = self._live(folder, first, step, figures, count)
            figures["runs"] += 1
            figures["most_lives"] = max(figures["most_lives"], lives)
            figures["different"] += differences(contents(folder / "checkpoint.npz"), expected)
            shutil.rmtree(folder)
        return figures

    def _live(self, folder, first, step, figures, count):
        """Kills one run until `count` is reached or it ends by itself; then lets it end. Returns its lives."""
        lives = 0
        while True:
            lives += 1
            begun = (folder / "config.json").exists()
            resume = ("--resume", folder, "--no-pictures", "--checkpoint-every", 1)
            process = self._start(*(resume if begun else (*OPTIONS, "--out", folder)))
            if figures["kills"] == count or not self._killed(process, folder, first, step):
                process.join()
                self._expect_success(process)
                return lives
            figures["kills"] += 1
            figures["in_writes"] += any(folder.glob(".*.tmp"))
            if (folder / "checkpoint.npz").exists():
                try:
                    checkpoint.load_state(folder / "checkpoint.npz")
                except ValueError:
                    figures["unreadable"] += 1
            else:
                figures["before_first"] += 1

    def _killed(self, process, folder, first, step):
        """Kills the process at a random moment; False if it had ended by then."""
        # one in five before the first checkpoint, the rest within a step that is drawn from those to be made
        if self._random.random() < 0.2:
            process.join(self._random.uniform(0, first))
        else:
            last = self._random.randrange(saved(folder), STEPS) + 1
            while process.is_alive() and saved(folder) < last:
                time.sleep(step / 10)
            process.join(self._random.uniform(0, step))
        if not process.is_alive():
            return False
        process.kill()
        process.join()
        return True


def run():
    parser = argparse.ArgumentParser(description="Kill and resume a training run, over and over.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    # so small a model is fastest on one thread, and killed processes leave no spinning ones to wait for
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        figures = Killer(folder, args.seed).kill(args.kills)
    print(json.dumps(figures | {"seconds": round(time.monotonic() - started, 1)}))
    return 1 if figures["different"] or figures["unreadable"] else 0


if __name__ == "__main__":
    raise SystemExit(run())
