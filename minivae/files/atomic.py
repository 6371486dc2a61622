"""Writing a file so that at every moment there is a whole one under its name: the old or the new."""

import contextlib
import os
import secrets
from pathlib import Path

UNFINISHED = ".*.tmp"  # what a killed process may leave beside a file it was writing


@contextlib.contextmanager
def replacing(path):
    """A binary file to write; on leaving the context it is flushed to disk and renamed to `path`.

    The folder is flushed too, so that the new name outlives a loss of power. If anything fails, the file under that
    name stays as it was. An OSError names the file.
    """
    path = Path(path)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
    try:
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


def flush_folder(path):
    """Makes renames in a folder durable, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_unfinished(folder, names):
    """Removes what a killed process left of files so called."""
    for name in names:
        for path in Path(folder).glob(f".{name}{UNFINISHED}"):
            path.unlink(missing_ok=True)
