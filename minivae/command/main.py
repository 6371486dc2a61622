"""The command line: `minivae train | evaluate | sample | reconstruct | verify | gradcheck | bench |
lab`.

Whatever a user can get wrong ends in one line on standard error and exit status 2; Ctrl-C ends with status 130 and the
signal to terminate with 143, training only after its current step is made and saved.
"""

import argparse
import atexit
import gc
import os
import signal
import sys

from ..training.interrupts import Termination
from . import bench, evaluate, gradcheck, lab, reconstruct, sample, train, verify

PROG = "minivae"
COMMANDS = (train, evaluate, sample, reconstruct, verify, gradcheck, bench, lab)


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns the exit status.

    Called with arguments, by a program that does more than this, it hands a signal to terminate on to it at the end.
    """
    if argv is None:
        # At its end a program gives all memory back anyway: looking for garbage in it first takes 0.3 s.
        atexit.register(gc.freeze)
    with Termination() as termination:
        status = _run(argv)
    if termination.requested and argv is not None:
        signal.raise_signal(signal.SIGTERM)
    return 143 if status == 130 and termination.requested else status


def _run(argv):
    try:
        args = build_parser().parse_args(argv)
        return args.command(args) or 0
    except KeyboardInterrupt:
        print(f"{PROG}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader has gone; keep Python from complaining when it closes standard output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, ArithmeticError, OSError, MemoryError) as error:
        print(f"{PROG}: error: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
        return 2


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line, without the usage in front."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def build_parser() -> Parser:
    """The parser of all commands, each of which says in a module of its own what it takes and does."""
    parser = Parser(
        prog=PROG,
        description="A variational autoencoder from scratch: train one, look at it, measure it.",
        epilog="Start with `minivae train`: ten epochs on MNIST, and a folder of results.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in COMMANDS:
        summary = module.SUMMARY
        sub = commands.add_parser(
            module.__name__.rpartition(".")[2], help=summary, description=summary[0].upper() + summary[1:] + "."
        )
        sub.set_defaults(command=module.run)
        module.add(sub)
    return parser
