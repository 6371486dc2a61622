"""A bar of progress on standard error."""

import contextlib
import sys
from typing import Any

from tqdm import tqdm


def bar(items: Any = None, *, show: bool | None, **options: Any) -> tqdm:
    """tqdm's bar; shown by default if standard error is a terminal, and never where there is no standard error."""
    stream = sys.stderr
    if show is None:
        show = False
        with contextlib.suppress(AttributeError, ValueError, OSError):  # none, closed, or gone
            show = stream.isatty()
    return tqdm(items, file=_Stream(stream), leave=False, disable=stream is None or not show, **options)


class _Stream:
    """A stream; what it cannot take is dropped."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text):
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self):
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name):
        return getattr(self._stream, name)
