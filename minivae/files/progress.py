"""A bar of progress: a line on standard error, or in the cell of a notebook."""

import contextlib
import importlib.util
import sys
from typing import Any

from tqdm import tqdm


def bar(items: Any = None, *, show: bool | None, **options: Any) -> tqdm:
    """tqdm's bar; shown by default in a notebook and where standard error is a terminal.

    In a notebook it stays: as a widget where ipywidgets is installed, else as one line of text. (tqdm.auto would warn
    there, and leave a line for each time it was written.) Where there is no standard error none is shown.
    """
    if in_notebook():
        options |= {"leave": True, "disable": show is not None and not show}
        if importlib.util.find_spec("ipywidgets"):
            from tqdm.notebook import tqdm as widget

            return widget(items, **options)
        return tqdm(items, file=_Cell(), **options)
    stream = sys.stderr
    if show is None:
        show = False
        with contextlib.suppress(AttributeError, ValueError, OSError):  # none, closed, or gone
            show = stream.isatty()
    return tqdm(items, file=_Stream(stream), leave=False, disable=stream is None or not show, **options)


def begin(bar: tqdm, label: str, total: int, done: int) -> None:
    """Counts anew, to `total`, of which `done` were done before."""
    bar.set_description(label, refresh=False)
    bar.set_postfix_str(refresh=False)
    bar.initial = 0
    bar.reset(total)
    bar.initial = bar.n = done


def wipe(bar: tqdm) -> None:
    """Leaves a terminal's line to what others print; the next count takes it again."""
    if not bar.disable and not bar.leave:
        bar.display("")
        bar.fp.write("\r")


def in_notebook() -> bool:
    """Whether this is the process of a notebook, a Jupyter kernel."""
    ask = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = ask() if ask else None
    return shell is not None and "IPKernelApp" in shell.config


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


class _Cell:
    """A stream whose last line that is not blank is an output of the cell."""

    encoding = "utf-8"  # tqdm then draws with blocks
    _shown: Any = None

    def write(self, text):
        from IPython.display import display

        line = {"text/plain": text.strip()}
        if self._shown and text.strip():
            self._shown.update(line, raw=True)
        elif text.strip():
            self._shown = display(line, raw=True, display_id=True)

    def flush(self):
        pass
