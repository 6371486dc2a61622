"""Ctrl-C and the signals that end a process, turned into a request that training meets between two steps."""

import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, ClassVar

# What a terminal, a shell, a batch system or a limit sends to end a process, where the system has it.
NAMES = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGALRM", "SIGBREAK")
TERMINATIONS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))


class _Handler:
    """Within this context `_handle` handles the signals, afterwards what did before.

    A signal that is ignored stays so (nohup, a shell's background jobs), as does a handler that is not Python's, which
    could not be put back. Outside the main thread, where Python takes no signals, nothing changes.
    """

    _previous: dict[signal.Signals, Any]

    def __enter__(self):
        self._previous = {}
        if threading.current_thread() is threading.main_thread():
            for number in self._signals():
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _signals(self):
        return (signal.SIGINT,)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        raise NotImplementedError


class Interrupt(_Handler):
    """Within this context Ctrl-C sets `requested` instead of raising; a second Ctrl-C raises as usual."""

    innermost: "ClassVar[Interrupt | None]" = None  # of the main thread
    requested = False

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self._outer, Interrupt.innermost = Interrupt.innermost, self
        return super().__enter__()

    def __exit__(self, *exception):
        super().__exit__()
        if Interrupt.innermost is self:
            Interrupt.innermost = self._outer

    def _handle(self, signum, frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


class Termination(_Handler):
    """Within this context the signals that end a process act as Ctrl-C does, and only once: a terminal or a batch
    system may send several, and none may end the saving that the first began.

    One for which a program has a handler of its own stays with that; but SIGTERM does not, so that training is saved
    first. `requested` is the signal that came, 0 where none did.
    """

    requested = 0

    def _signals(self):
        own = (signal.SIG_DFL,)
        return [number for number in TERMINATIONS if number == signal.SIGTERM or signal.getsignal(number) in own]

    def _handle(self, signum, frame):
        first, self.requested = not self.requested, self.requested or signum
        if Interrupt.innermost:
            Interrupt.innermost.requested = True
        elif first:
            _raise(signum, frame)


class Interruptible(_Handler):
    """Within this context, in a process that is the command, Ctrl-C raises KeyboardInterrupt; but not into an import,
    where an exception may get lost or change into another: there the process ends.
    """

    def _handle(self, signum, frame):
        _raise(signum, frame)


def _raise(signum, frame):
    while _IS_COMMAND and frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            leave(signum, None)
        frame = frame.f_back
    raise KeyboardInterrupt


def leave(signum: int, frame: FrameType | None) -> None:
    """Ends the process with one line: for where there is nothing to save, and nobody to catch an exception."""
    with contextlib.suppress(OSError):
        os.write(2, b"minivae: interrupted\n")
    os._exit(128 + signum)


def _is_command():
    """Whether this process is the command `minivae`, which imports the package before it comes to its entry point."""
    name = os.path.basename((getattr(sys, "argv", None) or [""])[0])
    as_module = name == "-m" and not {"minivae", "-mminivae"}.isdisjoint(sys.orig_argv)
    return as_module or name.removesuffix(".exe") == "minivae"


_IS_COMMAND = _is_command()
if _IS_COMMAND and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, leave)  # until the entry point is reached: these imports take a second
