"""Files of compressed rows that are damaged, lie or are forged: `python -m benchmarks.compression fuzz`."""

import contextlib
import itertools
import re
import resource
import time
import zlib

import numpy as np

import minivae as mv
from minivae.compression.file import HEAD, SEAL, read_numbers, written_number
from minivae.compression.networks import unpack

EXTREMES = (0, 1, 2, 127, 255, 1 << 12, 1 << 16, 1 << 20, 1 << 31, (1 << 32) - 1, 1 << 48, (1 << 62) + 3)


def scattered(rng, content):
    """Bytes changed, left out and put in, more often at the head."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        place = int(rng.integers(len(content)) if rng.random() < 0.7 else rng.integers(min(80, len(content))))
        what = rng.random()
        if what < 0.6:
            content[place] = int(rng.integers(256))
        elif what < 0.8:
            del content[place : place + int(rng.integers(1, 9))]
        else:
            content[place:place] = rng.bytes(int(rng.integers(1, 9)))
    return bytes(content)


def lying(rng, content):
    """One of the numbers of the header, or the words of the first block, says something else."""
    numbers, place = read_numbers(content, HEAD, 9)
    k = int(rng.integers(9))
    numbers[k] = int(rng.choice([*EXTREMES, numbers[k] + 1, max(numbers[k] - 1, 0), 2 * numbers[k]]))
    return content[:HEAD] + b"".join(map(written_number, numbers)) + content[place:]


def forged(rng, content):
    """Another model inside, of which the header tells the right fingerprint and length where it has one."""
    numbers, place = read_numbers(content, HEAD, 8)
    blocks = -(-numbers[5] // numbers[6])
    start = place
    for _ in range(blocks):
        start = read_numbers(content, start, 1)[1] + 4
    inside = zlib.decompress(content[start : start + numbers[7]])
    line, _, weights = inside.partition(b"\n")
    if rng.random() < 0.6:
        found = [*re.finditer(rb"-?[0-9]+|[a-z_]{3,}", line)]
        one = found[int(rng.integers(len(found)))]
        others = [str(value).encode() for value in (*EXTREMES, -1, -70, 63, "null", "[]", "9" * 5000)]
        others += [b"tanh", b"gelu", b"exp", b"logistic", b"beta_binomial", b"bernoulli"]
        line = line[: one.start()] + others[int(rng.integers(len(others)))] + line[one.end() :]
    else:
        weights = scattered(rng, weights)
    inside = line + b"\n" + weights
    with contextlib.suppress(ValueError):
        content = content[:6] + bytes.fromhex(unpack(inside).fingerprint()) + content[HEAD:]
    packed = zlib.compress(inside)
    head = content[:HEAD] + b"".join(map(written_number, [*numbers[:7], len(packed)]))
    return head + content[place:start] + packed + content[start + numbers[7] :]


def fuzz(arguments):
    """Whatever the bytes, the rows as they were or one line, within ten seconds and a gigabyte: of all likelihoods, one
    draw and three, one block and several, with the model inside and without.
    """
    good, rng = [], np.random.default_rng(arguments.seed)
    for kind in ("bernoulli", "beta_binomial", "logistic"):
        features = 40 if kind == "bernoulli" else 12
        model = mv.VAE(features, 3, (8,), likelihood=kind, backend="numpy")
        x = rng.integers(256, size=(50, features)).astype(np.uint8)
        x = x if kind != "bernoulli" else x > 180
        for samples, block, bits in itertools.product((1, 3), (None, 20), (None, 8)):
            good.append((model, x, bits, mv.compress(model, x, samples, block=block, weight_bits=bits)))
    lines, slowest = {}, 0.0
    for number in range(arguments.files):
        model, x, inside, content = good[number % len(good)]
        sealing, ways = rng.random() < 0.7, [scattered, lying] + [forged] * bool(inside)
        data = ways[int(rng.integers(len(ways)))](rng, content[:-SEAL])
        data += zlib.crc32(data).to_bytes(SEAL, "little") if sealing else content[-SEAL:]
        start = time.process_time()
        try:
            back = mv.decompress(None if inside else model, data)
            line = "decoded" if back.shape == x.shape and np.array_equal(back != 0, x != 0) else "WRONG"
            # rows have a checksum of their own: even networks that were forged do not change them
            assert line == "decoded", number
        except ValueError as error:
            line = str(error)
            assert "\n" not in line, number
            assert len(line) < 400, number
            line = re.sub(r"[0-9]+", "N", line)[:60]
        slowest = max(slowest, time.process_time() - start)
        lines[line] = lines.get(line, 0) + 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    assert slowest < 10, slowest
    assert peak < 1 << 30, peak
    return {
        "files": arguments.files,
        "slowest_s": slowest,
        "peak_bytes": peak,
        "ends": dict(sorted(lines.items(), key=lambda item: -item[1])),
    }
