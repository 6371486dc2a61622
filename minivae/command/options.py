"""What the commands share: the types of options, the run folder, where a result goes, and a line of progress."""

import argparse
import contextlib
import functools
import math
import os
import sys
import threading
from pathlib import Path

import numpy as np

from ..errors import escaped
from ..files.atomic import replacing
from ..kernels import BACKENDS

HELD_OUT = (
    "the run's data, where they are now, or others with as many features: their test rows, or all rows of a file that"
    " has no such (the run's held-out data)"
)


def number(kind, holds, name):
    """The type of an option; argparse says "invalid NAME value: 'x'"."""

    def convert(text):
        value = kind(text)
        if not holds(value):
            raise ValueError
        return value

    convert.__name__ = name
    return convert


whole = number(int, lambda value: value >= 1, "whole number of at least 1,")
index = number(int, lambda value: value >= 0, "whole number of 0 or more,")
seed = number(int, lambda value: 0 <= value < 2**64, "whole number from 0 to 2^64 - 1,")
positive = number(float, lambda value: 0 < value < math.inf, "number above 0,")
not_negative = number(float, lambda value: 0 <= value < math.inf, "number of 0 or more,")


def interval(text):
    """(steps, None) or (None, seconds)."""
    return (None, positive(text[:-1])) if text.endswith("s") else (whole(text), None)


interval.__name__ = "number of steps, or of seconds as in 30s,"


def add_run(parser):
    """The run folder of a command that uses one, which of its models, and how to compute with it."""
    parser.add_argument("run", metavar="RUN", help="a folder that minivae train made")
    parser.add_argument("--best", action="store_true", help="the model of the epoch with the lowest validation loss")
    parser.add_argument("--backend", default="auto", choices=("auto", *BACKENDS), help="kernels (auto)")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="of the draws (0)")


def add_data(parser, what):
    """The data of a command that uses a run: its own, which may have moved, or others."""
    parser.add_argument("--data", metavar="NAME|FILE", help=what)
    title = "how these data are to be read (as the run's were, or as found in them)"
    add_reading(parser.add_argument_group(title).add_argument)


def add_reading(add_argument):
    """What settles how data are read; only what is given is in the namespace."""
    add = functools.partial(add_argument, default=argparse.SUPPRESS)
    add("--encoding", metavar="NAME", help="what a table's text is in, such as cp1252 or gb18030 (UTF-8, or its mark)")
    add("--delimiter", metavar="C", help="between a table's fields: one character, tab or space (found in the table)")
    add("--decimal", choices=(".", ","), help="a table's decimal mark (found in the table)")
    add(
        "--header", action=argparse.BooleanOptionalAction, help="whether a table's first line holds names (found in it)"
    )
    add(
        "--label",
        "--labels",
        metavar="COLUMN",
        help="a table's labels, by name or by number from 1, or an .npz file's array of them; '' for none (label)",
    )
    add("--drop", nargs="*", metavar="COLUMN", help="columns to leave out, likewise (names of rows of pandas and R)")
    add("--array", metavar="NAME", help="the array of an .npz file that holds the examples (found by its name)")
    add(
        "--image-shape",
        dest="shape",
        type=whole,
        nargs="+",
        metavar="N",
        help="height and width of an image, and a 3 behind or before them for colours (found in the file)",
    )
    add(
        "--transpose",
        action=argparse.BooleanOptionalAction,
        help="whether images are stored column by column (as EMNIST's are)",
    )


def asked(args):
    """What `runs.reopening` opens: run, backend, whether the best model, the data or None, how these are to be read."""
    from ..runs.config import READING

    data = getattr(args, "given", None) if args.data is None else args.data  # compress has it by either name
    return args.run, args.backend, args.best, data, {name: vars(args)[name] for name in READING if name in args}


def add_out(parser, name):
    """Where a picture or an array goes, by default into the run folder under that name."""
    parser.add_argument("-o", "--out", metavar="FILE", help=f"a .png picture or .npy array (RUN/{name})")


def result_path(args, name, kinds=(".png", ".npy")):
    """The path that `--out` asks for, by default this name in the run folder; of one of these kinds of files."""
    path = Path(args.out or Path(args.run) / name)
    if path.suffix not in kinds:
        endings = " or ".join(filter(None, (", ".join(kinds[:-1]), kinds[-1])))
        raise ValueError(f"--out: got {str(path)!r}, expected a name that ends in {endings}")
    return path


def expect_output(out, *inputs):
    """ValueError, before any work, where a result could not be written, or would be over a file it is made from."""
    name, out = str(out), Path(out)
    if not out.parent.is_dir():
        raise ValueError(f"--out: got {name!r}, expected a name in a folder that exists")
    if not os.access(out.parent, os.W_OK):
        raise ValueError(f"--out: got {name!r}, expected a name in a folder that can be written in")
    if out.exists() and not out.is_file():
        raise ValueError(f"--out: got {name!r}, expected the name of a file")
    if out.exists() and any(os.path.exists(given) and out.samefile(given) for given in inputs if given is not None):
        raise ValueError(f"--out: got {name!r}, which is an input, expected another file")


def expect_result(path, args):
    """As `expect_output`, of a command that uses a run, whose data, history and choices are not to be lost either."""
    from ..runs import folder, reopening

    kept = [Path(args.run) / name for name in (folder.HISTORY, folder.CONFIG)]
    kept += reopening.places(args.run, folder.read_config(args.run).data)
    expect_output(path, getattr(args, "data", None), *kept)


def save_array(path, array):
    with replacing(path) as file:
        np.save(file, array)


def printable(text, stream):
    """The text with what the stream cannot take, and what would not stay in its line, as Python escapes it."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return escaped(text).encode(encoding, "backslashreplace").decode(encoding)


class Say(threading.local):
    """Prints one line of progress; flushed, so that it shows at once in a pipe too.

    A line that standard output cannot take is dropped: no work is lost to it. `failure` is then the reason. Where
    several ranks do the same, all but one are `silent`.
    """

    failure: Exception | None = None
    silent = False

    def __call__(self, line):
        if self.silent:
            return
        try:
            print(printable(line, sys.stdout), flush=True)
        except (OSError, ValueError) as error:  # full, closed
            self.failure = self.failure or error


say = Say()


def complain(line):
    """Prints one line on standard error, if there is one."""
    if sys.stderr is not None and not say.silent:
        with contextlib.suppress(OSError, ValueError):
            print(printable(line, sys.stderr), file=sys.stderr, flush=True)


def failure(error, rank=0):
    """(the line that tells of an error, the exit status); (None, None) where no user can have caused it."""
    if isinstance(error, KeyboardInterrupt):
        return "minivae: interrupted", 130
    known = isinstance(error, (ValueError, ArithmeticError, OSError, MemoryError))
    if not known or (isinstance(error, TimeoutError) and error.errno is None):
        return None, None  # that one is not the system's: a signal handler of the calling program
    where = f"rank {rank}: " if rank else ""
    return f"minivae: error: {where}{' '.join(str(error).split()) or type(error).__name__}", 2
