"""`python -m benchmarks.article`: train, measure, and write the page's numbers and figure."""

import argparse
import json
import multiprocessing
import os
import platform
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from . import report, runs
from .checks import run_checks

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "article.json"
PAGE, FIGURE = ROOT / "docs" / "the-article.md", ROOT / "docs" / "images" / "the-article.png"


def measure(epochs, scale_epochs, seeds):
    """Everything, as one dict. Runs are spread over the processor cores; their results do not depend on that."""
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # read by the workers as they start
    spawn = multiprocessing.get_context("spawn")  # a fork would inherit the parent's BLAS threads
    with ProcessPoolExecutor(os.cpu_count(), mp_context=spawn) as pool:
        trained = [pool.submit(runs.train, mistake, seed, epochs) for seed in seeds for mistake in runs.TRAINED]
        signs = [pool.submit(runs.sign, seed) for seed in seeds]
        scales = [pool.submit(runs.scale, name, seed, scale_epochs) for name in runs.SCALES for seed in seeds]
        return {
            "epochs": epochs,
            "scale_epochs": scale_epochs,
            "seeds": list(seeds),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "processor": platform.processor() or platform.machine(),
            "checks": run_checks(),
            "noise_floor": runs.noise_floor(),
            "trained": [future.result() for future in trained],
            "sign": [future.result() for future in signs],
            "scale": [future.result() for future in scales],
        }


def _dump(results):
    """JSON with one run or check to a line."""

    def value(entry):
        if isinstance(entry, list) and entry and isinstance(entry[0], dict):
            return "[\n  " + ",\n  ".join(map(json.dumps, entry)) + "\n ]"
        return json.dumps(entry)

    return "{\n " + ",\n ".join(f"{json.dumps(key)}: {value(entry)}" for key, entry in results.items()) + "\n}\n"


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.article", description=__doc__)
    parser.add_argument("--epochs", type=int, default=100, help="of each run with a mistake (100)")
    parser.add_argument("--scale-epochs", type=int, default=30, help="of each run on scaled data (30)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each kind (3)")
    parser.add_argument("--redraw", action="store_true", help="only page and figure, from the results that are there")
    args = parser.parse_args()
    if not args.redraw:
        results = measure(args.epochs, args.scale_epochs, range(args.seeds))
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(_dump(results))
    results = json.loads(RESULTS.read_text())
    report.write_page(PAGE, results)
    report.draw(FIGURE, results)


if __name__ == "__main__":
    main()
