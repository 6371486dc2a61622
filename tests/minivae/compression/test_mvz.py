"""The file: what is damaged, foreign or lies is refused in one line, in bounded time and memory."""

import contextlib
import json
import os
import re
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivae as mv
from minivae.command.main import main
from minivae.command.options import save_array
from minivae.compression.codec import FASTEST, SLOWEST
from minivae.compression.file import HEAD, SEAL, read_numbers, written_number
from tests.minivae.compression.test_compression import LIKELIHOODS, model_of, rows

NUMBERS = ("kind", "bucket_bits", "samples", "growth", "features", "rows", "block", "inside")


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


def lie(data, **said):
    """With other numbers in its header, under a right checksum."""
    numbers, place = read_numbers(data, HEAD, len(NUMBERS))
    numbers = dict(zip(NUMBERS, numbers, strict=True)) | said
    return sealed(data[:HEAD] + b"".join(map(written_number, numbers.values())) + data[place:-SEAL])


def holding(data, content):
    """With another model inside, of which only the length is told."""
    numbers, place = read_numbers(data, HEAD, len(NUMBERS))
    for _ in range(0, numbers[5], numbers[6]):
        place = read_numbers(data, place, 1)[1] + 4
    packed = zlib.compress(content, 9)
    return lie(sealed(data[:place] + packed + data[place + numbers[7] : -SEAL]), inside=len(packed))


def test_every_flipped_bit_and_every_shorter_file_is_refused(made):
    model, _, data, inside = made
    for content, owner in ((data, model), (inside, None)):
        for i in range(len(content)):
            for bit in range(8):
                flipped = content[:i] + bytes([content[i] ^ 1 << bit]) + content[i + 1 :]
                assert refused(owner, flipped)[1], i
            assert refused(owner, content[:i])[1], i
        assert refused(owner, content + b"\0")[1]


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_flipped_bits_under_a_right_checksum_are_refused_or_change_no_row(likelihood):
    """Whoever makes the checksum right again meets the checks of the header, the words or the rows."""
    model, x = model_of(likelihood, 6, 2, (3,)), rows(likelihood, 8, 6)
    for owner, data in ((model, mv.compress(model, x, 3, block=5)), (None, mv.compress(model, x, 3, weight_bits=8))):
        for i in range(len(data) - SEAL):
            for bit in range(8):
                flipped = sealed(data[:i] + bytes([data[i] ^ 1 << bit]) + data[i + 1 : -SEAL])
                found, line = refused(owner, flipped)
                assert line or np.array_equal(found != 0, x != 0), (i, bit)  # as another type, at most
                assert refused(owner, sealed(data[:i]))[1]


@given(place=st.integers(0, 10**6), value=st.integers(0, 255), inside=st.booleans(), rest=st.binary(max_size=3))
def test_a_changed_byte_under_a_right_checksum_is_refused_or_changes_nothing(made, place, value, inside, rest):
    model, x, data, other = made
    content = bytearray((other if inside else data)[:-SEAL])
    content[place % len(content)] = value
    found, line = refused(None if inside else model, sealed(bytes(content) + rest * (place % 3 == 0)))
    assert line or np.array_equal(found != 0, x != 0)


@given(
    said=st.dictionaries(
        st.sampled_from(NUMBERS),
        st.integers(0, 300) | st.sampled_from([1 << 16, (1 << 32) - 1, 1 << 48, (1 << 63) - 1]),
        min_size=1,
    )
)
def test_a_header_that_lies_costs_neither_time_nor_memory(made, said):
    """A trillion rows, draws or features."""
    model, x, data, inside = made
    start = time.perf_counter()
    for owner, content in ((model, data), (None, inside)):
        found, line = refused(owner, lie(content, **said))
        assert line or np.array_equal(found != 0, x != 0)
    assert time.perf_counter() - start < 20


def test_few_words_do_not_hold_millions_of_rows():
    """Not even of a model that is sure of them, whose rows cost next to nothing."""
    model = model_of("bernoulli", 1, 1, (), factor=0.0)
    model.parameters["likelihood.bias"] = np.full(1, -50, np.float32)
    model.parameters["posterior.bias"] = np.array([0, 0.54], np.float32)  # the prior
    x = np.zeros((3000, 1), np.uint8)
    data = mv.compress(model, x)
    assert len(data) < 400
    assert np.array_equal(mv.decompress(model, data), x)
    start = time.perf_counter()
    for n in (10**5, 8 * 10**6, 10**9):
        for draws, growth in ((1, SLOWEST), (4096, FASTEST)):
            assert refused(model, lie(data, rows=n, block=n, samples=draws, growth=growth))[1]
    assert "words hold" in refused(model, lie(data, rows=10**9, block=10**9))[1]
    assert "settings that cannot be" in refused(model, lie(data, growth=0))[1]  # a group for each row
    assert time.perf_counter() - start < 20


def test_a_model_inside_that_lies_is_refused(made):
    """What unpacks to a gigabyte, layers of other sizes than their weights, and what is no JSON."""
    inside = made[3]

    def plan(*layers, **said):
        said = {"encoder": 1, "scale": "softplus", "likelihood": "bernoulli", "layers": layers} | said
        return json.dumps(said).encode() + b"\n"

    first, second = [20, 4, "identity", 14, "<i1", "<i1"], [2, 20, "identity", 14, "<i1", "<i1"]
    contents = [
        bytes(1 << 28),
        bytes(1 << 20),
        b"",
        b"\n",
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b"\xff\xfe\n",
        b"9" * 9000,
    ]
    contents += [b"null\n", b"[]\n", plan(), plan(None), plan(5), plan(first[:3]), plan(layers={"a": 1})]
    for k, value in (
        (0, 1 << 30),
        (0, -20),
        (0, 20.0),
        (0, True),
        (1, 10**40),
        (2, "swish"),
        (2, []),
        (3, 64),
        (3, None),
    ):
        contents.append(plan([*first[:k], value, *first[k + 1 :]], second) + bytes(144))
    for kinds in (["<i8", "<i8"], ["<f8", "<i1"], ["O", "O"], [], ["<i1"] * 3, [["<i1"], "<i1"]):
        contents.append(plan([*first[:4], *kinds], second) + bytes(144))
    contents += [plan(first, second, **{key: value}) + bytes(144) for key in ("encoder", "scale", "likelihood")
                 for value in (None, [], 0, "", 2, -1)]  # fmt: skip
    contents += [plan(first, second) + bytes(143), plan(first, second) + bytes(145)]
    assert "another model inside" in refused(None, holding(inside, plan(first, second) + bytes(144)))[1]
    assert "first line" in refused(None, holding(inside, bytes(1 << 20)))[1]
    tracemalloc.start()
    try:
        for content in contents:
            line = refused(None, holding(inside, content))[1]
            assert "the model in the file is damaged" in line or "a model that does not end" in line, content[:200]
        assert tracemalloc.get_traced_memory()[1] < 1 << 29
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e-6, 1e6, 1e12, 1e18, 1e30, 1e37])
@pytest.mark.parametrize("bias", [0.0, 1e-20, 1.0, 1e9])
def test_weights_of_any_size_are_refused_or_decoded_alone(size, bias):
    """Nobody finds out only when the data are gone that a file cannot be decoded."""
    x = rows("logistic", 4, 3)
    model = model_of("logistic", 3, 2, (2,), factor=size)
    for name in model.parameters:
        if name.endswith("bias"):
            model.parameters[name] = np.full_like(model.parameters[name], bias)
    if max(size, bias) > 1e8:
        with contextlib.suppress(ValueError):
            assert np.array_equal(mv.decompress(None, mv.compress(model, x, weight_bits=8)), x)
    else:
        assert np.array_equal(mv.decompress(None, mv.compress(model, x, weight_bits=8)), x)


def test_data_are_not_there_many_times():
    """Besides them one array of bytes, and of what comes out one more; and what a group of rows takes."""
    model, x = model_of("bernoulli", 500, 1, (), factor=0.0), rows("bernoulli", 40_000, 500)
    mv.decompress(model, mv.compress(model, x[:9]))  # tables
    tracemalloc.start()
    try:
        data = mv.compress(model, x)
        assert tracemalloc.get_traced_memory()[1] < 2.5 * x.nbytes
        tracemalloc.reset_peak()
        mv.decompress(model, data)
        assert tracemalloc.get_traced_memory()[1] < 3 * x.nbytes
    finally:
        tracemalloc.stop()


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
    for given_ in (bytearray(data), memoryview(data), memoryview(np.repeat(np.frombuffer(data, np.uint8), 2))[::2]):
        np.testing.assert_array_equal(mv.decompress(model, given_), x)
    for part in (slice(0, 9, 2), slice(0.0, 2.0), (0, 5), 3):
        with pytest.raises(ValueError, match=r"rows: got .* a slice of step 1"):
            mv.decompress(model, data, part)


def test_the_commands(tmp_path, capsys):
    """A run's held-out data and a file of one's own there and back, and the report."""
    run, x = tmp_path / "run", rows("bernoulli", 60, 16)
    np.save(tmp_path / "x.npy", x)
    given_ = [
        "--epochs",
        "1",
        "--no-pictures",
        "--hidden",
        "8",
        "--latent",
        "2",
        "--batch-size",
        "10",
        "--backend",
        "numpy",
    ]
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
    assert main(["compress", "-o", str(packed), str(run), "--weight-bits", "8", str(tmp_path / "x.npy")]) == 0
    assert main(["decompress", "-o", str(back), str(run), "--rows", ":2", str(packed)]) == 0  # in any order
    assert "the run was not needed" in capsys.readouterr().out
    np.save(tmp_path / "grey.npy", np.arange(160, dtype=np.uint8).reshape(10, 16))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"cannot write .*pipe: it is not a regular file"):
        save_array(tmp_path / "pipe", x)
    for arguments, words in (
        (["compress", str(run)], "--out: got none"),
        (["compress", str(run), str(tmp_path / "grey.npy"), "-o", str(packed)], "--pixels threshold or dynamic"),
        (["compress", str(run), str(tmp_path / "x.npy"), "-o", str(tmp_path / "x.npy")], "which is an input"),
        *((["compress", str(run), "-o", str(path)], "which is an input") for path in run.iterdir()),
        (["compress", str(run), "-o", str(tmp_path / "pipe")], "expected the name of a file"),
        (["compress", str(run), "-o", str(tmp_path / "none" / "x.mvz")], "in a folder that exists"),
        (["decompress", str(packed), "-o", str(back), "--best"], "--best: got it without a RUN"),
        (["decompress", str(packed), "-o", str(back), "--rows", "50:61"], "expected FIRST below LAST, of its 60 rows"),
        (["decompress", str(packed), "-o", str(back), "--rows", "7:7"], "expected FIRST below LAST, of its 60 rows"),
        (["compress", str(run), "--report", "-o", "x"], "--out: got x, expected none with --report"),
        (["compress", str(run), str(tmp_path / "none.npy"), "-o", "x"], "no such file"),
        (["decompress", str(tmp_path / "x.npy"), "-o", str(back)], "begins with MVZ"),
        (["decompress", str(packed), "-o", "x.csv"], "ends in .npy"),
        (["decompress", str(run), str(packed), "-o", str(back), "--rows", "3"], "--rows: got '3'"),
    ):
        assert main(arguments) == 2
        assert words in capsys.readouterr().err
    assert main(["compress", str(run), "-o", str(packed)]) == 0
    assert main(["decompress", str(packed), "-o", str(back)]) == 2
    assert "the file holds none" in capsys.readouterr().err
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), x)
    assert (tmp_path / "pipe").is_fifo()
    assert not [*tmp_path.glob("*.tmp"), *tmp_path.glob(".*")]
    of_bytes = [*given_, "--likelihood", "logistic", "--overwrite"]
    assert main(["train", "--data", str(tmp_path / "grey.npy"), "--out", str(run), *of_bytes]) == 0
    assert main(["compress", str(run), "--pixels", "threshold", "-o", str(packed)]) == 2
    assert "pixels: got 'threshold', expected none for a likelihood of bytes" in capsys.readouterr().err
    assert main(["compress", str(run), str(tmp_path / "grey.npy"), "-o", str(packed)]) == 0
    assert main(["decompress", str(run), str(packed), "-o", str(back)]) == 0
    np.testing.assert_array_equal(np.load(back), np.load(tmp_path / "grey.npy"))
