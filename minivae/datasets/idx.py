"""IDX, the format of the MNIST files: two zero bytes, a type code, the number of dimensions, each dimension as a
big-endian 32-bit integer, then the values in C order, big-endian."""

import numpy as np

from ..files.stream import Stream

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(stream: Stream) -> np.ndarray:
    """Read one IDX array from a `minivae.files.stream.Stream` that starts with two zeros; ValueError where it fails."""
    _, code, ndim = stream.unpack(">HBB")
    if code not in TYPES:
        known = ", ".join(f"0x{known:02X}" for known in TYPES)
        raise ValueError(f"{stream.name}: got IDX type code 0x{code:02X}, expected one of {known}")
    stream.check_ndim(ndim)
    return stream.values(np.dtype(TYPES[code]), stream.unpack(f">{ndim}I"))
