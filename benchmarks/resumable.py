"""What the reproductions share: trainings that go on after an interruption, and tables in docs/reproductions.md."""

from pathlib import Path

import minivae as mv
from minivae.files.atomic import write_text
from minivae.runs import checkpoint

PAGE = Path(__file__).parents[1] / "docs" / "reproductions.md"


def fit(path, build, data, epochs, *, backend="auto", **options):
    """(model, history) of a training by `mv.fit` that keeps its checkpoint at `path`, and goes on from there if there
    is one; a model that `build()` makes otherwise. A training that is over is not begun again.

    KeyboardInterrupt where Ctrl-C came while it trained; the checkpoint is then written.
    """
    model, start = None, None
    if path.exists():
        model, start, _ = checkpoint.load_state(path, backend)
        if start.history.epochs >= epochs:
            return model, start.history
    model = model or build()
    history = mv.fit(
        model,
        data,
        epochs=epochs,
        start=start,
        on_checkpoint=lambda state: checkpoint.save(path, model, state),
        checkpoint_seconds=60,
        **options,
    )
    if history.stopped == "interrupted":
        raise KeyboardInterrupt
    return model, history


def seconds(history, rows):
    """The time that training took, without evaluation."""
    return sum(rows / speed for speed in history["examples_per_second"])


def write_to_page(name, text):
    """Puts a table between the page's markers of this name."""
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    head, rest = PAGE.read_text(encoding="utf-8").split(start)
    write_text(PAGE, f"{head}{start}{text}\n{end}{rest.split(end)[1]}")
