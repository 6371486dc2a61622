"""Arrays and texts by name in one file: an uncompressed zip, as `numpy.savez` writes, that ends in its own checksum.

The checksum is the SHA-256 of every byte of the file, with zeros where it stands itself: in the comment at the zip's
end, so that `numpy.load` and any unzip program still read the file. It is compared before a byte is interpreted.
It tells damage from good files; against a file made to deceive it proves nothing, so the reader trusts nothing either:
no pickle, no array larger than the bytes that are there, nothing compressed.
"""

import hashlib
import queue
import re
import threading
import zipfile

import numpy as np

from .atomic import replacing
from .npy import read_npy
from .opening import open_member, open_zip, regular_file
from .stream import CHUNK

PREFIX = b"sha256:"
TRAILER = len(PREFIX) + 64
LONGEST_TEXT = 1 << 24
MOST_MEMBERS = 1 << 16
NUMPY_TEXT = re.compile(rb"\x93NUMPY\x01\x00..\{'descr': '<U\d+', 'fortran_order': False, 'shape': \(\), \} *\n", re.S)


class _Hashing:
    """A file that is only written to, front to back, and hashed meanwhile by a thread of its own.

    `digest` has seen all that was written once the context is left; nothing that was written may change before.
    """

    def __init__(self, file):
        self._file, self.digest = file, hashlib.sha256()
        self._pieces: queue.SimpleQueue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._hash, name="hash", daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._pieces.put(None)
        self._thread.join()

    def _hash(self):
        for piece in iter(self._pieces.get, None):
            self.digest.update(piece)

    def write(self, content):
        self._pieces.put(content)
        return self._file.write(content)

    def flush(self):
        self._file.flush()


def write(path, members):
    """Writes a dict from name to array or text. The same contents give the same bytes.

    Raises OSError, which names the file, if it cannot be written: a file that was there is then as it was.
    """
    with replacing(path) as file:
        with _Hashing(file) as hashing, zipfile.ZipFile(hashing, "w") as archive:
            archive.comment = b"0" * TRAILER
            for name, content in members.items():
                if isinstance(content, str):
                    archive.writestr(zipfile.ZipInfo(name), content)
                else:
                    _write_array(archive, f"{name}.npy", np.ascontiguousarray(content))
        file.seek(-TRAILER, 2)
        file.write(PREFIX + hashing.digest.hexdigest().encode())


def _write_array(archive, name, array):
    info = zipfile.ZipInfo(name)  # with a fixed date
    info.file_size = array.nbytes + 4096
    with archive.open(info, "w") as member:
        np.lib.format.write_array_header_1_0(member, np.lib.format.header_data_from_array_1_0(array))
        member.write(array.reshape(-1).view(np.uint8))


def read(path, look=None):
    """(members, sealed): the dict that `write` wrote, and whether a checksum of the whole file was there and right.

    Files that `numpy.savez` wrote are read too, texts among their arrays included, and are not sealed. `look` is called
    with the first member, a dict of one, before the others are read.

    Raises
    ------
    ValueError
        In one line that names the file, if there is none, or it is damaged, or is no such file.
    """
    with regular_file(path) as (name, file, length):
        sealed = _check_seal(name, file, length)
        with open_zip(name, file) as archive:
            infos = archive.infolist()
            if len(infos) > MOST_MEMBERS or sum(info.file_size for info in infos) > length:
                raise ValueError(f"{name}: its {len(infos)} members claim more than the file's {length} bytes")
            members = {}
            for info in infos:
                stem = info.filename.removesuffix(".npy")
                if stem in members:
                    raise ValueError(f"{name}: holds {stem!r:.80} twice")
                members[stem] = _read_member(name, archive, info, length)
                if look and len(members) == 1:
                    look(members)
        return members, sealed


def _check_seal(name, file, length):
    """Whether the file ends in a checksum; ValueError if that is not its own."""
    if length < TRAILER:
        return False
    digest = hashlib.sha256()
    left = length - TRAILER
    while left and (content := file.read(min(CHUNK, left))):
        digest.update(content)
        left -= len(content)
    trailer = file.read(TRAILER)
    file.seek(0)
    if not trailer.startswith(PREFIX):
        return False
    digest.update(b"0" * TRAILER)
    if trailer != PREFIX + digest.hexdigest().encode():
        raise ValueError(f"{name}: the checksum does not match the contents; the file is damaged")
    return True


def _read_member(name, archive, info, length):
    label = f"{name}: {info.filename!r:.80}"

    def opened():
        return open_member(label, archive, info, length, methods=(zipfile.ZIP_STORED,))

    if not info.filename.endswith(".npy"):
        with opened() as stream:
            return _text(stream)
    with opened() as stream:
        start = stream.take(min(info.file_size, 512))
    if text := NUMPY_TEXT.match(start):
        with opened() as stream:
            stream.take(text.end())
            return _text(stream, "utf-32-le")
    with opened() as stream:
        return read_npy(stream)


def _text(stream, encoding="utf-8"):
    if stream.left > LONGEST_TEXT:
        raise ValueError(f"{stream.name}: text of {stream.left} bytes, expected at most {LONGEST_TEXT}")
    try:
        return stream.take(stream.left).decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{stream.name}: damaged, not text in {encoding}") from error
