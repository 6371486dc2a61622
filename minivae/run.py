"""Run folders: what a training run leaves, and opening one again.

config.json       every choice that was made, enough to repeat the run
checkpoint.npz    the model, the optimizer's moments and its step count, as of the last finished epoch
history.csv       one line for each epoch
*.png             pictures
"""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np

from . import checkpoint
from .atomic import replacing
from .datasets import load_dataset

CONFIG, CHECKPOINT, HISTORY = "config.json", "checkpoint.npz", "history.csv"
FILES = (CONFIG, CHECKPOINT, HISTORY)


def write_text(path, text):
    with replacing(path) as file:
        file.write(text.encode())


def free_folder(stem):
    """runs/stem-1, or the first number not yet taken."""
    number = 1
    while (path := Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return path


def claim_folder(path, overwrite):
    """Makes the folder, or raises ValueError if it holds anything and `overwrite` is not given.

    Overwriting removes only what a run writes, and only from a folder that holds a run.
    """
    path = Path(path)
    occupied = path.exists() and (not path.is_dir() or any(path.iterdir()))
    if occupied and not (overwrite and (path / CONFIG).is_file()):
        hint = "a new folder, or --overwrite to replace the run in it" if (path / CONFIG).is_file() else "a new folder"
        raise ValueError(f"--out: {path} exists and is not empty, expected {hint}")
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(f"--out: cannot write in {path}: {error.strerror or error}") from error
    if occupied:
        for name in (*FILES, "evaluation.json"):
            (path / name).unlink(missing_ok=True)
        for picture in path.glob("*.png"):
            picture.unlink()
    return path


def check_space(path, model):
    """Raises ValueError if the disk has no room for the checkpoint (twice: the old and the new) and the pictures."""
    needed = 8 * model.store.flat.nbytes + 4_000_000
    free = shutil.disk_usage(path).free
    if free < needed:
        raise ValueError(f"--out: {path} has {free:,} bytes free, expected at least {needed:,} for this run")


def write_config(path, config):
    write_text(path / CONFIG, json.dumps(config, indent=2) + "\n")


def write_history(path, history):
    """One column for each scalar, and kl_0, kl_1, ... for the KL of each latent."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [column for column in history if column != "kl_per_latent"]
    latents = len(history["kl_per_latent"][0]) if "kl_per_latent" in history else 0
    writer.writerow(columns + [f"kl_{j}" for j in range(latents)])
    for row in range(len(history["epoch"])):
        per_latent = history["kl_per_latent"][row] if latents else ()
        writer.writerow([_number(history[column][row]) for column in columns] + [_number(kl) for kl in per_latent])
    write_text(path / HISTORY, text.getvalue())


def _number(value):
    return value if isinstance(value, int) else f"{float(value):.6g}"


def read_config(path):
    path = Path(path)
    try:
        config = json.loads((path / CONFIG).read_text())
        config["data"], config["training"]
    except FileNotFoundError:
        raise ValueError(f"run: {path} holds no {CONFIG}, expected a folder that minivae train made") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"run: {path / CONFIG} is not the configuration of a run ({error})") from error
    return config


def open_run(path, backend="auto"):
    """(config, model, dataset) of a run folder. The data are loaded again from where the run found them."""
    path = Path(path)
    config = read_config(path)
    model = checkpoint.load(path / CHECKPOINT, backend)[0]
    data = load(config["data"])
    if data.features != model.features:
        raise ValueError(f"data: {data.name} has {data.features} features, expected the run's {model.features}")
    return config, model, data


def load(choices):
    """The data set of a configuration's "data" entry."""
    return load_dataset(
        choices["name"], size=choices["size"], test_fraction=choices["test_fraction"], seed=choices["seed"]
    )


def as_history(path):
    """history.csv as a dict of lists, for plotting."""
    with open(Path(path) / HISTORY, newline="") as file:
        rows = list(csv.DictReader(file))
    return {column: [float(row[column]) for row in rows] for column in rows[0]} if rows else {}


def unit_values(data, pixels, seed=0):
    """The values of data that a model sees, as float32: for pictures and reconstructions."""
    values = np.divide(data, 255, dtype=np.float32) if data.dtype == np.uint8 else data.astype(np.float32)
    if pixels == "threshold":
        return (values > 0.5).astype(np.float32)
    if pixels == "dynamic":
        return (np.random.default_rng(seed).random(values.shape, np.float32) < values).astype(np.float32)
    return values
