"""Opening what a stranger may have written: a regular file, or a member of a zip, its length known beforehand."""

import contextlib
import os
import stat
import zipfile
from pathlib import Path

from .stream import Stream, unreadable

EXPANSION = 1032  # deflate never packs better: 258 bytes in 2 bits


@contextlib.contextmanager
def regular_file(path):
    """(name, open binary file, length) of a file that is not empty; links are followed.

    Within the context every OSError becomes a ValueError that names the file.
    """
    path = Path(path)
    name = path.name or str(path)  # "." and "/" have none
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ValueError(f"{name}: is a folder, expected a file")
        # Opening a pipe waits for its writer, and a device may never end.
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{name}: is not a regular file")
        if status.st_size == 0:
            raise ValueError(f"{name}: is empty")
        with open(path, "rb") as file:
            yield name, file, os.fstat(file.fileno()).st_size  # another file may have its name since
    except FileNotFoundError as error:
        raise ValueError(f"{name}: no such file: {os.fspath(path)!r}") from error
    except OSError as error:
        raise unreadable(name, error) from error


def open_zip(name, file):
    try:
        return zipfile.ZipFile(file)
    except Exception as error:  # damaged bytes make zipfile raise more than BadZipFile
        raise unreadable(name, error) from error


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextlib.contextmanager
def open_member(name, archive, info, length, methods=METHODS):
    """A `Stream` over one member of a zip file of that length, which unpacks to no more than its packed bytes can."""
    if info.flag_bits & 1:
        raise ValueError(f"{name}: is encrypted")
    if info.compress_type not in methods:
        known = ", ".join(map(str, methods))
        raise ValueError(f"{name}: unsupported zip compression method {info.compress_type}, expected one of {known}")
    if info.file_size > (EXPANSION if info.compress_type else 1) * min(info.compress_size, length):
        raise ValueError(f"{name}: claims {info.file_size} bytes unpacked, more than its packed bytes can hold")
    try:
        member = archive.open(info)
    except Exception as error:  # as above
        raise unreadable(name, error) from error
    with member:
        yield Stream(name, member, info.file_size, exact=True)
