"""Ctrl-C and the signal to terminate, turned into a request that training meets between two steps."""

import signal
import threading


class Interrupt:
    """Within this context Ctrl-C sets `requested` instead of raising; a second Ctrl-C raises as usual.

    Outside the main thread, where Python takes no signals, it does nothing.
    """

    requested = False

    def __enter__(self):
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def _handle(self, signum, frame):
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def __exit__(self, *exception):
        if self._main:
            signal.signal(signal.SIGINT, self._previous)


class Termination:
    """Within this context SIGTERM acts as Ctrl-C does, and `requested` tells that it came."""

    requested = False

    def __enter__(self):
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._previous = signal.signal(signal.SIGTERM, self._handle)
        return self

    def _handle(self, signum, frame):
        self.requested = True
        interrupt = signal.getsignal(signal.SIGINT)
        if not callable(interrupt):  # a shell's background jobs ignore Ctrl-C
            raise KeyboardInterrupt
        interrupt(signal.SIGINT, frame)

    def __exit__(self, *exception):
        if self._main:
            signal.signal(signal.SIGTERM, self._previous)
