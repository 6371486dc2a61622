"""Kills a training run with SIGKILL at random moments, resumes it, and compares the end with a run left alone.

    python -m benchmarks.kills [--kills 200] [--seed 0]

One life of the run is: start it (`minivae train`, or `--resume` once there is something to resume), kill it after a
random time, look whether the newest checkpoint can be read. Lives follow each other in one folder until the run ends
by itself; its parameters, moments, totals and history must then be, bit for bit, those of the run left alone. Moments
are drawn so that they fall on every phase: the start of the process, loading, each step and each write. A final JSON
line has the figures.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from minivae import checkpoint

# 150 steps, each followed by a checkpoint
OPTIONS = [
    "--data",
    "rings",
    "--size",
    "1600",
    "--batch-size",
    "32",
    "--hidden",
    "16",
    "--latent",
    "2",
    "--epochs",
    "3",
]
OPTIONS += ["--backend", "numpy", "--no-pictures", "--checkpoint-every", "1"]


def train(*arguments):
    command = [sys.executable, "-m", "minivae", "train", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def contents(path):
    """All that a checkpoint holds, but for the times that were measured."""
    description, arrays = checkpoint.read(path)
    numbers = {key: value for key, value in description["training"].items() if key != "seconds"}
    timed = "history/examples_per_second"
    return numbers | {name: array.tobytes() for name, array in arrays.items() if name != timed}


class Killer:
    """Kills runs in `folder`; `kill(count)` returns the figures."""

    def __init__(self, folder, seed):
        self._folder, self._random = Path(folder), random.Random(seed)

    def _alone(self):
        """Contents of a run left alone, and how long its process takes in all and until its first checkpoint."""
        alone, started = self._folder / "alone", time.monotonic()
        process, first = train(*OPTIONS, "--out", alone), None
        while process.poll() is None:
            if first is None and (alone / "checkpoint.npz").exists():
                first = time.monotonic() - started
            time.sleep(0.002)
        if process.returncode:
            raise RuntimeError(process.stderr.read().decode())
        process.stderr.close()
        return contents(alone / "checkpoint.npz"), first, time.monotonic() - started

    def kill(self, count):
        expected, first, total = self._alone()
        figures = {"kills": 0, "runs": 0, "different": 0, "unreadable": 0, "in_writes": 0, "before_first": 0}
        figures["most_lives"] = 0
        while figures["kills"] < count:
            folder = self._folder / f"run-{figures['runs']}"
            lives = self._live(folder, first, total, figures, count)
            figures["runs"] += 1
            figures["most_lives"] = max(figures["most_lives"], lives)
            figures["different"] += contents(folder / "checkpoint.npz") != expected
            shutil.rmtree(folder)
        return figures

    def _live(self, folder, first, total, figures, count):
        """Kills one run until `count` is reached or it ends by itself; then lets it end. Returns its lives."""
        lives = 0
        while True:
            lives += 1
            begun = (folder / "config.json").exists()
            process = (
                train("--resume", folder, "--no-pictures", "--checkpoint-every", 1)
                if begun
                else train(*OPTIONS, "--out", folder)
            )
            if figures["kills"] < count and self._ended(process, first, total):
                figures["kills"] += 1
                figures["in_writes"] += any(folder.glob(".*.tmp"))
                if (folder / "checkpoint.npz").exists():
                    try:
                        checkpoint.load_state(folder / "checkpoint.npz")
                    except ValueError:
                        figures["unreadable"] += 1
                else:
                    figures["before_first"] += 1
                process.stderr.close()
                continue
            error = process.communicate()[1].decode()
            if process.returncode:
                raise RuntimeError(f"a run in {folder} ended with {process.returncode}: {error}")
            return lives

    def _ended(self, process, first, total):
        """Kills the process at a random moment; False if it had ended by then."""
        # one in ten anywhere from the start; the rest while it trains, a little further than it may take
        at = self._random.uniform(0, first) if self._random.random() < 0.1 else self._random.uniform(0.9 * first, total)
        try:
            process.wait(at)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return True
        return False


def main():
    parser = argparse.ArgumentParser(description="Kill and resume a training run, over and over.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        figures = Killer(folder, args.seed).kill(args.kills)
    print(json.dumps(figures | {"seconds": round(time.monotonic() - started, 1)}))
    return 1 if figures["different"] or figures["unreadable"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
