"""Writing a file so that at every moment there is a whole one under its name: the old or the new."""

import contextlib
import errno
import os
import secrets
import shutil
from pathlib import Path

UNFINISHED = "." + "[0-9a-f]" * 8 + ".tmp"  # how the name ends of what a killed process was writing


@contextlib.contextmanager
def replacing(path):
    """A binary file to write; on leaving the context it is flushed to disk and renamed to `path`.

    The folder is flushed too, so that the new name outlives a loss of power. If anything fails, the file under that
    name stays as it was. An OSError names the file.
    """
    path = Path(path)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a device or pipe would be gone
            raise OSError(errno.EINVAL, "it is not a regular file")
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        flush_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):  # the first error is the one to report
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(f"cannot write {path}: {error.strerror or error}") from error
        raise


def write_text(path, text):
    with replacing(path) as file:
        file.write(text.encode())


def link(source, target):
    """A second name for a file, in the place of any that has it; a copy where the file system has no links."""
    try:
        target.unlink(missing_ok=True)
        os.link(source, target)
    except OSError:  # or the folder is gone: then this names the file
        with replacing(target) as copy, open(source, "rb") as file:
            shutil.copyfileobj(file, copy)


def flush_folder(path):
    """Makes renames in a folder durable, where the system can; OSError if the disk fails at it."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # Windows, or a folder that may be written but not read
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def unfinished(folder, names):
    """The unfinished files of these names, or patterns of names: being written, or left by a killed process."""
    return sorted(path for name in names for path in Path(folder).glob(f".{name}{UNFINISHED}"))
