"""Run folders: what a training run leaves, and opening one again.

config.json            every choice that was made, enough to repeat the run
checkpoint.npz         the model and the state of its training; checkpoint-STEP.npz are those before it
best.npz               the model with the lowest validation loss so far
history.csv            one line for each epoch
*.png                  pictures
"""

import contextlib
import csv
import errno
import io
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np

from ..datasets import Dataset, Scaling, load_dataset
from ..errors import brief
from ..evaluation.held_out import Pages
from ..files.atomic import unfinished, write_text
from ..files.opening import regular_file
from ..files.stored import parse
from ..kernels import load_backend
from .config import Config, Data

try:
    import fcntl
except ImportError:  # Windows: no locks
    fcntl = None  # type: ignore[assignment]

CONFIG, CHECKPOINT, HISTORY, BEST = "config.json", "checkpoint.npz", "history.csv", "best.npz"
EVALUATION, LATENTS, EXPLORER, EARLIER = "evaluation.json", "latents.csv", "explorer.html", "checkpoint-{:08d}.npz"
# What a run's folder holds that commands write under names of their own, besides earlier checkpoints.
FILES = (BEST, HISTORY, EVALUATION, LATENTS, EXPLORER, "*.png", CHECKPOINT, CONFIG)
LONGEST_CONFIG = 1 << 25  # it may hold two numbers for each feature
LONGEST_HISTORY = 1 << 28


def free_folder(stem):
    """runs/stem-1, or the first number not yet taken."""
    number = 1
    while (path := Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return path


@contextlib.contextmanager
def claimed(path, overwrite, needed=0):
    """Makes the folder and holds it for this process; ValueError if it holds anything and `overwrite` is not given, or
    the disk has no room for so many bytes.

    Overwriting removes only what a run writes, and only from a folder that holds a run: last what makes it one.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out: cannot make {path}: {error.strerror or error}, expected a new folder") from error
    with locked(path):
        remove_unfinished(path)
        occupied, holds_run = any(path.iterdir()), (path / CONFIG).is_file()
        if occupied and not (overwrite and holds_run):
            hint = "a new folder, or --overwrite to replace the run in it" if holds_run else "a new folder"
            raise ValueError(f"--out: {path} exists and is not empty, expected {hint}")
        old = [*earlier_checkpoints(path), *(file for name in FILES for file in path.glob(name))] if occupied else []
        free = shutil.disk_usage(path).free + sum(file.lstat().st_size for file in old)
        if free < needed:
            raise ValueError(f"--out: {path} has {free:,} bytes free, expected at least {needed:,} for this run")
        try:
            with open(path / f".{CONFIG}.00000000.tmp", "xb"):
                pass
            remove_unfinished(path)
            for file in old:
                file.unlink()
        except OSError as error:
            raise ValueError(f"--out: cannot write in {path}: {error.strerror or error}") from error
        yield path


@contextlib.contextmanager
def locked(path):
    """Holds the folder for one process; ValueError if another has it. The lock ends with the process, however it ends.

    On a file system without locks it does nothing.
    """
    handle = None
    try:
        if fcntl:
            handle = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
                    raise ValueError(f"{path}: another process is training in this folder") from None
        yield
    finally:
        if handle is not None:
            os.close(handle)


def space(model, keep):
    """Bytes for the checkpoints of a run (one more than are kept) and its pictures."""
    return (3 * keep + 5) * model.store.flat.nbytes + 4_000_000


def left_unfinished(path):
    """What a killed process was writing of a run's files, or one that is training is."""
    return unfinished(path, (*FILES, "checkpoint-*.npz"))


def remove_unfinished(path):
    for left in left_unfinished(path):
        left.unlink(missing_ok=True)


def earlier_checkpoints(path):
    """The checkpoints before the newest, latest first; files of a user's own whose names are alike are none, and
    neither are folders.
    """
    files = [file for file in Path(path).glob("checkpoint-*") if not file.is_dir()]
    found = [(re.fullmatch(r"checkpoint-([0-9]{8,})\.npz", file.name), file) for file in files]
    return [file for _, file in sorted(((int(name[1]), file) for name, file in found if name), reverse=True)]


def write_config(path, config):
    write_text(path / CONFIG, json.dumps(config.to_json(), indent=2) + "\n")


def table(history):
    """(header, lines) of history.csv: one column for each scalar, and kl_0, kl_1, ... for the KL of each latent."""
    columns = [column for column in history if column != "kl_per_latent"]
    latents = len(history["kl_per_latent"][0]) if "kl_per_latent" in history else 0
    lines = []
    for row in range(history.epochs):
        per_latent = history["kl_per_latent"][row] if latents else ()
        lines.append([_number(history[column][row]) for column in columns] + [_number(kl) for kl in per_latent])
    return columns + [f"kl_{j}" for j in range(latents)], lines


def write_history(path, history):
    header, lines = table(history)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    write_text(path / HISTORY, text.getvalue())


def _number(value):
    return value if isinstance(value, int) else f"{float(value):.6g}"


def read_config(path) -> Config:
    """The configuration in config.json of a run folder; ValueError where there is none."""
    path = Path(path)
    if not (path / CONFIG).exists():
        raise ValueError(f"run: {path} holds no {CONFIG}, expected a folder that minivae train made")
    try:
        return Config.from_json(parse(read_text(path / CONFIG, LONGEST_CONFIG)))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"run: {path / CONFIG} is not the configuration of a run ({brief(error)})") from error


def read_text(path, longest):
    """The text of a regular file of at most so many bytes; ValueError where it is none."""
    with regular_file(path) as (name, file, length):
        if length > longest:
            raise ValueError(f"{name}: {length} bytes, expected at most {longest}")
        return file.read(length).decode()  # a buffer as long as is asked for is made first


def load(choices: Data) -> Dataset:
    """The data set of a configuration; scaled as it says, where it has been used before."""
    found = ("name", "fingerprint", "image_shape", "dtype", "shape", "columns", "scaling")
    chosen = {name: value for name, value in vars(choices).items() if value is not None and name not in found}
    if choices.scaling is not None:
        chosen |= {"standardize": False, "scale_by": None, "scaling": Scaling.from_json(choices.scaling)}
    return load_dataset(choices.name, image_shape=choices.shape, **chosen)


def as_history(path):
    """history.csv as a dict of lists, for plotting; ValueError where it is not what a run writes."""
    path = Path(path) / HISTORY
    try:
        rows = list(csv.reader(io.StringIO(read_text(path, LONGEST_HISTORY))))
        header, numbers = rows[0], [[float(value) for value in row] for row in rows[1:]]
        if header[0] != "epoch" or not numbers or any(len(row) != len(header) for row in numbers):
            raise ValueError("its lines differ in length, or are none of a run's")
    except (ValueError, IndexError, csv.Error) as error:
        raise ValueError(f"run: {path} is not the history of a run ({error})") from error
    return {column: list(values) for column, values in zip(header, zip(*numbers, strict=True), strict=True)}


def unit_values(data, pixels, seed=0, draw=0):
    """The values of held-out data (n, features) that an `Evaluator` shows a model, as float32: for pictures,
    reconstructions and log p(x). Those of the first rows are those that the whole data have there.
    """
    values = np.empty(data.shape, np.float32)
    for first, x in Pages(load_backend("numpy"), data, "float32", pixels, seed)(draw):
        values[first : first + len(x)] = x
    return values
