"""A run that is there already: its model, and its data wherever they are now.

A run folder says where its data were in words that hold on another machine: a data set's name, or a file's path from
the run folder, or no more than the file's own name. Whatever is found is held against the fingerprint.
"""

import contextlib
import getpass
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..datasets import dataset_names
from ..errors import brief, expect
from ..vae import VAE
from . import folder, rows
from .config import Data

NOTHING: Mapping[str, Any] = MappingProxyType({})


def stored_name(name: str, run: str | os.PathLike[str]) -> str:
    """What a run folder keeps of where its data are: no absolute path, and no name of a user."""
    if name in dataset_names:
        return name
    file = Path(name)
    bare = f".{os.sep}{file.name}" if file.name in dataset_names else file.name
    with contextlib.suppress(OSError, ValueError):  # on Windows: another drive
        relative = Path(os.path.relpath(file.parent.resolve(), Path(run).resolve()))
        names = [word for part in relative.parts for word in (part, *re.split("[^a-z0-9]+", part.lower()))]
        if not any(word in names for word in _user()):
            return str(relative / file.name)
    return bare


def _user():
    """The words that tell who the user is."""
    words = set()
    with contextlib.suppress(KeyError, ImportError, OSError, RuntimeError):  # nobody knows
        words.add(Path.home().name)
        words.add(getpass.getuser())
    return words - {""} | {word.lower() for word in words if word}


def places(run, choices: Data):
    """Where a file of data may be: where it was, beside the run folder, in it, or in the current folder."""
    run, bare = Path(run), Path(choices.name).name
    return run / choices.name, run.parent / bare, run / bare, Path(bare), Path(choices.name)


def find_data(run, choices: Data, given=None, reading=NOTHING):
    """(data, choices with the name that gave them): those that the run in the folder `run` was trained on.

    A file is looked for in its `places`; given : a data set's name or a file in place of all that; reading : as in
    `open_run`. ValueError where none has the fingerprint.
    """
    label, advice = ("data", "; give those with --data FILE") if given is None else ("--data", "")
    run, choices, failures = Path(run), replace(choices, **reading), []
    if given is not None or choices.name in dataset_names:
        names = [given or choices.name]
    else:
        bare = Path(choices.name).name
        there = {os.path.abspath(place): str(place) for place in reversed(places(run, choices)) if place.exists()}
        names = list(there.values())[::-1]
        hint = "give the data that the run was trained on with --data FILE"
        expect(names, "data", f"no {brief(bare, 80)} where it was, nor beside the run folder, in it, or here", hint)
    # A table may be saved anew, in UTF-8; and an earlier version took whole numbers in a column called class or the
    # like for a feature, and said so nowhere.
    anew = [replace(choices, encoding=None)] if choices.encoding and "encoding" not in reading else []
    ways = [*anew, choices, *([replace(choices, label="")] if choices.label is None else [])]
    for name in names:
        for way in ways:
            try:
                data = folder.load(replace(way, name=name))
            except ValueError as error:
                failure = brief(error)
            else:
                found = replace(way, name=name).holding(data)
                if found.fingerprint == choices.fingerprint:
                    return data, found
                failure = f"{data.name} is not the data this run was trained on{advice}"
            if way is choices:
                failures.append(failure)
    raise ValueError(f"{label}: {failures[0]}")


def open_model(path, backend="auto", best=False):
    """(config, model) of a run folder; no data are read."""
    path = Path(path)
    config = folder.read_config(path)
    return config, VAE.load(path / (folder.BEST if best else folder.CHECKPOINT), backend)


def open_run(path, backend="auto", best=False, given=None, reading=NOTHING):
    """(config, model, data, whether they are the run's own) of a run folder; other data only where they are given: of
    these, the test rows are held out, or all rows where there are no such. reading : those of READING that say how they
    are read, where that is not as the run's are.
    """
    config, model = open_model(path, backend, best)
    try:
        data, _ = find_data(path, config.data, given, reading)
        own = True
    except ValueError:
        if given is None:
            raise
        data = rows.of_others(config.data, given, model.features, reading).held_out(config.data)
        own = data.fingerprint() == config.data.fingerprint
    if data.features != model.features:
        raise ValueError(f"data: {data.name} has {data.features} features, expected the run's {model.features}")
    return config, model, data, own


def open_all_rows(path, backend="auto", best=False, given=None, reading=NOTHING):
    """(config, model, `Rows`) of a run folder: all rows of its data, or of others that are given."""
    config, model = open_model(path, backend, best)
    try:
        return config, model, rows.of_run(find_data(path, config.data, given, reading)[1])
    except ValueError:
        if given is None:
            raise
        return config, model, rows.of_others(config.data, given, model.features, reading)


def open_rows(path, backend="auto", best=False, given=None, reading=NOTHING, pixels=None, seed=0):
    """(model, rows, image shape, training rows) to compress: the run's held-out data, those of a named data set, or all
    rows of a file in its order; made 0 and 1 as `pixels` says. Training rows only beside the run's own data.
    """
    train = None
    if given is None or given in dataset_names:
        _, model, data, own = open_run(path, backend, best, given, reading)
        x, shape, train = data.test, data.image_shape, data.train if own else None
    else:
        config, model, found = open_all_rows(path, backend, best, given, reading)
        x, shape = found.values, config.data.image_shape
    if pixels:
        of_bytes = getattr(model.likelihood, "of_bytes", False)
        expect(not of_bytes, "pixels", pixels, "none for a likelihood of bytes, which keeps grey values")
        x, train = (part if part is None else folder.unit_values(part, pixels, seed) for part in (x, train))
    return model, x, shape, train


def image_shape(path, config):
    """(height, width) of a run's images, or None; of an earlier version's, which did not keep it, from the data."""
    if config.data.image_shape or config.data.dtype or config.model.features == 2:
        return config.data.image_shape
    with contextlib.suppress(ValueError):
        return find_data(path, config.data)[0].image_shape
    return (28, 28) if config.model.features == 784 else None
