"""`minivae bench`: how fast the kernels are on this machine."""

import json
from pathlib import Path

from ..files.atomic import write_text
from .options import expect_output, say

SUMMARY = "time the kernels of this machine's backends, each in a process of its own"


def add(parser):
    parser.add_argument("--backend", choices=("cpu", "numpy"), help="only this one (all there are)")
    parser.add_argument(
        "--ladder", action="store_true", help="matrix products instead, from three loops to the fast one"
    )
    parser.add_argument(
        "--verify-only", action="store_true", help="check the results against float64, and time nothing"
    )
    parser.add_argument("--out", metavar="FILE", help="also write the figures to a .json file")


def run(args):
    from ..kernels import bench
    from ..kernels.ladder import measure as ladder

    measured = ladder if args.ladder else bench
    if args.out and Path(args.out).suffix != ".json":
        raise ValueError(f"--out: got {args.out!r}, expected a name that ends in .json")
    if args.out:
        expect_output(args.out)
    results = measured.run(args.backend and [args.backend], args.verify_only, say)
    if args.verify_only:
        for backend, result in results.items():
            say(f"{backend}: {len(result['verified'])} results agree with float64")
    else:
        for line in measured.table(results):
            say(line)
    if args.out:
        write_text(args.out, json.dumps(results, indent=1) + "\n")
        say(f"written to {args.out}")
