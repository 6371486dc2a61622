"""What every benchmark shares: processes with clean environments, rounds, medians and spread, the machine, JSON."""

import json
import os
import pathlib
import platform
import subprocess
import sys
import time

import numpy as np

from minivae.kernels import bench

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results"


def clean_environment():
    environment = {name: value for name, value in os.environ.items() if name not in bench.OPENBLAS_OVERRIDES}
    environment["PYTHONWARNINGS"] = "ignore"
    return environment


class Worker:
    """A library in a process of its own, behind the protocol of `peers/protocol.py`.

    Between its turns it sleeps, so it takes no time from the others.
    """

    def __init__(self, name, python, *script, **environment):
        self.name = name
        command = [python, str(HERE / "peers" / script[0]), *script[1:]]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment() | environment
        )

    def ask(self, **command):
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name}: the process ended with status {self._process.wait()}")
        return json.loads(answer)

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def rounds(workers, repeats, count):
    """Seconds of each worker's step: `count` turns each, one after the other, `repeats` steps a turn, of which the
    first two do not count (they find cold caches).
    """
    seconds = {worker.name: [] for worker in workers}
    for _ in range(count):
        for worker in workers:
            time.sleep(bench.PAUSE)
            seconds[worker.name] += worker.ask(do="time", repeats=repeats + 2)["seconds"][2:]
    return seconds


def summary(seconds):
    """Median, quartiles and the fastest tenth, in microseconds."""
    low, first, middle, third = (1e6 * np.percentile(seconds, q) for q in (10, 25, 50, 75))
    return {"median_us": middle, "quartiles_us": [first, third], "fastest_tenth_us": low, "steps": len(seconds)}


def machine():
    model = ""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else ""
    return {
        "cpu": model or platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "numpy": np.__version__,
    }


def write(name, result):
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {path.relative_to(HERE.parent)}", file=sys.stderr)
