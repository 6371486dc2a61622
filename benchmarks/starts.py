"""Starts the cpu backend as it should not be: from damaged kernels, or under random settings of Numba.

    python -m benchmarks.starts caches [--trials 500] [--seed 0]
    python -m benchmarks.starts settings [--trials 300] [--seed 0]

Each trial is a process of its own that trains a small model. It must end with the numbers of an undisturbed one. Where
a setting cannot be followed it may end with an exception of one line, and where code is compiled otherwise say that
bits may differ. A signal, a hang, other numbers or a traceback is a fault. A final JSON line counts what happened.
"""

import argparse
import collections
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

TRIAL = """
import contextlib, hashlib, json, os, sys, threading
def change(when):
    for name, value in changes.get(when, {}).items():
        import numba
        if name == "set_num_threads":
            with contextlib.suppress(ValueError):
                numba.set_num_threads(value)
        elif name.startswith("ENVIRONMENT "):
            os.environ[name.removeprefix("ENVIRONMENT ")] = value
        else:
            setattr(numba.config, name, value)
given = json.loads(sys.argv[1])
changes, found, failures = given["changes"], [], []
import numpy as np, minivae as mv
data = np.random.default_rng(0).integers(0, 256, (200, 130)).astype(np.uint8)
def trained():
    model = mv.VAE(130, 5, (90,), backend="cpu", seed=1)
    change("model")
    mv.fit(model, data, epochs=2, batch_size=64, seed=2, progress=False, threads=given["threads"],
           on_epoch=lambda row: change("epoch") if row["epoch"] == 1 else None)
    return hashlib.sha256(model.store.flat.tobytes()).hexdigest()
def attempt():
    try:
        found.append(trained())
    except (ValueError, RuntimeError) as error:
        failures.append(str(error))
try:
    change("start")
    if given["fork"] == "before" and (child := os.fork()):
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) and 99)
    workers = [threading.Thread(target=attempt) for _ in range(given["python_threads"] - 1)]
    [worker.start() for worker in workers]
    attempt()
    [worker.join() for worker in workers]
    change("again")
    attempt()
    if given["fork"] == "after" and (child := os.fork()):
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) and 99)
    if given["fork"] == "after":
        attempt()
except ValueError as error:
    failures.append(str(error))
print(json.dumps([sorted(set(found)), failures]), flush=True)
os._exit(0)
"""
USUAL = {"changes": {}, "threads": None, "python_threads": 1, "fork": None}


def start(given, folder=None, **environment):
    """(numbers, failures, what standard error said) of one process; what ended it instead as the numbers."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    command = [sys.executable, "-W", "ignore", "-c", TRIAL, json.dumps(given)]
    environment = inherited | {"PYTHONPATH": str(Path(__file__).parents[1])} | environment
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False, env=environment, cwd=folder
        )
    except subprocess.TimeoutExpired:
        return ["hung"], [], ""
    try:
        found, failures = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return [f"ended with {done.returncode}: {done.stderr[-300:]}"], [], done.stderr
    return found, failures, done.stderr


# Damage to one file of kernels: (its bytes, those of another, a generator) -> bytes.
def _flip(content, other, rng):
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


def _zero(content, other, rng):
    place = rng.randrange(len(content))
    return content[:place] + bytes(min(4096, len(content) - place)) + content[place + 4096 :]


DAMAGE = {
    "flip": _flip,
    "cut": lambda content, other, rng: content[: rng.randrange(len(content))],
    "zeroed block": _zero,
    "swapped": lambda content, other, rng: other,
    "noise": lambda content, other, rng: rng.randbytes(500),
    "longer": lambda content, other, rng: content + rng.randbytes(1 + rng.randrange(100)),
    "foreign version": lambda content, other, rng: content.replace(content[32:96], rng.randbytes(64)),
}


def damaged_caches(trials, seed):
    """Yields (kind, what went wrong or None) of each trial: a cache with one damaged file."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, damaged = Path(folder) / "whole", Path(folder) / "damaged"
        expected, _, _ = start(USUAL, NUMBA_CACHE_DIR=str(whole))
        for _ in range(trials):
            shutil.rmtree(damaged, ignore_errors=True)
            shutil.copytree(whole, damaged)
            kind = rng.choice(list(DAMAGE))
            file, other = rng.sample(sorted(damaged.rglob("*.kernel")), 2)
            file.write_bytes(DAMAGE[kind](file.read_bytes(), other.read_bytes(), rng))
            found, failures, said = start(USUAL, NUMBA_CACHE_DIR=str(damaged))
            lines = [line for line in said.splitlines() if line.startswith("minivae: ")]
            whole_again = file.read_bytes()[32:96] == (whole / file.relative_to(damaged)).read_bytes()[32:96]
            right = found == expected and not failures and len(lines) == 1 and whole_again
            yield kind, None if right else f"{found} {failures} {said}"


ENVIRONMENT = {
    "NUMBA_NUM_THREADS": ("1", "2", "3", "64", "0", "-1", "two"),
    "NUMBA_THREADING_LAYER": (
        *("default", "omp", "tbb", "workqueue", "safe", "threadsafe", "forksafe", "OMP", "WorkQueue", "none"),
    ),
    "NUMBA_THREADING_LAYER_PRIORITY": ("workqueue omp tbb", "omp tbb workqueue", "omp"),
    "NUMBA_DISABLE_JIT": ("0", "1", "yes", ""),
    "NUMBA_BOUNDSCHECK": ("0", "1"),
    "NUMBA_OPT": ("1", "3", "max"),
    "NUMBA_LOOP_VECTORIZE": ("0", "1"),
    "NUMBA_FULL_TRACEBACKS": ("1",),
    "OMP_NUM_THREADS": ("1", "7"),
    "OMP_WAIT_POLICY": ("passive", "active"),
    "OMP_THREAD_LIMIT": ("1",),
    "OMP_DYNAMIC": ("true",),
}
ATTRIBUTES = {
    "NUMBA_NUM_THREADS": (1, 2, 64, 0, -3, "2", None),
    "DISABLE_JIT": (True, 0),
    "THREADING_LAYER": ("omp", "workqueue", "forksafe", "tbb", "nothing", 3),
    "THREADING_LAYER_PRIORITY": (["workqueue", "omp", "tbb"], ["omp"]),
    "set_num_threads": (1, 2),
    "ENVIRONMENT NUMBA_NUM_THREADS": ("1", "5"),
    "ENVIRONMENT NUMBA_DISABLE_JIT": ("1",),
}


def random_settings(rng):
    """(environment, lines of .numba_config.yaml, what a trial is given)."""

    def some(options, chance):
        return {name: rng.choice(values) for name, values in options.items() if rng.random() < chance}

    environment, in_file = some(ENVIRONMENT, 0.08), {}
    if rng.random() < 0.25:
        in_file = {name[6:].lower(): v for name, v in some(ENVIRONMENT, 0.15).items() if name.startswith("NUMBA_")}
    changes = {when: some(ATTRIBUTES, 0.06) for when in ("start", "model", "epoch", "again")}
    given = USUAL | {
        "changes": changes,
        "threads": rng.choice((None, None, 1, 2, 64)),
        "python_threads": rng.choice((1, 1, 2, 3)),
        "fork": rng.choice((None, None, "before", "after")) if hasattr(os, "fork") else None,
    }
    return environment, in_file, given


# What earlier versions fell over: a pool larger than the setting, workqueue by another name, no JIT, and a pool that
# was started and lost in a fork before this package asked for it.
KNOWN = (
    ({"NUMBA_NUM_THREADS": "2"}, {}, USUAL | {"changes": {"start": {"NUMBA_NUM_THREADS": 1}}}),
    ({}, {}, USUAL | {"changes": {"epoch": {"NUMBA_NUM_THREADS": 1}, "again": {"NUMBA_NUM_THREADS": 64}}}),
    ({"NUMBA_THREADING_LAYER": "forksafe"}, {}, USUAL | {"python_threads": 3}),
    ({}, {"disable_jit": 1}, USUAL),
    ({}, {}, USUAL | {"changes": {"start": {"DISABLE_JIT": True}}}),
    ({}, {}, USUAL | {"changes": {"start": {"set_num_threads": 1}}, "fork": "before" if hasattr(os, "fork") else None}),
)


def settings(trials, seed):
    """Yields (what happened, what went wrong or None) of each trial: known settings of Numba, then random ones."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        expected, _, _ = start(USUAL)
        for trial in range(trials):
            environment, in_file, given = KNOWN[trial] if trial < len(KNOWN) else random_settings(rng)
            here = Path(tempfile.mkdtemp(dir=folder))
            if in_file:
                (here / ".numba_config.yaml").write_text("".join(f"{n}: {v}\n" for n, v in in_file.items()))
            found, failures, said = start(given, here, **environment)
            clear = all("\n" not in line and len(line) < 500 for line in failures)
            warned = "bits of results may differ" in said
            right = (found in (expected, []) or (warned and len(found) == 1)) and (found or failures) and clear
            what = "one clear line" if failures or warned else "equal bits"
            yield what, None if right else json.dumps([environment, in_file, given, found, failures, said[-1000:]])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starts", description=__doc__)
    parser.add_argument("part", choices=("caches", "settings"))
    parser.add_argument("--trials", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    trials = arguments.trials or {"caches": 500, "settings": 300}[arguments.part]
    outcomes = {"caches": damaged_caches, "settings": settings}[arguments.part](trials, arguments.seed)
    counts = collections.Counter()
    for what, fault in tqdm(outcomes, total=trials):
        counts[what if fault is None else "faults"] += 1
        if fault is not None:
            print(fault, flush=True)
    print(json.dumps({"part": arguments.part, "trials": trials, "seed": arguments.seed, **counts}))
    raise SystemExit(bool(counts["faults"]))
