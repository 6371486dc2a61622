"""`minivae lab`: the experiments of the sampling laboratory."""

import time
from pathlib import Path

from .. import lab
from . import options
from .options import say

SUMMARY = "measure gradient estimators and bounds against theory"


def add(parser):
    experiments = lab.EXPERIMENTS
    parser.add_argument(
        "experiment", choices=("all", *experiments), help="; ".join(map(": ".join, experiments.items()))
    )
    parser.add_argument("--out", default="lab", metavar="DIR", help="where tables and figures go (lab)")
    parser.add_argument("--seed", type=options.seed, metavar="N", help=f"of the draws of {', '.join(lab.DRAWN)} (0)")


def run(args):
    if args.seed is not None and args.experiment not in ("all", *lab.DRAWN):
        raise ValueError(f"--seed: got {args.seed}, expected one of {', '.join(lab.DRAWN)} with it")
    folder = Path(args.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out: cannot make {folder}: {error.strerror or error}, expected a folder") from error
    for name in lab.EXPERIMENTS if args.experiment == "all" else (args.experiment,):
        say(f"{name}: {lab.EXPERIMENTS[name]}")
        started = time.perf_counter()
        for line in lab.run(name, folder, args.seed or 0):
            say(f"  {line}")
        say(f"  {time.perf_counter() - started:.1f} s, tables and figures in {folder}")
