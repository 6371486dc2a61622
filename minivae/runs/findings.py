"""What is in a run folder: which files are whole, and which checkpoint the run goes on from.

`--resume` and `minivae verify` ask here, so that one does what the other says.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..files import stored
from . import checkpoint, folder
from .config import Config


@dataclass(frozen=True)
class Finding:
    """What is known of a file.

    about : what it holds, or why it is not whole
    step : of a whole checkpoint; epochs : how many are done in it
    newer : whether it is of a version that this one cannot read
    """

    name: str
    whole: bool
    about: str
    step: int | None = None
    epochs: int | None = None
    newer: bool = False

    def __str__(self):
        return f"{self.name}: {'whole' if self.whole else 'newer' if self.newer else 'damaged'}, {self.about}"


@dataclass(frozen=True)
class Choice:
    """The checkpoints of a run, newest first, and what is to be made of them.

    taken : the one to go on from, or None; stored : what `stored.read` gave of it, config : the run's choices in it
    why : in words
    refused : whether the run cannot go on, since none is whole or one of a newer version would be overwritten
    """

    findings: list[Finding]
    why: str
    refused: bool = False
    taken: Finding | None = None
    stored: tuple[dict[str, Any], dict[str, Any]] | None = None
    config: Config | None = None

    @property
    def whole(self):
        """From the names of the whole checkpoints to their steps, newest first."""
        return {found.name: found.step for found in self.findings if found.whole}

    @property
    def passed_over(self):
        """Those that are newer than the one taken."""
        return self.findings[: self.findings.index(self.taken)] if self.taken else self.findings


def choose(path):
    """The `Choice` for the run in the folder `path`."""
    path, findings, taken = Path(path), [], {}
    newest = path / folder.CHECKPOINT
    for file in [newest] * os.path.lexists(newest) + folder.earlier_checkpoints(path):
        found, *content = look(file)
        findings.append(found)
        if found.whole and not taken:
            taken = dict(zip(("stored", "config"), content, strict=True)) | {"taken": found}
    passed = Choice(findings, "", **taken).passed_over
    if newer := [found for found in passed if found.newer]:
        return Choice(findings, f"{newer[0].name}: {newer[0].about}", refused=True)
    if passed and not taken:
        return Choice(findings, f"{passed[0].name}: {passed[0].about}", refused=True)
    if not taken:
        return Choice(findings, "there is no checkpoint yet")
    why = "it is the newest"
    if passed:
        why = f"{' and '.join(found.name for found in passed)} cannot be read"
    elif taken["taken"].name != folder.CHECKPOINT:
        why = f"there is no {folder.CHECKPOINT}"
    return Choice(findings, why, **taken)


def look(file):
    """(finding, what `stored.read` gave, config) of a file with a state of training; None for them where it is none."""
    try:
        description, arrays = stored.read(file)
        with stored.damage_named(file, "the run's choices are damaged"):
            config = Config.from_json(description["extra"].get("config"))
        state = checkpoint.from_stored(file, description, arrays, "numpy")[1]
    except ValueError as error:
        newer = isinstance(error, stored.NewerVersion)
        return Finding(file.name, False, str(error).removeprefix(f"{file}: "), newer=newer), None, None
    done = state.history.epochs
    about = f"step {state.step:,}, {done} epoch{'s' * (done != 1)} done"
    return Finding(file.name, True, about, state.step, done), (description, arrays), config


def best(path, history):
    """The `Finding` of best.npz in a run with this history; None where there is none and need be none."""
    losses, file = history.get("validation_loss", []), Path(path) / folder.BEST
    if not file.exists():
        return Finding(folder.BEST, False, "missing") if losses else None
    found = look(file)[0]
    lowest = losses.index(min(losses)) + 1 if losses else 0
    if found.whole and found.epochs <= len(losses) and found.epochs != lowest:
        about = f"of epoch {found.epochs}, but epoch {lowest} has the lowest validation loss"
        return replace(found, whole=False, about=about)
    return found
