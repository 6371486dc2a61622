"""The memory that training on a file larger than memory takes.

    python -m benchmarks.mapped [--gigabytes 20] [--features 784] [--dtype uint8] [--backend numpy] [--steps 100]

Makes a sparse NPY file of zeros with rows of values here and there, and trains `--steps` steps on it, as loaded by
`load_dataset`, in a process of its own. One JSON line: the most memory of its own that the process had (RssAnon and
RssShmem of /proc/self/status, every 10 ms, and VmHWM, which counts pages of the file too), MB of 10^6 bytes.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np


def make(path, gigabytes, features, dtype):
    """A sparse file with random rows in some thousand places."""
    rows = int(gigabytes * 1e9) // (features * np.dtype(dtype).itemsize)
    file = np.lib.format.open_memmap(path, "w+", dtype, (rows, features))
    rng = np.random.default_rng(0)
    for row in rng.integers(0, rows, 2000):
        file[row] = rng.random(features) * (255 if dtype == "uint8" else 1)
    file.flush()


class Watch(threading.Thread):
    """The most memory of its own that the process has had."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most = 0.0

    def run(self):
        while True:
            self.most = max(self.most, status("RssAnon") + status("RssShmem"))
            time.sleep(0.01)


def status(name):
    """MB of a line of /proc/self/status."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024 / 1e6


def train(path, backend, steps):
    watch = Watch()
    watch.start()
    import minivae as mv

    before = watch.most
    data = mv.load_dataset(path)
    model = mv.VAE(data.features, 20, (400,), backend=backend)
    ended = []

    class Enough(Exception):
        pass

    def stop(state):
        ended.append(state.step)
        raise Enough

    with contextlib.suppress(Enough):
        mv.fit(model, data.train, validation=data.test, epochs=1, on_checkpoint=stop, checkpoint_steps=steps)
    print(
        json.dumps(
            {
                "file_gb": os.path.getsize(path) / 1e9,
                "rows": len(data.train) + len(data.test),
                "backend": backend,
                "steps": ended[0],
                "own_mb": round(watch.most, 1),
                "own_mb_after_import": round(before, 1),
                "with_pages_of_the_file_mb": round(status("VmHWM"), 1),
            }
        )
    )


def main():
    parser = argparse.ArgumentParser(description="Measure the memory of training on a mapped file.")
    parser.add_argument("--gigabytes", type=float, default=20)
    parser.add_argument("--features", type=int, default=784)
    parser.add_argument("--dtype", default="uint8")
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.file:
        train(args.file, args.backend, args.steps)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.npy"
        make(path, args.gigabytes, args.features, args.dtype)
        command = [sys.executable, "-m", "benchmarks.mapped", "--file", str(path), "--backend", args.backend]
        subprocess.run([*command, "--steps", str(args.steps)], check=True)


if __name__ == "__main__":
    main()
