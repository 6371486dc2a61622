"""A stream of bytes of bounded length, plain or unpacked on the fly, from which headers and arrays are read."""

import math
import struct

import numpy as np

CHUNK = 1 << 20  # bytes per read


class Stream:
    """Wraps a binary file object so that every failure is a ValueError that names the file.

    Parameters
    ----------
    name : str
        What messages call it.
    file : binary file object
        At its start.
    most : int
        The most bytes it can hold.
    exact : bool
        Whether `most` is its length (as for a plain file) or only a bound (as for gzip).
    """

    def __init__(self, name, file, most, exact):
        self.name, self.left, self.exact = name, most, exact
        self._file = file

    def take(self, count):
        """Exactly `count` bytes; meant for headers."""
        content = self._read(count)
        if len(content) < count:
            raise ValueError(f"{self.name}: truncated inside its header")
        self.left -= count
        return content

    def unpack(self, layout):
        """The numbers of a `struct` layout."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def check_ndim(self, ndim):
        """Raise ValueError unless an array of that many dimensions can be labels (1), rows (2) or images (3 or 4)."""
        if not 1 <= ndim <= 4:
            raise ValueError(f"{self.name}: {ndim}-D array, expected (rows, features) or (rows, height, width)")

    def values(self, dtype, shape):
        """The rest of the stream, which must be exactly one array: `shape`, C order, returned in native byte order.

        Nothing is allocated before the claim in the header has been held against the bytes there can be.
        """
        if 0 in shape:
            raise ValueError(f"{self.name}: holds nothing: shape {shape}")
        claimed = math.prod(shape) * dtype.itemsize
        if claimed > self.left:
            bound = "" if self.exact else "at most "
            raise ValueError(
                f"{self.name}: truncated or damaged: shape {shape} of {dtype} needs {claimed} bytes, "
                f"{bound}{self.left} follow the header"
            )
        if self.exact and claimed < self.left:
            raise ValueError(f"{self.name}: {self.left - claimed} unexpected bytes follow the values")
        values = np.empty(shape, dtype)
        self._fill(values.reshape(-1).view(np.uint8))
        # This read also makes gzip and zip compare their checksums.
        if self._read(1):
            raise ValueError(f"{self.name}: unexpected bytes follow the values")
        return values.astype(dtype.newbyteorder("="), copy=False)

    def more(self):
        """The next bytes of a text, at most CHUNK; b"" at its end."""
        content = self._read(CHUNK)
        self.left -= len(content)
        if self.left < 0:
            raise ValueError(f"{self.name}: unpacks to more than is allowed")
        return content

    def _fill(self, target):
        done = 0
        while done < len(target):
            content = self._read(min(CHUNK, len(target) - done))
            if not content:
                raise ValueError(f"{self.name}: truncated: {done} of {len(target)} bytes of values")
            target[done : done + len(content)] = np.frombuffer(content, np.uint8)
            done += len(content)

    def _read(self, count):
        try:
            return self._file.read(count)
        except Exception as error:  # gzip, zlib, zipfile and the disk each have their own
            raise unreadable(self.name, error) from error


def unreadable(name, error):
    """The ValueError that stands for whatever a reader of a damaged file raised."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return ValueError(f"{name}: damaged or unreadable ({reason:.200})")
