"""Ctrl-C and the signal to terminate, turned into a request that training meets between two steps."""

import signal
import threading


class _Handler:
    """Within this context a signal is handled by `_handle`, afterwards as before.

    Outside the main thread, where Python takes no signals, it does nothing.
    """

    requested = False
    _signal: signal.Signals

    def _handle(self, signum, frame):
        raise NotImplementedError

    def __enter__(self):
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._previous = signal.signal(self._signal, self._handle)
        return self

    def __exit__(self, *exception):
        if self._main:
            signal.signal(self._signal, self._previous)


class Interrupt(_Handler):
    """Within this context Ctrl-C sets `requested` instead of raising; a second Ctrl-C raises as usual."""

    _signal = signal.SIGINT

    def _handle(self, signum, frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


class Termination(_Handler):
    """Within this context SIGTERM acts as Ctrl-C does, and `requested` tells that it came."""

    _signal = signal.SIGTERM

    def _handle(self, signum, frame):
        self.requested = True
        interrupt = signal.getsignal(signal.SIGINT)
        if not callable(interrupt):  # a shell's background jobs ignore Ctrl-C
            raise KeyboardInterrupt
        interrupt(signal.SIGINT, frame)
