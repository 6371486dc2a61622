"""The file: data as bytes that decode to the same data wherever the same model is.

    "MVZ\\x1a", version, flags                           6 bytes
    fingerprint of the whole weights                    32 bytes, SHA-256
    type of the data, bucket bits, K, growth,
    features, rows, rows of a block,
    bytes of the model inside (0: none)                 each a number of 7 bits a byte, the last with a clear top bit
    of each block: 32-bit words, CRC-32 of its pixels   a number, 4 bytes
    the model, packed by zlib
    the words of each block                             little-endian
    CRC-32 of all that is before                        4 bytes

The initial words of a stack are not in it: anybody can make them again, and decoding ends with them.
"""

import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..errors import CHUNK, as_array, expect, expect_integer, expect_pixels
from ..files.progress import bar
from ..kernels.coder import PIXEL_BITS
from ..parameters.memory import expect_room
from .codec import BUCKET_BITS, FASTEST, SLOWEST, Codec
from .networks import Networks, networks_of, pack, unpack

MAGIC, VERSION = b"MVZ\x1a", 1
HEAD = 38  # bytes before the numbers
SEAL = 4  # bytes of a CRC-32
MOST_DRAWS = 1 << 12
LARGEST_MODEL = 1 << 26  # bytes of a model inside, unpacked
# What data a file may hold, by the number that says so.
TYPES = (
    "uint8",
    "bool",
    "float32",
    "float64",
    "float16",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint16",
    "uint32",
    "uint64",
)


class Block(NamedTuple):
    first: int
    rows: int
    words: slice  # of the file's bytes
    crc: int


class Header(NamedTuple):
    """What a file says of itself. model : the `Networks` inside, or None."""

    fingerprint: str
    dtype: str
    bucket_bits: int
    samples: int
    growth: int
    features: int
    rows: int
    blocks: list[Block]
    model: Networks | None


def compress(
    model: Any,
    x: ArrayLike,
    samples: int = 1,
    *,
    weight_bits: int | None = None,
    block: int | None = None,
    progress: bool | None = None,
) -> bytes:
    """The data as bytes: about the negative ELBO of x in bits, or the bound with K = `samples` draws.

    Lossless: `decompress` gives back x, value for value, on any machine that has the model.

    Parameters
    ----------
    model : a `VAE` of dense layers with the likelihood "bernoulli", "beta_binomial" or "logistic"
    x : (n, features). For "bernoulli" of 0 and 1 (bytes: 0 and 255), for the others bytes or bytes / 255. Its dtype is
        kept, its byte order and memory layout are not
    samples : K draws of z for each row: a lower rate, in K times the time
    weight_bits : 8 to 16 puts the networks into the file, their weights rounded to so many bits: it can then be decoded
        without the model
    block : rows that can be decoded by themselves; each block costs some tens of bytes. By default all are one
    progress : show a tqdm bar; by default if standard error is a terminal

    Raises
    ------
    ValueError
        For a model that has no lossless rate (a Gaussian likelihood, parts of one's own, weights that are not finite or
        too large), or data that are not of the kind above.
    """
    samples = expect_integer("samples", samples, 1)
    expect(samples <= MOST_DRAWS, "samples", samples, f"at most {MOST_DRAWS}")
    if weight_bits is not None:
        expect(expect_integer("weight_bits", weight_bits, 8) <= 16, "weight_bits", weight_bits, "8 to 16, or None")
    networks = networks_of(model, weight_bits)
    pixels, dtype = as_pixels(model, x)
    n = len(pixels)
    block = n if block is None else min(expect_integer("block", block, 1), n)
    codec = Codec(networks, samples)
    parts = [pixels[first : first + block] for first in range(0, n, block)]
    packed = b"" if weight_bits is None else pack(networks)
    expect(len(packed) <= LARGEST_MODEL, "model", f"{len(packed):,} bytes", f"at most {LARGEST_MODEL:,} inside a file")
    inside = zlib.compress(packed, 9) if packed else b""
    with bar(total=n, show=progress, desc="compressing", unit=" rows") as shown:
        coded, growth = codec.encode_parts(parts, codec.growth(pixels), shown.update, shown.reset)
    head = [MAGIC, bytes([VERSION, 0]), bytes.fromhex(networks.fingerprint())]
    settings = TYPES.index(dtype), BUCKET_BITS, samples, growth, networks.features, n, block, len(inside)
    head += [written_number(value) for value in settings]
    body = [inside]
    for part, words in zip(parts, coded, strict=True):
        head.append(written_number(len(words)) + zlib.crc32(part.data).to_bytes(4, "little"))
        body.append(words.astype("<u4").tobytes())
    content = b"".join(head + body)
    return content + zlib.crc32(content).to_bytes(SEAL, "little")


def decompress(model: Any, data: bytes, rows: slice | None = None, *, progress: bool | None = None) -> np.ndarray:
    """x (n, features), as it was given to `compress`.

    Parameters
    ----------
    model : the `VAE` that it was compressed with; None where the networks are inside, for then no other can decode
    rows : a slice of the rows, of step 1; only the blocks that they lie in are decoded
    progress : show a tqdm bar; by default if standard error is a terminal

    Raises
    ------
    ValueError
        For another model, bytes that are damaged or of no such file, or of a version to come.
    """
    header, data = read_header(data), bytes(data)
    networks = header.model
    if networks is None:
        expect(model is not None, "model", None, "the model that the data were compressed with: the file holds none")
        networks = networks_of(model)
        same = networks.fingerprint() == header.fingerprint
        expect(same, "model", "another model", "the one that the data were compressed with")
    expect(networks.features == header.features, "data", f"{header.features} features", f"{networks.features}")
    try:
        first, last, step = slice.indices(slice(None) if rows is None else rows, header.rows)
    except TypeError:
        step = None
    expect(step == 1, "rows", rows, "a slice of step 1, of whole numbers")
    wanted = [block for block in header.blocks if block.first < last and block.first + block.rows > first]
    asked = sum(block.rows for block in wanted)
    expect_room("data", f"{asked:,} rows", asked * header.features * (1 + np.dtype(header.dtype).itemsize))
    codec, parts = Codec(networks, header.samples, header.bucket_bits), []
    with bar(total=asked, show=progress, desc="decompressing", unit=" rows") as shown:
        for block in wanted:
            words = np.frombuffer(data[block.words], "<u4")
            part = codec.decode(words, block.rows, header.growth, shown.update)
            same = zlib.crc32(part.data) == block.crc
            expect(same, "data", "another checksum of the decoded rows", "a file that is not damaged")
            parts.append(part[max(first - block.first, 0) : max(last - block.first, 0)])
    pixels = np.concatenate([*parts, np.empty((0, header.features), np.uint8)]) if len(parts) != 1 else parts[0]
    return from_pixels(pixels, header.dtype, networks.of_bytes)


def read_header(data: bytes) -> Header:
    """What a file says of itself; ValueError if it is damaged, or none."""
    expect(isinstance(data, (bytes, bytearray, memoryview)), "data", type(data).__name__, "bytes")
    data = bytes(data)
    expect(data[: len(MAGIC)] == MAGIC, "data", "other bytes", "what minivae compressed, which begins with MVZ")
    version = data[len(MAGIC)] if len(data) > len(MAGIC) else None
    expect(version == VERSION, "data", f"format version {version}", f"version {VERSION}")
    whole = zlib.crc32(data[:-SEAL]).to_bytes(SEAL, "little") == data[-SEAL:]
    expect(whole, "data", "a checksum that does not match", "a file that is whole: this one is damaged or cut off")
    try:
        return _parse(data)
    except (IndexError, OverflowError, zlib.error) as error:
        raise ValueError(f"data: the header is damaged ({error})") from error


def _parse(data):
    end = len(data) - SEAL
    numbers, place = read_numbers(data, HEAD, 8)
    kind, bucket_bits, samples, growth, features, rows, block, inside = numbers
    sane = data[5] == 0 and kind < len(TYPES) and 1 <= bucket_bits <= 16 and 1 <= samples <= MOST_DRAWS
    sane = sane and SLOWEST <= growth <= FASTEST and features and rows and 1 <= block <= rows
    # every block takes six bytes at least of the header
    expect(sane and -(-rows // block) * 6 <= end - place, "data", "settings that cannot be", "those of a file")
    counts = []
    for _ in range(0, rows, block):
        (count,), place = read_numbers(data, place, 1)
        counts.append((count, int.from_bytes(data[place : place + 4], "little")))
        place += 4
    expect(place + inside + 4 * sum(count for count, _ in counts) == end, "data", "lengths that do not fit", "its own")
    networks = _unpacked(data[place : place + inside]) if inside else None
    fingerprint = data[6:HEAD].hex()
    if networks:
        expect(networks.fingerprint() == fingerprint, "data", "another model inside", "the one it names")
    place += inside
    blocks = []
    for i, (count, crc) in enumerate(counts):
        expect(count >= 2, "data", f"a block of {count} words", "at least 2")
        held = min(block, rows - i * block)
        # no pixel has all the mass, so that a bit cannot hold more of them than this
        expect(held * features <= 32 * (count + 2) << PIXEL_BITS, "data", f"{held:,} rows", f"what {count} words hold")
        blocks.append(Block(i * block, held, slice(place, place + 4 * count), crc))
        place += 4 * count
    return Header(fingerprint, TYPES[kind], bucket_bits, samples, growth, features, rows, blocks, networks)


def _unpacked(inside):
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(inside, LARGEST_MODEL)
    expect(unpacker.eof and not unpacker.unused_data, "data", "a model that does not end", "a whole one")
    return unpack(content)


def written_number(value):
    """A whole number in 7 bits a byte, the lowest first."""
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def read_numbers(data, place, count):
    """(so many numbers, the place after them); IndexError or OverflowError where there are none."""
    numbers = []
    for _ in range(count):
        value, shift = 0, 0
        while shift == 0 or data[place - 1] > 127:
            if shift == 63:
                raise OverflowError("a number of more than nine bytes")
            value |= (data[place] & 127) << shift
            place, shift = place + 1, shift + 7
        numbers.append(value)
    return numbers, place


def as_pixels(model: Any, x: ArrayLike) -> tuple[np.ndarray, str]:
    """(uint8 of 0 and 1, or bytes; the dtype that `from_pixels` gives back) of data; ValueError where they are not."""
    given = as_array("x", x)
    checked = model.as_data("x", given)
    of_bytes, dtype = model.likelihood.of_bytes, given.dtype.name
    if not of_bytes:
        expect_pixels("x", checked)
    expect(dtype in TYPES, "x", f"the dtype {dtype}", f"one that is kept: {', '.join(TYPES)}")
    top = 255 if checked.dtype == np.uint8 else 1
    lossy = f"0 and {top} only: --pixels threshold or dynamic makes those between so, and loses what they were"
    as_is = "uint8, or floats that were divided by 255 in their own dtype" if of_bytes else "0 and 1"
    pixels = np.empty(checked.shape, np.uint8)
    rows = max(1, CHUNK // checked.shape[1])
    for part in (slice(first, first + rows) for first in range(0, len(checked), rows)):
        values, own = checked[part], given[part]
        if of_bytes:
            pixels[part] = values if top == 255 else np.rint(255.0 * values.astype(np.float64))
        else:
            between = (values != 0) & (values != top)
            if between.any():
                expect(False, "x", f"values such as {values[between][0]:.6g}", lossy)
            pixels[part] = values != 0
        different = from_pixels(pixels[part], dtype, of_bytes) != own
        if own.dtype.kind == "f":
            different |= np.signbit(own)
        if different.any():
            expect(False, "x", f"{dtype} such as {own[different][0].item()!r}", f"what comes back as it is: {as_is}")
    return pixels, dtype


def from_pixels(pixels: np.ndarray, dtype: str, of_bytes: bool) -> np.ndarray:
    """The inverse of `as_pixels`."""
    if dtype == "uint8":
        return pixels if of_bytes else pixels * np.uint8(255)
    return np.divide(pixels, 255, dtype=dtype) if of_bytes and dtype.startswith("float") else pixels.astype(dtype)
