"""A stored model: its description and its arrays in one sealed `.npz` file. No pickle: reading runs nothing.

description        JSON: format, version, the model's arguments, the training's numbers, whatever else was given
parameter/NAME     the parameters

`runs.checkpoint` says what is added where a training is to go on from the file. The whole file is covered by a checksum
(see `archive`). Version 1 had no state of training, and a checksum over its arrays only; it is still read.
"""

import contextlib
import hashlib
import json
import os
from typing import Any

import numpy as np

from ..errors import brief
from . import archive

FORMAT = "minivae checkpoint"
VERSION = 2
DEEPEST = 100


class NewerVersion(ValueError):
    """A whole file of a version that this one does not know."""


def write(path, model, arrays, **more):
    """Writes arrays by name, and a description of which `model`, the model's arguments, and `more` are entries.

    The file is written beside its destination, flushed to disk and then renamed over it, so that at every moment
    there is a whole file under that name: the old one or the new one.
    """
    description = {"format": FORMAT, "version": VERSION, "model": model} | more
    archive.write(path, {"description": json.dumps(description, indent=1)} | arrays)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The description (a dict) and the arrays (a dict) of a file that `write` wrote, its checksum verified.

    ValueError if there is no such file, it is no stored model, or does not match its checksum; NewerVersion, which is
    one too, if it is of a newer version.
    """
    try:
        members, sealed = archive.read(path, look=_expect_known_version)
        description = parse(members.pop("description"))
        version, known = description["version"], description["format"] == FORMAT
        if not isinstance(description["model"], dict) or not isinstance(description["extra"], dict):
            raise TypeError("its description lacks the model")
    except NewerVersion as error:
        raise NewerVersion(f"{path}: {error}") from None
    except ValueError as error:
        if "no such file" in str(error):
            raise ValueError(f"{path}: there is no such checkpoint") from None
        raise ValueError(f"{path}: not a minivae checkpoint, or a damaged one ({brief(error)})") from error
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: not a minivae checkpoint ({brief(error)})") from error
    if not known or version not in (1, VERSION):
        raise ValueError(f"{path}: got checkpoint version {version!r:.80}, expected 1 to {VERSION}")
    if not sealed and (version != 1 or description.get("sha256") != _digest_1(members)):
        raise ValueError(f"{path}: the checksum does not match the contents; the file is damaged")
    if not all(isinstance(array, np.ndarray) for array in members.values()):
        raise ValueError(f"{path}: not a minivae checkpoint (a text besides its description)")
    if version == 1:
        description.pop("training", None)
    return description, members


def parse(text: str) -> Any:
    """What the JSON says; ValueError or RecursionError where it is none, or lists in lists go so deep that what handles
    them later could not follow.
    """
    value = json.loads(text)
    level = [value]
    for _ in range(DEEPEST):
        nested = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list))]
        level = [item for items in nested for item in items]
        if not level:
            return value
    raise ValueError(f"JSON of more than {DEEPEST} levels")


def _expect_known_version(members):
    """Looks at the description alone, whatever else a newer version may hold."""
    version = None
    with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
        description = json.loads(members["description"])
        version = description["version"] if description["format"] == FORMAT else None
    if type(version) is int and version > VERSION:
        raise NewerVersion(f"got checkpoint version {version!r:.80}, expected 1 to {VERSION}: made by a newer minivae")


def _digest_1(arrays):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def expect_stored(arrays, name, shape, dtype):
    """Raises ValueError unless there is an array of this name, shape and dtype."""
    array = arrays.get(name)
    if array is None or array.shape != tuple(shape) or array.dtype.name != dtype:
        came = "nothing" if array is None else f"{array.dtype} {array.shape}"
        raise ValueError(f"{name}: got {came}, expected {dtype!r:.80} {tuple(shape)!r:.80}")


@contextlib.contextmanager
def damage_named(path, complaint):
    """What damaged contents can raise, as a ValueError of one line that names the file."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {brief(str(error).removeprefix(f'{path}: '))}") from error
    except (TypeError, KeyError, AttributeError, ArithmeticError, MemoryError) as error:
        raise ValueError(f"{path}: {complaint} ({brief(error)})") from error
