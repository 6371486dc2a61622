"""The file: what is damaged, foreign or lies is refused in one line, in bounded time and memory."""

import re
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivae as mv
from minivae.command.main import main
from minivae.compression.file import SEAL, read_header
from tests.minivae.compression.test_compression import model_of, rows


@pytest.fixture(scope="module")
def made():
    """(model, x, the file, the file with its networks inside)."""
    model, x = model_of("bernoulli", 20, 2, (6,)), rows("bernoulli", 30, 20)
    return model, x, mv.compress(model, x, 2, block=12), mv.compress(model, x, 2, block=12, weight_bits=8)


def sealed(content):
    """With a checksum that is right."""
    return content + zlib.crc32(content).to_bytes(SEAL, "little")


def refused(model, data):
    """The line; or None where the data are decoded, for then they must be what they were."""
    try:
        return mv.decompress(model, data), None
    except ValueError as error:
        line = str(error)
    assert "\n" not in line
    assert len(line) < 300
    return None, line


def test_every_flipped_bit_and_every_shorter_file_is_refused(made):
    model, _, data, inside = made
    for content, owner in ((data, model), (inside, None)):
        for i in range(len(content)):
            flipped = content[:i] + bytes([content[i] ^ 1 << i % 8]) + content[i + 1 :]
            assert refused(owner, flipped)[1], i
            assert refused(owner, content[:i])[1], i
        assert refused(owner, content + b"\0")[1]


@given(place=st.integers(0, 10**6), value=st.integers(0, 255), inside=st.booleans(), rest=st.binary(max_size=3))
def test_a_changed_byte_under_a_right_checksum_is_refused_or_changes_nothing(made, place, value, inside, rest):
    """Whoever makes the checksum right again meets the checks of the header, the words or the pixels."""
    model, x, data, other = made
    content = bytearray((other if inside else data)[:-SEAL])
    content[place % len(content)] = value
    found, line = refused(None if inside else model, sealed(bytes(content) + rest * (place % 3 == 0)))
    assert line or np.array_equal(found, x)


def test_a_header_that_lies_costs_neither_time_nor_memory(made):
    """A trillion rows, draws or features; a model that unpacks to a gigabyte."""
    model, _, data, _ = made
    header = read_header(data)
    start = time.perf_counter()
    for number in (b"\xff\xff\xff\xff\x7f", b"\xff" * 8 + b"\x7f", b"\xff" * 12):
        for place in range(38, 38 + 8):
            assert refused(model, sealed(data[:place] + number + data[place + 1 : -SEAL]))[1]
    bomb = zlib.compress(bytes(1 << 26), 9)
    size = bytes([len(bomb) & 127 | 128, len(bomb) >> 7 & 127 | 128, len(bomb) >> 14])
    assert refused(None, sealed(data[:45] + size + data[46:50] + bomb))[1]
    assert time.perf_counter() - start < 20
    assert header.rows == 30


def test_another_model_or_version_is_told(made):
    _, _, data, inside = made
    assert "model: got 'another model'" in refused(model_of("bernoulli", 20, 2, (6,), seed=1), data)[1]
    assert "the file holds none" in refused(None, data)[1]
    assert "format version 2', expected version 1" in refused(None, data[:4] + b"\x02" + data[5:])[1]
    assert "begins with MVZ" in refused(None, b"PK" + inside)[1]
    assert "bytes" in refused(None, "text")[1]


def test_rows_by_blocks(made):
    model, x, data, _ = made
    for part in (slice(None), slice(11, 13), slice(5, 5), slice(-3, None), slice(28, 100), slice(25, 2)):
        np.testing.assert_array_equal(mv.decompress(model, data, part), x[part])
    for part in (slice(0, 9, 2), slice(0.0, 2.0), (0, 5), 3):
        with pytest.raises(ValueError, match=r"rows: got .* a slice of step 1"):
            mv.decompress(model, data, part)


def test_the_commands(tmp_path, capsys):
    """A run's held-out data and a file of one's own there and back, and the report."""
    run, x = tmp_path / "run", rows("bernoulli", 60, 16)
    np.save(tmp_path / "x.npy", x)
    given_ = ["--epochs", "1", "--hidden", "8", "--latent", "2", "--batch-size", "10", "--backend", "numpy"]
    assert main(["train", "--data", str(tmp_path / "x.npy"), "--out", str(run), *given_]) == 0
    packed, back = tmp_path / "x.mvz", tmp_path / "back.npy"
    for options in ([], ["--weight-bits", "8", "--samples", "3", "--block", "20"]):
        capsys.readouterr()
        assert main(["compress", str(run), str(tmp_path / "x.npy"), "-o", str(packed), *options]) == 0
        size = packed.stat().st_size
        assert re.search(rf"60 rows in {size:,} bytes, {8 * size / x.size:.5f} bits per dim", capsys.readouterr().out)
        owner = [] if options else [str(run)]
        assert main(["decompress", *owner, str(packed), "-o", str(back)]) == 0
        np.testing.assert_array_equal(np.load(back), x)
    assert main(["decompress", str(packed), "-o", str(back), "--rows", "19:41"]) == 0
    np.testing.assert_array_equal(np.load(back), x[19:41])
    assert main(["compress", str(run), "-o", str(packed)]) == 0  # the held-out part
    assert "6 rows in" in capsys.readouterr().out
    assert main(["compress", str(run), "--report"]) == 0
    printed = capsys.readouterr().out
    for words in ("negative ELBO", "gzip -9", "lzma -9e", "bytes in float32", "pays"):
        assert words in printed
    for arguments, words in (
        (["compress", str(run)], "--out: got none"),
        (["compress", str(run), "--report", "-o", "x"], "--out: got x, expected none with --report"),
        (["compress", str(run), str(tmp_path / "none.npy"), "-o", "x"], "no such file"),
        (["decompress", str(tmp_path / "x.npy"), "-o", str(back)], "begins with MVZ"),
        (["decompress", str(packed), "-o", str(back)], "the file holds none"),
        (["decompress", str(packed), "-o", "x.csv"], "ends in .npy"),
        (["decompress", str(run), str(packed), "-o", str(back), "--rows", "3"], "--rows: got '3'"),
    ):
        assert main(arguments) == 2
        assert words in capsys.readouterr().err
