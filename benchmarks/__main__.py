"""Measurements of minivae and its peers. Each part writes benchmarks/results/PART.json; `report` makes the
tables of the docs and the pictures.
"""

import argparse
import sys

from minivae.command.options import whole
from minivae.kernels import bench
from minivae.kernels.ladder import measure as ladder

from . import breakdown, harness, plots, report, runs, step

OPTIONS = {  # the parts that an option is of
    "peer_python": ("step", "runs"),
    "quick": ("step",),
    "only": ("step",),
    "epochs": ("runs",),
    "verify_only": ("kernels", "ladder", "step"),
}


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("part", choices=["kernels", "ladder", "step", "breakdown", "runs", "report"])
    parser.add_argument("--peer-python", help="a Python with torch and jax (the `bench` extra), to time them as well")
    parser.add_argument("--quick", action="store_true", help="step: only the reference and the tiny model")
    parser.add_argument("--only", default="", metavar="TEXT", help="step: rows with this in their names; others stay")
    parser.add_argument("--epochs", type=whole, default=10, help="runs: how long (default: %(default)s)")
    parser.add_argument("--verify-only", action="store_true", help="kernels, ladder, step: check that all agree only")
    arguments = parser.parse_args()
    for name, parts in OPTIONS.items():
        if getattr(arguments, name) != parser.get_default(name) and arguments.part not in parts:
            parser.error(f"--{name.replace('_', '-')}: got {arguments.part}, expected {', '.join(parts)} with it")
    names = step.grid(arguments.quick)
    if not any(arguments.only in name for name in names):
        parser.error(f"--only: got {arguments.only!r}, expected what is in one of {', '.join(names)}")
    if arguments.part in ("kernels", "ladder"):
        part = bench if arguments.part == "kernels" else ladder
        results = part.run(verify_only=arguments.verify_only)
        if not arguments.verify_only:
            print("\n".join(part.table(results)), file=sys.stderr)
            harness.write(arguments.part, {"machine": harness.machine(), "backends": results})
    elif arguments.part == "step":
        step.run(arguments.peer_python, arguments.quick, arguments.verify_only, arguments.only)
    elif arguments.part == "breakdown":
        print("\n".join(breakdown.table(breakdown.run())))
    elif arguments.part == "runs":
        runs.run(arguments.peer_python, arguments.epochs)
    else:
        report.write_pages()
        plots.draw()


if __name__ == "__main__":
    main()
