"""Training that goes on after an interruption, for the reproductions."""

import minivae as mv
from minivae.runs import checkpoint


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
