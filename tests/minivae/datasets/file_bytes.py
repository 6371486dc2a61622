"""Bytes of NPY, NPZ and IDX files, well formed and not, the data in them, and what it means to refuse one."""

import contextlib
import gc
import io
import struct
import time
import zipfile

import numpy as np
import pytest

from minivae.datasets import load_dataset


def npy(array, version=None):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(array), version)
    return buffer.getvalue()


def npy_claiming(header, content=b"", version=1):
    return b"\x93NUMPY" + struct.pack("<BBH", version, 0, len(header)) + header + content


def npz(compressed=False, *unnamed, **named):
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, *unnamed, **named)
    return buffer.getvalue()


def idx(array, code=0x08):
    big_endian = array.astype(array.dtype.newbyteorder(">"))
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + big_endian.tobytes()


def archive(content, method=zipfile.ZIP_STORED, name="train.npy", **claims):
    """A zip with one member of that name; `claims` overwrite fields of its entry in the central directory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr(name, content)
        for field, value in claims.items():
            setattr(file.filelist[0], field, value)
    return buffer.getvalue()


def rewrite(path, content):
    """A new file, in place of one that may be there: for one that is written over, ext4 waits for the disk."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def load(tmp_path, content, name="mine.dat", **options):
    rewrite(tmp_path / name, content)
    return load_dataset(tmp_path / name, **options)


def all_rows(data):
    """Train and test rows as one sorted array: what a split must preserve."""
    rows = np.concatenate([data.train, data.test])
    return rows[np.lexsort(rows.T)]


def refuse(tmp_path, content, message, name="mine.dat"):
    """Assert that a file of that content ends in a ValueError of one line that names the file and says `message`."""
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path, content, name)
    text = str(caught.value)
    assert text.startswith(name)
    assert "\n" not in text
    assert len(text) < 400


def assert_time_grows_with_the_file(path, content, read, count):
    """content(count) makes bytes; to read four times as many takes at most ten times as long, or 100 ms."""

    def seconds(count):
        rewrite(path, content(count))
        best = float("inf")
        gc.disable()  # it would go through all that the tests before have left
        try:
            for _ in range(3):
                started = time.process_time()
                with contextlib.suppress(ValueError):
                    read(path)
                best = min(best, time.process_time() - started)
        finally:
            gc.enable()
        return best

    assert seconds(4 * count) < max(10 * seconds(count), 0.1)
