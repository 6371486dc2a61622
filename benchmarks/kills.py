"""Kills a training run with SIGKILL at random moments, resumes it, and compares the end with a run left alone.

    python -m benchmarks.kills [--kills 200] [--seed 0] [--damage]

One life of the run is: start it (`minivae train`, or `--resume` once there is something to resume), kill it at a
random moment, look whether the newest checkpoint can be read. Lives follow each other in one folder until the run ends
by itself; its parameters, moments, totals and history must then be, bit for bit, those of the run left alone. Moments
are drawn so that they fall on every phase: the start of the process, loading, each step and each write. They are
counted from a step that the run has saved, so that a busy machine changes nothing. A final JSON line has the figures.

With --damage each life but the first begins with a damaged newest checkpoint, wherever another whole one is there, and
keeps 1 to 3 of them; every second life ends by an operation on a file that fails. Whatever could be gone on from when a
life began, or something later, must be there at its end.
"""

import argparse
import errno
import io
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
from minivae.files import atomic, stored
from minivae.runs import findings, folder

STEPS = 60  # each followed by a checkpoint
OPTIONS = ["--data", "rings", "--size", "640", "--batch-size", "32", "--hidden", "16", "--latent", "2", "--epochs", "3"]
OPTIONS += ["--backend", "numpy", "--no-pictures", "--checkpoint-every", "1"]

# Each life is a fork of a process that has imported the package: without it, most of the time would go into imports.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["minivae.runs.train", "minivae.command.main"])


def live(log, failing, *arguments):
    """One life: `minivae train` with these arguments, its output in a file; an operation on a file may fail."""
    fail_after(*failing)
    tqdm.set_lock(threading.RLock())  # its own kind would leave a semaphore behind with every kill
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        raise SystemExit(main(["train", *map(str, arguments)]))


def fail_after(count, number):
    """The operation that follows so many of those by which this process writes files raises an error; None: none."""
    left = [count]

    def before(real):
        def operation(*arguments, **options):
            if left[0] is not None:
                left[0] -= 1
                if left[0] < 0:
                    left[0] = None
                    raise OSError(number, os.strerror(number))
            return real(*arguments, **options)

        return operation

    class File(io.FileIO):
        write = before(io.FileIO.write)

    for name in ("fsync", "replace", "link", "unlink"):
        setattr(os, name, before(getattr(os, name)))

    def opened(path, mode):
        return io.BufferedWriter(File(path, mode)) if mode == "xb" else open(path, mode)

    atomic.open = opened


def damage(path, random):
    """Makes a file differ from what was written, in one of the ways of disks."""
    content, start = bytearray(path.read_bytes()), random.randrange(path.stat().st_size)
    kind = random.choice(["bit", "cut", "zeros"])
    if kind == "bit":
        content[start] ^= 1 << random.randrange(8)
    elif kind == "cut":
        del content[start:]
    else:
        content[start : start + 512] = bytes(len(content[start : start + 512]))
    path.write_bytes(content)


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


def both(run):
    """The contents of the newest checkpoint and of the best."""
    best = {f"best.npz/{name}": value for name, value in contents(run / folder.BEST).items()}
    return contents(run / folder.CHECKPOINT) | best


def saved(run):
    """The step of the checkpoint before the newest, 0 if there is none."""
    return max((int(path.stem[-8:]) for path in folder.earlier_checkpoints(run)), default=0)


def step_of(run):
    """Of the checkpoint that the run would go on from, 0 if there is none."""
    taken = findings.choose(run).taken
    return taken.step if taken else 0


class Killer:
    """Kills runs in the folder `path`; `kill(count)` returns the figures."""

    def __init__(self, path, seed, damage=False):
        self._folder, self._random, self._damage = Path(path), random.Random(seed), damage

    def _start(self, *arguments, failing=(None, 0)):
        process = processes.Process(target=live, args=(self._folder / "log", failing, *arguments))
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
        return both(alone), first, (time.monotonic() - started - first) / STEPS

    def kill(self, count):
        expected, first, step = self._alone()
        figures = {"kills": 0, "failed_writes": 0, "runs": 0, "different": [], "lost": 0, "unreadable": 0}
        figures |= {"damaged": 0, "in_writes": 0, "before_first": 0, "most_lives": 0}
        while figures["kills"] + figures["failed_writes"] < count:
            run = self._folder / f"run-{figures['runs']}"
            lives = self._live(run, first, step, figures, count)
            figures["runs"] += 1
            figures["most_lives"] = max(figures["most_lives"], lives)
            figures["different"] += differences(both(run), expected)
            shutil.rmtree(run)
        return figures

    def _live(self, run, first, step, figures, count):
        """Kills one run until `count` is reached or it ends by itself; then lets it end. Returns its lives."""
        lives, newest, spoiled = 0, run / folder.CHECKPOINT, None
        while True:
            lives += 1
            begun, safe = (run / "config.json").exists(), step_of(run)
            whole = [run / name for name in findings.choose(run).whole]
            # killed between the two, it may leave two names of one file
            if self._damage and newest in whole and not all(newest.samefile(path) for path in whole):
                damage(newest, self._random)
                spoiled, safe = newest.read_bytes(), step_of(run)
            figures["damaged"] += newest.exists() and newest.read_bytes() == spoiled
            keep = self._random.randint(1, 3) if self._damage else 2
            resume = ("--resume", run, "--no-pictures", "--checkpoint-every", 1)
            arguments = *(resume if begun else (*OPTIONS, "--out", run)), "--keep", keep
            over = figures["kills"] + figures["failed_writes"] == count
            if self._damage and not over and self._random.random() < 0.5:
                number = self._random.choice([errno.EIO, errno.ENOSPC])
                process = self._start(*arguments, failing=(self._random.randrange(200), number))
                process.join()
                over = process.exitcode != 2 or os.strerror(number) not in (self._folder / "log").read_text()
                figures["failed_writes"] += not over
            else:
                process = self._start(*arguments)
                killed = not over and self._killed(process, run, first, step)
                figures["kills"] += killed
                over = not killed
                process.join()
            if over:
                self._expect_success(process)
                return lives
            figures["in_writes"] += any(run.glob(".*.tmp"))
            figures["before_first"] += not newest.exists()
            figures["lost"] += step_of(run) < safe
            whole = not newest.exists() or findings.look(newest)[0].whole
            figures["unreadable"] += not whole and newest.read_bytes() != spoiled

    def _killed(self, process, run, first, step):
        """Kills the process at a random moment; False if it had ended by then."""
        # one in five before the first checkpoint, the rest within a step that is drawn from those to be made
        if self._random.random() < 0.2:
            process.join(self._random.uniform(0, first))
        else:
            last = self._random.randrange(saved(run), STEPS) + 1
            while process.is_alive() and saved(run) < last:
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
    parser.add_argument("--damage", action="store_true", help="damage the newest checkpoint, let writes fail")
    args = parser.parse_args()
    # so small a model is fastest on one thread, and killed processes leave no spinning ones to wait for
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as path:
        figures = Killer(path, args.seed, args.damage).kill(args.kills)
    print(json.dumps(figures | {"seconds": round(time.monotonic() - started, 1)}))
    return 1 if figures["different"] or figures["unreadable"] or figures["lost"] else 0


if __name__ == "__main__":
    raise SystemExit(run())
