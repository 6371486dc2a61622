"""`minivae gradcheck`: every check over every backend, as a table and a picture."""

from pathlib import Path

from ..kernels import BACKENDS
from .options import expect_output, say

SUMMARY = "check every gradient, loss, sampler and kernel, and print the errors"


def add(parser):
    parser.add_argument("--backend", action="append", choices=tuple(BACKENDS), help="only this one (all present)")
    parser.add_argument("--dtype", action="append", choices=("float64", "float32"), help="only this one (both)")
    parser.add_argument("--out", default="gradcheck.png", metavar="FILE", help="the picture (gradcheck.png)")


def run(args):
    """Exit status 0 if every check passed, 1 if not."""
    from ..selfcheck import report

    out = Path(args.out)
    if out.suffix != ".png":
        raise ValueError(f"--out: got {args.out!r}, expected a name that ends in .png")
    expect_output(out)
    rows = report.run_all(args.backend, out, tuple(args.dtype or ("float64", "float32")), say)
    return 0 if all(row.outcome.passed for row in rows) else 1
