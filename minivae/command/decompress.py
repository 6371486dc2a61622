"""`minivae decompress`: the data that `minivae compress` made a file of."""

from pathlib import Path

import numpy as np

from . import options
from .options import say

SUMMARY = "give back what minivae compress made a file of"
LARGEST = 1 << 33


def add(parser):
    parser.add_argument("run", metavar="RUN", nargs="?", help="the run; none for a file that holds its networks")
    parser.add_argument("file", metavar="FILE", help="what minivae compress wrote")
    parser.add_argument("-o", "--out", metavar="DATA", required=True, help="the .npy file to write")
    parser.add_argument("--best", action="store_true", help="the model of the epoch with the lowest validation loss")
    parser.add_argument("--rows", metavar="FIRST:LAST", help="some rows only, from FIRST on and before LAST, from 0")


def run(args):
    from ..compression.file import decompress, read_header
    from ..files.opening import regular_file
    from ..runs import reopening

    if Path(args.out).suffix != ".npy":
        raise ValueError(f"--out: got {args.out!r}, expected a name that ends in .npy")
    options.expect_output(args.out, args.file)
    if args.best and args.run is None:
        raise ValueError("--best: got it without a RUN, expected the run whose best model it is")
    rows = _slice(args.rows)
    model = None if args.run is None else reopening.open_model(args.run, "numpy", args.best)[1]
    with regular_file(args.file) as (name, file, length):
        if length > LARGEST:
            raise ValueError(f"{name}: {length} bytes, expected at most {LARGEST}")
        content = file.read()
    try:
        header = read_header(content)
        if rows and not (rows.start or 0) < (header.rows if rows.stop is None else rows.stop) <= header.rows:
            raise ValueError(f"--rows: got {args.rows!r}, expected FIRST below LAST, of its {header.rows:,} rows")
        x = decompress(model, content, rows)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    options.save_array(Path(args.out), x)
    say(f"{len(x):,} rows of {x.shape[1]} {np.dtype(x.dtype).name} values in {args.out}")
    if header.model and model:
        say("with the networks in the file: the run was not needed")


def _slice(text):
    if text is None:
        return None
    first, colon, last = text.partition(":")
    try:
        found = slice(*(int(part) if part else None for part in (first, last)))
        if colon and all(part is None or part >= 0 for part in (found.start, found.stop)):
            return found
    except ValueError:
        pass
    raise ValueError(f"--rows: got {text!r}, expected FIRST:LAST, whole numbers of 0 or more")
