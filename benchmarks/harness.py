"""What every benchmark shares: processes with clean environments, rounds, medians and spread, the machine, JSON."""

import json
import os
import pathlib
import platform
import re
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
    """Seconds of each worker's step: `count` turns each, one after the other, `repeats` steps a turn.

    They count after 0.1 s, and one more step, of a turn: training does not pause, and a processor that has idled takes
    up to 30 ms to bring its widest units (AMX above all) up to speed.
    """
    seconds = {worker.name: [] for worker in workers}
    for _ in range(count):
        for worker in workers:
            time.sleep(bench.PAUSE)
            seconds[worker.name] += worker.ask(do="time", repeats=repeats + 1, after=0.1)["seconds"][1:]
    return seconds


def summary(seconds):
    """Median, quartiles and the fastest tenth, in microseconds."""
    low, first, middle, third = (1e6 * np.percentile(seconds, q) for q in (10, 25, 50, 75))
    return {"median_us": middle, "quartiles_us": [first, third], "fastest_tenth_us": low, "steps": len(seconds)}


def machine():
    cpuinfo, said = pathlib.Path("/proc/cpuinfo"), {}
    if cpuinfo.exists():
        lines = [line.split(":", 1) for line in cpuinfo.read_text().split("\n\n")[0].splitlines() if ":" in line]
        said = {name.strip(): value.strip() for name, value in lines}
    # virtual machines often hide the name of the model, but not its number
    name = f"{said['model name']} {said.get('cpu family', '')}-{said.get('model', '')}" if "model name" in said else ""
    return {
        "cpu": name or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "numpy": np.__version__,
    }


def folder():
    """Where the results of this machine are: another machine's stay beside them."""
    name = re.sub(r"\((r|tm)\)", "", machine()["cpu"].lower())
    return RESULTS / re.sub(r"[^a-z0-9]+", "-", name).strip("-")


def write(name, result):
    path = folder() / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {path.relative_to(HERE.parent)}", file=sys.stderr)
