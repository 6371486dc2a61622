"""A model in one `.npz` file: arrays by name, and a description in JSON. No pickle: loading runs nothing."""

import hashlib
import json
import zipfile

import numpy as np

from .atomic import replacing

FORMAT = "minivae checkpoint"
VERSION = 1


def save(path, model, optimizer=None, extra=None):
    """Writes `model`, and `optimizer`'s moments and step count if given, to `path`.

    The file is written beside its destination, flushed to disk and then renamed over it, so that at every moment
    there is a whole file under that name: the old one or the new one. `extra` is a JSON-serialisable dict kept with
    it.
    """
    to_host = model.backend.to_host
    arrays = {f"parameter/{name}": to_host(value) for name, value in model.parameters.items()}
    description = {"format": FORMAT, "version": VERSION, "model": model.config, "extra": extra or {}}
    if optimizer is not None:
        description["optimizer"] = {"name": type(optimizer).__name__, "steps": optimizer.steps}
        for moment, flat in getattr(optimizer, "state", {}).items():
            arrays |= {f"{moment}/{name}": to_host(value) for name, value in model.store.views(flat).items()}
    description["sha256"] = _digest(arrays)
    with replacing(path) as file:
        np.savez(file, description=np.array(json.dumps(description)), **arrays)


def load(path, backend="auto"):
    """(model, description, arrays) from a file that `save` wrote.

    Raises
    ------
    ValueError
        If there is no such file, it is not a checkpoint, is of a newer version, or does not match its checksum.
    """
    from .vae import VAE  # vae.py imports this module for VAE.save

    description, arrays = read(path)
    try:
        model = VAE(**description["model"], backend=backend)
    except (TypeError, KeyError) as error:
        raise ValueError(f"{path}: the checkpoint describes no model that this version can build ({error})") from error
    for name, value in model.parameters.items():
        stored = arrays.get(f"parameter/{name}")
        if stored is None or stored.shape != tuple(value.shape) or stored.dtype != model.dtype:
            came = "nothing" if stored is None else f"{stored.dtype} {stored.shape}"
            raise ValueError(f"{path}: parameter {name}: got {came}, expected {model.dtype} {tuple(value.shape)}")
        model.backend.assign(value, stored)
    return model, description, arrays


def read(path):
    """The description (a dict) and the arrays (a dict) of a checkpoint, its checksum verified."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        description = json.loads(str(arrays.pop("description")))
        version, digest = description["version"], description["sha256"]
        known = description["format"] == FORMAT
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such checkpoint") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a minivae checkpoint ({error})") from error
    if not known or version != VERSION:
        raise ValueError(f"{path}: got checkpoint version {version!r}, expected {VERSION}")
    if digest != _digest(arrays):
        raise ValueError(f"{path}: the checksum does not match the contents; the file is damaged")
    return description, arrays


def _digest(arrays):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array)
    return digest.hexdigest()
