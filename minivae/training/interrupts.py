"""Ctrl-C and the signals that end a process, turned into a request that training meets between two steps."""

import contextlib
import signal
import threading
from types import FrameType
from typing import Any, ClassVar

from .leaving import raise_interrupt

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
            raise_interrupt(signum, frame)

    def last(self):
        """For a process that has done all and only has to end: whatever comes now changes its status no more."""
        while self._previous:
            signal.signal(self._previous.popitem()[0], signal.SIG_IGN)


class Deadly(_Handler):
    """Within this context Ctrl-C and the signals that end a process do so at once, as if it had no handlers: for where
    a library waits, so that Python's handlers would never run, and there is nothing to save.
    """

    _handle: Any = signal.SIG_DFL

    def _signals(self):
        return (signal.SIGINT, *TERMINATIONS)


def sigterm_as_ctrl_c():
    """A context in which SIGTERM acts as Ctrl-C, unless it does already or is the program's own: some launchers of MPI
    turn one into the other.
    """
    own = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    return Termination() if own else contextlib.nullcontext()


class Interruptible(_Handler):
    """Within this context Ctrl-C raises KeyboardInterrupt, or ends the process (see `raise_interrupt`)."""

    def _handle(self, signum, frame):
        raise_interrupt(signum, frame)
