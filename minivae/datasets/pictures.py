"""A folder of pictures, PNG or JPEG: its sub-folders are the classes, or train and test with these in them."""

import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import brief, expect
from .frames import require
from .idx import IMAGES
from .npz import LARGEST_UNPACKED
from .options import ReadOptions

PICTURES = (".png", ".jpg", ".jpeg")
OTHERS = (".bmp", ".gif", ".tif", ".tiff", ".webp", ".heic", ".ppm", ".pgm", ".avif", ".jp2")
PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
NOT_READ = ("val", "valid", "validation")
SYSTEM = ("thumbs.db", "desktop.ini", "__macosx")  # and whatever starts with a point


def images_in(path: str | os.PathLike[str]) -> Path | None:
    """The file of images in a folder of MNIST's files or their like, that of the training images if there is more than
    one; None where there is none. ValueError where a folder holds several sets."""
    found: dict[str, Path] = {}
    for file in sorted(_entries(Path(path)), key=lambda file: file.suffix == ".gz"):
        if IMAGES.fullmatch(file.name) and file.is_file():
            found.setdefault(file.name.removesuffix(".gz"), file)
    train = {stem: file for stem, file in found.items() if re.search("train[-_.](images|imgs)", stem, re.I)} or found
    shown = ", ".join(map(repr, list(train)[:6])) + ", ..." * (len(train) > 6)
    expected = "one set of images, or the file's own name: --data FOLDER/FILE"
    expect(len(train) < 2, Path(path).name or str(path), f"a folder with {shown}", expected)
    return next(iter(train.values()), None)


def read_pictures(path: str | os.PathLike[str], options: ReadOptions) -> tuple[dict[str, Any], str]:
    """({"train": (n, height, width) or (n, height, width, 3) uint8, "train_labels": int64, "classes": names}, how it
    was read), and "test" and "test_labels" where there are folders of these names; labels only where there are classes.

    ValueError, naming the picture, where one cannot be read, has transparency or more than 8 bits, or another size than
    the first.
    """
    folder = Path(os.path.abspath(path))  # "." has no name
    name = folder.name or str(folder)
    options.expect_only(name, "a folder", "image_shape", "transpose", *(["label"] if options.label == "" else []))
    folders, files, left = _listing(folder)
    parts: dict[str, list[Path]] = {}
    for sub in folders:
        if sub.name.lower() in PARTS:
            parts.setdefault(PARTS[sub.name.lower()], []).append(sub)
    strangers = [sub.name for sub in folders if sub.name.lower() not in {*PARTS, *NOT_READ}]
    expected = "classes, or train and test with classes in them: name one of these folders, or take the others away"
    expect(len(parts) < 2 or not strangers, name, f"train and test beside {strangers[:1]}", expected)
    named = not strangers and "train" in parts
    if named:
        doubled = next((subs for subs in parts.values() if len(subs) > 1), None)
        expect(not doubled, name, f"the folders {[sub.name for sub in doubled or ()]}", "one of them")
        expect(not files, name, f"pictures such as {files[0].name!r:.60} beside train" if files else "", "none there")
        left += [sub.name for sub in folders if sub.name.lower() in NOT_READ]
        found = {role: _of_part(subs[0]) for role, subs in parts.items()}
    else:
        found = {"train": _of_part(folder)}
    classes = found["train"][1]
    for role, (_, others, _) in found.items():
        expect(others == classes, f"{name}: {role}", f"classes {others!r:.150}", f"those of train, {classes!r:.150}")
    pictures = _Pictures(name, [file for files, _, _ in found.values() for file, _ in files], folder)
    arrays: dict[str, Any] = {}
    start = 0
    for role, (files_of, _, unread) in found.items():
        arrays[role] = pictures.pixels[start : start + len(files_of)]
        start += len(files_of)
        left += unread if named else []
        if classes and options.label != "":
            arrays[f"{role}_labels"] = np.array([label for _, label in files_of], np.int64)
            arrays["classes"] = classes
    said = [pictures.said]
    said += (
        [f"{len(classes)} classes {', '.join(map(repr, classes[:4]))}{', ...' * (len(classes) > 4)}"] if classes else []
    )
    left += [] if named else found["train"][2]
    said += [f"{', '.join(map(repr, sorted(set(left))[:4])):.120} not read"] if left else []
    return arrays, "; ".join(said)


def _entries(folder):
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise ValueError(f"{folder.name or folder}: cannot be read ({error.strerror or error})") from error


def _listing(folder):
    """(sub-folders, pictures, names of other files) in a folder, in order; hidden ones left out."""
    entries = [entry for entry in _entries(folder) if entry.name[0] != "." and entry.name.lower() not in SYSTEM]
    folders = [entry for entry in entries if entry.is_dir()]
    files = [entry for entry in entries if not entry.is_dir()]
    for file in files:
        # Opening a pipe waits for its writer.
        expect(file.is_file() or file.is_symlink(), f"{folder.name}/{file.name}", "no regular file", "pictures only")
        other = file.suffix.lower() in OTHERS
        expect(not other, f"{folder.name}/{file.name}", f"a {file.suffix} picture", "PNG or JPEG: convert it first")
    pictures = [file for file in files if file.suffix.lower() in PICTURES]
    return folders, pictures, [file.name for file in files if file not in set(pictures)]


def _of_part(folder):
    """(pictures with the number of their class, names of the classes or None, other files) of one folder."""
    folders, files, left = _listing(folder)
    if not folders:
        expected = "pictures (.png, .jpg, .jpeg), or sub-folders of them, or IDX files as those of MNIST"
        expect(files, folder.name or str(folder), f"a folder with {left[:4] or 'nothing'}", expected)
        return [(file, 0) for file in files], None, left
    expected = "either: classes in sub-folders, or all pictures in one folder"
    expect(
        not files,
        folder.name,
        f"{files[0].name!r:.60} beside the folder {folders[0].name!r:.60}" if files else "",
        expected,
    )
    found: list[tuple[Path, int]] = []
    classes: list[str] = []
    for sub in folders:
        deeper, pictures, others = _listing(sub)
        expect(not deeper, f"{folder.name}/{sub.name}", "folders in a class", "pictures only")
        left += others
        expect(pictures, f"{folder.name}/{sub.name}", "no picture", "at least one in each class; leave the folder away")
        found += [(file, len(classes)) for file in pictures]
        classes.append(sub.name)
    return found, tuple(classes), left


class _Pictures:
    """The pixels (n, height, width) or (n, height, width, 3) of files, and a phrase that says what they are."""

    def __init__(self, name, files, folder):
        image, size = require("PIL.Image"), (0, 0)
        first, coloured = None, 0
        self.pixels = np.empty(0, np.uint8)
        for place, file in enumerate(files):
            called = f"{name}: {file.relative_to(folder)}"
            values = _read(image, file, called)
            if first is None:
                first, size = file.relative_to(folder), values.shape[:2]
                needed = len(files) * values.size
                expect(needed <= LARGEST_UNPACKED, name, f"{needed:,} bytes of pixels", f"at most {LARGEST_UNPACKED:,}")
                self.pixels = np.empty((len(files), *values.shape), np.uint8)
            wide = f"{values.shape[1]} x {values.shape[0]}"
            expect(values.shape[:2] == size, called, f"a picture of {wide}", f"{size[1]} x {size[0]} as {first}")
            coloured += values.ndim == 3
            if values.ndim == 3 and self.pixels.ndim == 3:  # the first in colour
                self.pixels = self.pixels[..., None].repeat(3, axis=3)
            self.pixels[place] = values if values.ndim == self.pixels.ndim - 1 else values[..., None]
        kind = f"in colour, {len(files) - coloured} of them grey" if 0 < coloured < len(files) else "in colour"
        self.said = f"{len(files)} pictures of {size[1]} x {size[0]} {kind if coloured else 'in grey'}"


def _read(image, path, called):
    """One picture as (height, width) or (height, width, 3) uint8, turned as its camera says."""
    from PIL import ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", image.DecompressionBombWarning)
            with image.open(path, formats=("PNG", "JPEG")) as picture:
                frames = getattr(picture, "n_frames", 1)
                picture.load()
                picture = ImageOps.exif_transpose(picture)
    except Exception as error:  # damaged bytes make Pillow raise more than its own
        raise ValueError(f"{called}: is no PNG or JPEG picture that can be read ({brief(error, 120)})") from error
    expect(frames == 1, called, f"{frames} pictures in one file", "one")
    mode = picture.mode
    if mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        opaque = np.asarray(picture)[..., 3].min() == 255
        expect(opaque, called, "a picture with transparency", "one without: lay it on a background first")
        mode = "L" if mode in ("L", "LA") else "RGB"
    elif mode in ("1", "P"):
        mode = "L" if mode == "1" else "RGB"
    expect(mode in ("L", "RGB"), called, f"a picture of mode {mode}", "8 bits, grey or RGB")
    if picture.mode != mode:
        picture = picture.convert(mode)
    return np.array(picture)
