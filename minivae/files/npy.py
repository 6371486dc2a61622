"""NPY, NumPy's own format, parsed here so that a damaged or hostile header can do no harm.

`numpy.load` trusts the header: it allocates what the header claims before it looks for the bytes, and a damaged one
raises whatever the parser underneath happens to raise. Format: NumPy Enhancement Proposal 1 and `numpy.lib.format`.
"""

import ast
import math
import re
import warnings

import numpy as np

MAGIC = b"\x93NUMPY"
LENGTHS = {(1, 0): "<H", (2, 0): "<I", (3, 0): "<I"}
LONGEST_HEADER = 4096  # a plain array needs 118 bytes
SUPPORTED = re.compile(r"[<>|=]?(b1|[ui][1248]|f[248])")
MAPPABLE = tuple(np.dtype(kind).str for kind in ("u1", "f4", "f8"))
TEXT = re.compile(r"[<>|=]?[US][1-9][0-9]{0,5}")


def read_npy(stream, advice="", text=False):
    """Read one NPY array from a `minivae.files.stream.Stream`; ValueError where it is not well formed.

    Booleans, integers and floats of 16 to 64 bits are read, and texts where `text` asks for them. Objects would need
    unpickling, which can run code, and are refused, as are dates, complex and structured values: `advice` is what the
    message then ends with.
    """
    descr, fortran_order, shape = read_header(stream)
    if not isinstance(descr, str) or not (SUPPORTED.fullmatch(descr) or (text and TEXT.fullmatch(descr))):
        kinds = "booleans, integers or floats of 16 to 64 bits"
        if not advice and (isinstance(descr, list) or descr in ("|O", "<f16")):
            way = (
                "x.astype(float)" if isinstance(descr, str) else "numpy.lib.recfunctions.structured_to_unstructured(x)"
            )
            advice = f": save it as such by {way}"
        raise ValueError(f"{stream.name}: must hold {kinds}, got NPY type {descr!r:.80}{advice}")
    dtype = np.dtype(descr)
    stream.check_ndim(len(shape))
    if dtype.kind == "b":
        # A bool array over any byte but 0 and 1 is undefined behaviour.
        return stream.values(np.dtype(np.uint8), shape) != 0
    if fortran_order:
        return np.ascontiguousarray(stream.values(dtype, shape[::-1]).T)
    return stream.values(dtype, shape)


def map_npy(file, stream):
    """The array of an open NPY file of its own, mapped and not read; None where it cannot be used as it lies there."""
    descr, fortran_order, shape = read_header(stream)
    usable = isinstance(descr, str) and descr in MAPPABLE and not fortran_order and len(shape) > 1
    claimed = math.prod(shape) * np.dtype(descr).itemsize if usable else 0
    if not claimed or claimed != stream.left:
        return None  # reading it says what is amiss
    return np.memmap(file, np.dtype(descr), "r", file.tell(), shape)


def read_header(stream):
    """(type as NumPy writes it, whether the first axis comes first, shape) of an NPY array; ValueError as above."""
    magic, major, minor = stream.unpack("<6sBB")
    if magic != MAGIC:
        raise ValueError(f"{stream.name}: an NPY array starts with {MAGIC!r}, got {magic!r}")
    if (major, minor) not in LENGTHS:
        raise ValueError(f"{stream.name}: unknown NPY version {major}.{minor}, expected 1.0, 2.0 or 3.0")
    (length,) = stream.unpack(LENGTHS[major, minor])
    if length > LONGEST_HEADER:
        raise ValueError(f"{stream.name}: NPY header of {length} bytes, expected at most {LONGEST_HEADER}")
    return _parse(stream.name, stream.take(length))


def _parse(name, header):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a damaged header may hold a string with an invalid escape
            fields = ast.literal_eval(header.decode("utf-8").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"{name}: damaged NPY header, not a Python dictionary") from error
    if not isinstance(fields, dict) or fields.keys() != {"descr", "fortran_order", "shape"}:
        raise ValueError(f"{name}: damaged NPY header, expected the keys descr, fortran_order and shape")
    descr, fortran_order, shape = fields["descr"], fields["fortran_order"], fields["shape"]
    if not isinstance(fortran_order, bool):
        raise ValueError(f"{name}: damaged NPY header, fortran_order must be True or False")
    if not isinstance(shape, tuple) or not all(type(extent) is int and 0 <= extent < 1 << 63 for extent in shape):
        raise ValueError(f"{name}: damaged NPY header, shape must be a tuple of integers from 0 to 2**63 - 1")
    return descr, fortran_order, shape
