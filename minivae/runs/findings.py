"""What is in a run folder: which files are whole, and which checkpoint the run goes on from.

`--resume` and `minivae verify` ask here, so that one does what the other says.
"""

import contextlib
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import expect
from ..files import stored
from ..training.state import History
from . import checkpoint, folder
from .config import Config

WRITTEN = folder.CHECKPOINT, folder.CONFIG, folder.BEST, folder.HISTORY


@dataclass(frozen=True)
class Finding:
    """What is known of a file.

    kind : "whole", "damaged", "newer" (of a version that this one cannot read), "closed" (which may not be read),
        "missing" or "unfinished"
    about : what it holds, or what is wrong with it
    step : of a whole checkpoint; epochs : how many are done in it
    """

    name: str
    kind: str
    about: str
    step: int | None = None
    epochs: int = 0

    @property
    def whole(self):
        return self.kind == "whole"

    def __str__(self):
        return f"{self.name}: {self.kind}, {self.about}"


@dataclass(frozen=True)
class Choice:
    """What a run goes on from.

    checkpoints : all of them, newest first; best : the finding of best.npz, None where there need be none
    taken : the checkpoint to go on from, None for the beginning of the run
    stored : what `stored.read` gave of it; config : the run's choices, in it or in config.json; history : that in it
    why : in words
    refused : whether the run cannot go on: no checkpoint is whole, or one of a newer version would be overwritten
    """

    checkpoints: list[Finding]
    why: str = ""
    refused: bool = False
    taken: Finding | None = None
    stored: Any = None
    config: Config | None = None
    history: History = field(default_factory=History)
    best: Finding | None = None

    @property
    def whole(self):
        """From the names of the whole checkpoints to their steps, newest first."""
        return {found.name: found.step for found in self.checkpoints if found.whole}

    @property
    def passed_over(self):
        """The checkpoints that are newer than the one taken."""
        return self.checkpoints[: self.checkpoints.index(self.taken)] if self.taken else self.checkpoints


def choose(path):
    """The `Choice` for the run in the folder `path`."""
    path = Path(path)
    newest, checkpoints = path / folder.CHECKPOINT, []
    taken: dict[str, Any] = {}
    of_others = []
    for file in [newest] * os.path.lexists(newest) + folder.earlier_checkpoints(path):
        found, content = look(file, to_go_on=True)
        checkpoints.append(found)
        if found.whole and not taken:
            taken = {"taken": found} | content
        elif found.whole and content["config"].run != taken["config"].run:
            of_others.append((found.name, content["config"].run))
    choice = Choice(checkpoints, **taken)
    choice = replace(choice, best=_best(path, choice.history))
    if folders := [name for name in WRITTEN if (path / name).is_dir() and not (path / name).is_symlink()]:
        return replace(choice, refused=True, why=f"{folders[0]} is a folder, and the run is to write a file there")
    passed = choice.passed_over
    if unknown := [found for found in (*passed, choice.best) if found and found.kind in ("newer", "closed")]:
        return replace(choice, refused=True, why=f"{unknown[0].name}: {unknown[0].about}")
    if passed and not taken:
        return replace(choice, refused=True, why=f"{passed[0].name}: {passed[0].about}")
    if not taken:
        try:
            return replace(choice, config=folder.read_config(path), why="there is no checkpoint")
        except ValueError as error:
            return replace(choice, refused=True, why=str(error))
    for name, run in of_others:
        with contextlib.suppress(ValueError):
            if folder.read_config(path).run == run:
                why = f"{taken['taken'].name} is of another run than {folder.CONFIG} and {name}"
                return replace(choice, refused=True, why=f"{why}: move it out of the folder")
    if passed:
        return replace(choice, why=f"{' and '.join(found.name for found in passed)} cannot be read")
    return replace(choice, why="it is the newest" if newest.exists() else f"there is no {folder.CHECKPOINT}")


def look(file, to_go_on=False):
    """The finding of a file with a state of training, and a dict of what a `Choice` has of it, empty if it is none.

    to_go_on : whether it must hold the optimizer's moments, which best.npz does not
    """
    if file.exists() and not os.access(file, os.R_OK):
        return Finding(file.name, "closed", "it may not be read, and may be whole"), {}
    try:
        description, arrays = stored.read(file)
        with stored.damage_named(file, "the run's choices are damaged"):
            config = Config.from_json(description["extra"].get("config"))
        state = checkpoint.from_stored(file, description, arrays, "numpy")[1]
        if to_go_on:
            with stored.damage_named(file, "the run's choices are damaged"):
                needed = sorted(config.training.make_optimizer(state.batches).moments)
                expect(sorted(state.moments) == needed, "moments", sorted(state.moments), f"the optimizer's, {needed}")
    except ValueError as error:
        kind = "newer" if isinstance(error, stored.NewerVersion) else "damaged"
        return Finding(file.name, kind, str(error).removeprefix(f"{file}: ")), {}
    done = state.history.epochs
    found = Finding(file.name, "whole", f"step {state.step:,}, epochs done: {done}", state.step, done)
    return found, {"stored": (description, arrays), "config": config, "history": state.history}


def _best(path, history):
    losses, file = history.get("validation_loss", []), path / folder.BEST
    if not os.path.lexists(file):
        return Finding(folder.BEST, "missing", f"{len(losses)} epochs are done") if losses else None
    found = look(file)[0]
    lowest = losses.index(min(losses)) + 1 if losses else 0
    if found.whole and found.epochs <= len(losses) and found.epochs != lowest:
        about = f"of epoch {found.epochs}, but epoch {lowest} has the lowest validation loss"
        return replace(found, kind="damaged", about=about)
    return found


def others(path, choice):
    """The findings of all else that a run writes, pictures aside."""
    path = Path(path)
    checks = {folder.CONFIG: _check_config, folder.HISTORY: _check_history, folder.EVALUATION: _check_evaluation}
    needed = {folder.CONFIG: True, folder.HISTORY: choice.history.epochs, folder.EVALUATION: False}
    for name, check in checks.items():
        if not os.path.lexists(path / name):
            if needed[name]:
                yield Finding(name, "missing", "a resumed run writes it again")
            continue
        try:
            yield Finding(name, "whole", check(path, choice.history))
        except (ValueError, OSError, RecursionError) as error:
            yield Finding(name, "damaged", str(error))
    for left in folder.left_unfinished(path):
        yield Finding(left.name, "unfinished", "it is being written, or a killed process left it")


def _check_config(path, history):
    config = folder.read_config(path)
    return f"{config.data.name}, epochs to do: {config.training.epochs}, {config.backend} backend"


def _check_history(path, history):
    columns, rows = folder.as_history(path), history.epochs
    found = len(columns["epoch"])
    if found < rows:
        raise ValueError(f"it has {found} epochs, and the checkpoint {rows}")
    header, lines = folder.table(history)
    for name, values in zip(header, zip(*lines, strict=True), strict=False):
        if name in columns and list(map(str, columns[name][:rows])) != [str(float(value)) for value in values]:
            raise ValueError(f"its column {name} is not that of the checkpoint")
    return f"epochs: {found}"


def _check_evaluation(path, history):
    result = json.loads(folder.read_text(path / folder.EVALUATION, folder.LONGEST_CONFIG))
    if not isinstance(result, dict) or not isinstance(result.get("elbo"), float):
        raise ValueError("not what minivae evaluate writes")
    return f"ELBO {result['elbo']:.3f}"
