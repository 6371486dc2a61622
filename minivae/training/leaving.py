"""Ctrl-C in a process that is the command `minivae`, from the first import on, which takes a second.

The package imports this module before all others, and this one little else.
"""

import os
import signal
import sys

# What a launcher of MPI sets in the processes that it starts, with the number of each.
RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID")


def leave(signum, frame):
    """Ends the process with one line, said by the first rank alone: for where there is nothing to save, and nobody to
    catch an exception.
    """
    try:
        if all(os.environ.get(name, "0") == "0" for name in RANKS):
            os.write(2, b"minivae: interrupted\n")
    finally:
        os._exit(128 + signum)


def raise_interrupt(signum, frame):
    """Raises KeyboardInterrupt; but in the command not into an import, where an exception may get lost or change into
    another: there the process ends.
    """
    while IS_COMMAND and frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            leave(signum, None)
        frame = frame.f_back
    raise KeyboardInterrupt


def _is_command():
    name = os.path.basename((getattr(sys, "argv", None) or [""])[0])
    as_module = name == "-m" and not {"minivae", "-mminivae"}.isdisjoint(sys.orig_argv)
    return as_module or name in ("minivae", "minivae.exe")


IS_COMMAND = _is_command()
if IS_COMMAND and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, leave)  # until the entry point is reached
