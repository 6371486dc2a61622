"""The trials of minivae.gradcheck: how much right code it refuses, how many planted bugs it sees and tells of.

right : every family as it should be, many seeds, float64 and float32
bugs : each bug once; seen, and told of with the array or circumstance that a reader needs
awkward : right code in awkward dress
relu : random float32 relu networks, depth 1 to 4
models : random minivae models
verify : the corpus itself against plain differences
samplers, rivals : trials that have a file of their own here, if present
all : the first five, with a table for docs/gradient-checking.md (--write)
"""

import argparse
import importlib
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from minivae.gradcheck import check_gradients

from .awkward import cases
from .corpus import FAMILIES, judged
from .networks import relu_network
from .registry import Case

PARTS = ("right", "bugs", "awkward", "relu", "models")
HEADER = "| trial | cases | as they should be | others |\n|---|---|---|---|"


def random_relu_network(number):
    """A right float32 network, with what makes it hard: kinks everywhere, zero biases, rows of zeros."""
    rng = np.random.default_rng((16, number))
    widths = [int(width) for width in rng.integers(4, 65, 2 + int(rng.integers(4)))]
    x = rng.standard_normal((int(rng.integers(1, 33)), widths[0]))
    if rng.random() < 0.3:
        x[rng.random(len(x)) < 0.3] = 0
    zero_biases, weights = rng.random() < 0.5, []
    for rows, columns in pairwise(widths):
        weights += [rng.standard_normal((rows, columns)) * np.sqrt(2 / rows)]
        weights += [np.zeros(columns) if zero_biases else 0.3 * rng.standard_normal(columns)]
    return relu_network(), tuple(array.astype(np.float32) for array in (x, *weights))


@cache
def chosen(part, seeds):
    """The cases of a part; `seeds` scales those that are drawn."""
    if part == "right":
        return [f.right(seed, dtype) for f in FAMILIES.values() for dtype in f.dtypes for seed in range(seeds)]
    if part == "bugs":
        return [f.wrong(bug) for f in FAMILIES.values() for bug in f.bugs]
    if part == "awkward":
        return cases()
    return [Case(f"relu {n}", lambda n=n: random_relu_network(n), "right") for n in range(20 * seeds)]


def judge(part, seeds, number):
    case = chosen(part, seeds)[number]
    return case.name, *judged(case, check_gradients)


def trial(part, seeds):
    """(verdict counts, the name and text of each case that was not as it should be)."""
    if part == "models":
        from tests.minivae.gradcheck.test_models import alarms

        refused, _ = alarms(range(20 * seeds))
        return Counter(ok=20 * seeds - len(refused), refused=len(refused)), refused
    count = len(chosen(part, seeds))
    with ProcessPoolExecutor() as pool:
        answers = list(pool.map(judge, [part] * count, [seeds] * count, range(count), chunksize=8))
    faults = [f"{verdict}: {name}\n{text}" for name, verdict, text in answers if verdict != "ok"]
    return Counter(verdict for _, verdict, _ in answers), faults


def main():
    parser = argparse.ArgumentParser("python -m benchmarks.gradcheck", description=__doc__, formatter_class=Raw)
    others = [n for n in ("samplers", "rivals", "verify") if (Path(__file__).parent / f"{n}.py").exists()]
    parser.add_argument("part", choices=[*PARTS, *others, "all"], nargs="?", default="all")
    parser.add_argument("--seeds", type=int, default=50, help="of each family; 20 networks and models for each")
    parser.add_argument("--write", action="store_true", help="all: the table into docs/gradient-checking.md")
    arguments, rest = parser.parse_known_args()
    if arguments.part in others:
        return importlib.import_module(f".{arguments.part}", __package__).main(rest)
    if rest or (arguments.write and arguments.part != "all"):
        parser.error(f"unrecognized: {' '.join(rest)}" if rest else "--write goes with `all`")
    rows, faulty = [HEADER], False
    for part in PARTS if arguments.part == "all" else [arguments.part]:
        counts, faults = trial(part, arguments.seeds)
        print("\n\n".join(faults))
        bad = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if verdict != "ok") or "0"
        rows.append(f"| {part} | {counts.total()} | {counts['ok']} | {bad} |")
        print(rows[-1], flush=True)
        faulty = faulty or bool(faults)
    if arguments.write:
        from tests.mutants.table import write

        write("gradcheck trials", "\n".join(rows))
    return int(faulty)


Raw = argparse.RawDescriptionHelpFormatter

if __name__ == "__main__":
    raise SystemExit(main())
