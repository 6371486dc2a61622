"""Feeds damaged files to every reader, guided by the branches they reach: data files, checkpoints and history.csv.

    python -m benchmarks.fuzz [--inputs 1000000]        (needs `pip install atheris`, which no other part does)

Any input must end in an object or in a ValueError of one line below 1000 characters. Anything else ends the run with
the input saved: another exception, more than ten seconds of the processor for one input, a process of more than a
gigabyte. A final JSON line has the figures. Half of the checkpoints get a checksum that fits, so that what lies behind
it is reached too.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["minivae"]):
    from minivae import VAE, fit, load_dataset
    from minivae.files import archive
    from minivae.runs import checkpoint
    from minivae.runs.folder import as_history

KINDS = ("x.npy", "x.csv", "checkpoint.npz", "sealed.npz", "history.csv")


def seeds():
    """Small good files, each behind a byte that says which reader it is for."""
    values = np.array([[0.25, 0.5], [1, 2], [3, 4]], np.float32)
    plain, packed, zipped = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(plain, values)
    np.savez_compressed(packed, train=values, train_labels=np.arange(3))
    np.savez(zipped, values)
    idx = b"\0\0\x0d\x02\0\0\0\3\0\0\0\2" + values.astype(">f4").tobytes()
    data = [plain.getvalue(), packed.getvalue(), zipped.getvalue(), idx]
    data += [gzip.compress(idx), gzip.compress(plain.getvalue())]
    yield from (b"\0" + content for content in data)
    table = b"x,label\n0.25,1\n-1e-3,2\n"
    tables = [table, gzip.compress(table), b";a;label\n1;0,5;2\n2;1,5;0\n", "sep=;\n1,5;2\n".encode("utf-16")]
    tables += [b'"a, b"\t"c"\r"1.5"\t\xe2\x88\x922\r', b"# a b\n1  2\n3  4\n\x1a"]
    yield from (b"\1" + content for content in tables)
    model, states = VAE(2, 1, (), backend="numpy"), []
    fit(model, values[:, :2] / 4, epochs=1, on_checkpoint=states.append)
    with tempfile.TemporaryDirectory() as folder:
        for save in (model.save, lambda path: checkpoint.save(path, model, states[0])):
            save(Path(folder) / "c.npz")
            content = (Path(folder) / "c.npz").read_bytes()
            yield from (b"\2" + content, b"\3" + content)
    yield b"\4epoch,train_loss\n1,2.5\n2,nan\n"


class Target:
    """One input after another, and what they cost."""

    def __init__(self, folder, inputs):
        self._folder, self._inputs = Path(folder), inputs
        self._taken = self._refused = 0
        self._longest, self._started = 0.0, time.monotonic()

    def __call__(self, content):
        if not content:
            return
        name = KINDS[content[0] % len(KINDS)]
        content = content[1:]
        if name == "sealed.npz":
            content = content[: -archive.TRAILER] + archive.PREFIX + bytes(64)
            digest = hashlib.sha256(content[: -archive.TRAILER] + b"0" * archive.TRAILER).hexdigest()
            content = content[: -archive.TRAILER] + archive.PREFIX + digest.encode()
        path = self._folder / name
        path.write_bytes(content)
        started = time.process_time()
        try:
            self._read(name, path)
            self._taken += 1
        except ValueError as error:
            self._refused += 1
            if "\n" in str(error) or len(str(error)) > 1000:
                raise RuntimeError(f"not one short line: {str(error)!r:.300}") from error
        self._longest = max(self._longest, time.process_time() - started)
        if self._longest > 10:
            raise RuntimeError(f"{self._longest:.1f} s for one input")
        if self._taken + self._refused == self._inputs:
            self._report()

    def _read(self, name, path):
        if name == "history.csv":
            as_history(self._folder)
        elif name in ("checkpoint.npz", "sealed.npz"):
            checkpoint.load_state(path, "numpy")
        else:
            load_dataset(path)

    def _report(self):
        figures = {
            "inputs": self._inputs,
            "taken": self._taken,
            "refused": self._refused,
            "seconds": round(time.monotonic() - self._started, 1),
            "longest_input_seconds": round(self._longest, 4),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        print(json.dumps(figures), flush=True)
        os._exit(0)  # the fuzzer would go on


def main():
    parser = argparse.ArgumentParser(description="Fuzz every reader of files.")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    folder = tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    corpus = Path(folder) / "corpus"
    corpus.mkdir()
    for number, content in enumerate(seeds()):
        (corpus / str(number)).write_bytes(content)
    options = ["-max_len=8192", "-timeout=300", "-report_slow_units=300", "-rss_limit_mb=1024", f"-seed={args.seed}"]
    options += ["-print_final_stats=0", "-verbosity=0"]
    atheris.Setup([sys.argv[0], str(corpus), *options], Target(folder, args.inputs))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
