"""The command line: `minivae train | evaluate | sample | reconstruct | encode | compress | decompress | verify |
explore | gradcheck | bench | lab`.

Whatever a user can get wrong ends in one line on standard error and exit status 2. A signal N that ends a process ends
this one with 128 + N, 130 for Ctrl-C, training only after its current step is made and saved. Lines that standard
output cannot take are dropped; the work is done, and the exit status is then 2, or 141 where a pipe's reader has gone.
"""

import argparse
import atexit
import contextlib
import gc
import logging
import os
import signal
import sys

from .. import __version__
from ..errors import brief
from ..training.interrupts import Interruptible, Termination
from ..training.leaving import leave
from ..training.team import launched_rank
from . import bench, compress, decompress, encode, evaluate, explore, gradcheck, lab, reconstruct, sample, train, verify
from .options import complain, failure, say

PROG = "minivae"
COMMANDS = (
    *(train, evaluate, sample, reconstruct, encode, explore, compress, decompress, verify),
    *(gradcheck, bench, lab),
)


def main(argv: list[str] | None = None) -> int:
    """Runs one command for a program that does more than this, and returns the exit status.

    Signal handlers are afterwards as they were; a signal to terminate that came meanwhile is then raised again.
    """
    termination = Termination()
    try:
        with termination:
            status = _run(argv)
    finally:
        if termination.requested:
            signal.raise_signal(termination.requested)
    return status if status != 130 else 128 + (termination.requested or signal.SIGINT)


def program() -> int:
    """Runs the command in sys.argv in a process of its own, and returns the exit status."""
    # At its end a program gives all memory back anyway: looking for garbage in it first takes 0.3 s.
    atexit.register(gc.freeze)
    # Where it can write no folder for its fonts it says so in two lines and does without.
    logging.getLogger("matplotlib").addFilter(lambda record: record.funcName != "_get_config_or_cache_dir")
    try:
        _open_closed_streams()
        with Interruptible(), Termination() as termination:
            try:
                status = _run(None)
            except SystemExit as stop:  # of the parser
                status = _told(stop.code)
            status = _flushed(status)
            termination.last()
        return status if status != 130 else 128 + (termination.requested or signal.SIGINT)
    except KeyboardInterrupt:  # a second one, while the first was answered
        leave(signal.SIGINT, None)
        raise


def _run(argv):
    say.failure = None
    say.silent = (sys.argv[1:] if argv is None else argv)[:1] == ["train"] and launched_rank() > 0
    try:
        args = build_parser().parse_args(argv)
        status = args.command(args) or 0
    except (KeyboardInterrupt, Exception) as error:
        line, status = failure(error)
        if line is None:
            raise
        complain(line)
        return _of_job(status)
    return _of_job(_told(status))


def _of_job(status):
    """The status, of which the rank that speaks gives that of a job: some launchers end all ranks with the first that
    is not 0, whatever the others have yet to say.
    """
    return 0 if say.silent else status


def _told(status):
    """The status of a command whose lines may be lost."""
    if say.failure is None:
        return status
    reason = getattr(say.failure, "strerror", None) or say.failure
    complain(f"{PROG}: error: standard output: {reason}; what it could not take is lost, the rest of the work is done")
    return status or (141 if isinstance(say.failure, BrokenPipeError) else 2)


def _flushed(status):
    """The status after a last flush. Streams that still hold what they cannot take go nowhere, lest Python complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if say.failure is None and stream is sys.stdout:
                say.failure = error
                status = _told(status)
    return status


def _open_closed_streams():
    """Standard streams that were closed go nowhere; files that are opened later would take their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            with contextlib.suppress(OSError):
                handle = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
                setattr(sys, name, os.fdopen(handle, mode, closefd=False))


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line, without the usage in front, and which says whatever it prints."""

    _parses = False

    def error(self, message):
        complain(f"{self.prog}: error: {brief(message, 400)} (see {self.prog} --help)")
        self.exit(_of_job(2))

    def parse_known_args(self, args=None, namespace=None):
        """Of a command, options may stand anywhere between its arguments, before one that may be left out as well."""
        if self._parses or self._subparsers:
            return super().parse_known_args(args, namespace)
        self._parses = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._parses = False

    def _print_message(self, message, file=None):
        for line in message.splitlines():
            say(line)


def build_parser() -> Parser:
    """The parser of all commands, each of which says in a module of its own what it takes and does."""
    parser = Parser(
        prog=PROG,
        description="A variational autoencoder from scratch: train one, look at it, measure it.",
        epilog="Start with `minivae train`: ten epochs on MNIST, and a folder of results.",
    )
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    parser.set_defaults(command=lambda args: parser.print_help())
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for module in COMMANDS:
        summary = module.SUMMARY
        sub = commands.add_parser(
            module.__name__.rpartition(".")[2], help=summary, description=summary[0].upper() + summary[1:] + "."
        )
        sub.set_defaults(command=module.run)
        module.add(sub)
    return parser
