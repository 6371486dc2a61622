"""Whole runs, from starting the process to its end: time and peak memory of `minivae train` and of PyTorch's example.

Also what a start costs: importing the package, and the first training step with a cold and a warm cache.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import harness

FIRST_STEP = """
import time
start = time.perf_counter()
import minivae as mv
imported = time.perf_counter()
import numpy as np
data = np.zeros((128, 784), np.uint8)
model = mv.VAE(features=784, latent=20, hidden=(400,), backend="cpu")
mv.fit(model, data, epochs=1, batch_size=128)
print(imported - start, time.perf_counter() - start)
"""


def measured(command, environment):
    """(seconds, peak memory in MB) of a process; raises if it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise RuntimeError(f"{command} failed: {said.decode()[-500:]}")
    return seconds, usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def start_up(environment):
    """Seconds to import the package, and to the end of the first step, in a fresh process: cold, then warm (best of
    three).
    """
    with tempfile.TemporaryDirectory() as cache:
        environment = environment | {"NUMBA_CACHE_DIR": cache}

        def once():
            done = subprocess.run([sys.executable, "-c", FIRST_STEP], env=environment, capture_output=True, check=True)
            return [float(word) for word in done.stdout.split()]

        cold = once()
        warm = min((once() for _ in range(3)), key=lambda times: times[1])
    return {"import_s": warm[0], "first_step_warm_s": warm[1], "first_step_cold_s": cold[1]}


def run(peer_python=None, epochs=10):
    environment = harness.clean_environment()
    result = {"machine": harness.machine(), "epochs": epochs, "start": start_up(environment), "runs": {}}
    with tempfile.TemporaryDirectory() as folder:
        train = [sys.executable, "-m", "minivae", "train", "--epochs", str(epochs), "--seed", "1", "--backend", "cpu"]
        measured([*train[:-5], "1", "--backend", "cpu", "--out", f"{folder}/warm"], environment)
        commands = {"minivae train": [*train, "--out", f"{folder}/run"]}
        if peer_python:
            mnist = Path(__file__).parent.parent / "minivae" / "datasets" / "mnist"
            script = str(harness.HERE / "peers" / "torch_run.py")
            commands["PyTorch example"] = [peer_python, script, str(mnist), str(epochs), f"{folder}/samples.npy"]
        for name, command in commands.items():
            seconds, memory = measured(command, environment)
            result["runs"][name] = {"seconds": seconds, "peak_mb": memory}
            print(f"{name}: {seconds:.1f} s, {memory:.0f} MB", file=sys.stderr)
    harness.write("runs", result)
    return result
