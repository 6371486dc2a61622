"""Data frames, Parquet, and folders of pictures."""

import builtins
import importlib
import os
import sys
from decimal import Decimal

import numpy as np
import pytest

import minivae as mv
from minivae.datasets import load_dataset
from minivae.datasets.values import check_labels

from .dialects import message

pd = pytest.importorskip("pandas")
Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)


def frame(**columns):
    return pd.DataFrame({"a": RNG.random(12), "b": RNG.integers(0, 9, 12), **columns})


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        ({}, {}, r"2 features 'a', 'b'; no labels"),
        ({"label": [True, False] * 6}, {}, r"labels in field 3 \('label'\)"),
        ({"label": [1.5] * 12}, {}, r"label.*got fractions"),
        ({"kind": ["x", "y"] * 6}, {}, r"field 3 \('kind'\): got .*'x'.*, expected numbers; label= .* drop="),
        ({"kind": ["x", None] * 6}, {"label": "kind"}, r"field 3 \('kind'\), row 1: got '.*', expected a finite value"),
        (
            {"kind": pd.Categorical(["x", "y"] * 6)},
            {"label": "kind"},
            r"labels in field 3 \('kind'\); 2 classes 'x', 'y'",
        ),
        ({"c": [1.0, np.nan] * 6}, {}, r"field 3 \('c'\), row 1: got 'nan', expected a finite value: .* drop="),
        ({"c": pd.array([1, None] * 6, "Int64")}, {}, r"field 3 \('c'\), row 1: got '<NA>', expected a finite"),
        ({"c": [1.0, np.inf] * 6}, {"drop": ["c"]}, r"left out 'c'"),
        ({"c": pd.to_datetime(["2020-01-01"] * 12)}, {}, r"field 3 \('c'\): got .*Timestamp.*, expected numbers"),
        ({"c": [[1, 2]] * 12}, {}, r"field 3 \('c'\): got 'list such as \[1, 2\]', expected numbers"),
        ({"c": pd.Categorical([1, 2] * 6)}, {}, r"field 3 \('c'\): got 'category such as .*1.*', expected numbers"),
        ({"c": np.array([Decimal("0.5"), Decimal(2)] * 6, object)}, {}, r"3 features 'a', 'b', 'c'"),
        ({"c": [None] * 12}, {}, r"field 3 \('c'\), row 0: got 'None', expected a finite value"),
        ({"kind": [b"x", "\u00f6".encode()] * 6}, {"label": "kind"}, r"2 classes 'x', '\u00f6'"),
        ({"kind": [b"x", b"\xff"] * 6}, {"label": "kind"}, r"field 3 \('kind'\): labels that are no text"),
        ({"__index_level_0__": [3, 1, 2, *range(4, 13)]}, {}, r"field 3 .*numbers of the rows.* drop="),
        ({"id": range(12)}, {}, r"field 3 \('id'\): got what may be numbers of the rows.* drop="),
        ({}, {"delimiter": ","}, "delimiter: got ',', expected a table"),
        ({}, {"label": "z"}, "label: got 'z', expected a number from 1 to 2 or one of 'a', 'b'"),
    ],
)
def test_data_frames(columns, options, said):
    table = frame(**columns)
    try:
        told = load_dataset(table, **options).source
    except ValueError as error:
        told = str(error)
        assert "\n" not in told
    assert pd.Series([told]).str.contains(said).all(), told


def test_frames_in_and_frames_out(tmp_path):
    table = frame(label=["u", "v", "w"] * 4).set_index(pd.Index(range(5, 17)))
    data = load_dataset(table, standardize=True)
    assert (data.columns, data.classes) == (("a", "b"), ("u", "v", "w"))
    model = mv.VAE(2, 1, (3,), likelihood="gaussian", backend="numpy")
    back = data.to_frame(data.train)
    assert list(back.columns) == ["a", "b"]
    np.testing.assert_allclose(np.sort(back["a"])[:3], np.sort(back["a"].to_numpy())[:3])
    np.testing.assert_allclose(data.to_frame(model.sample(4)), data.original(model.sample(4)))
    assert model.encode(table[["a", "b"]])[0].shape == (12, 1)
    pytest.importorskip("pyarrow")
    table.to_parquet(tmp_path / "t.parquet")
    assert load_dataset(tmp_path / "t.parquet", standardize=True).fingerprint() == data.fingerprint()
    assert (
        "12 rows of a data frame without its index 'who'; 2 features" in load_dataset(table.rename_axis("who")).source
    )


def test_frames_whose_numbers_may_be_missing_are_taken_as_rows():
    model, table = mv.VAE(3, 1, (3,), likelihood="gaussian", backend="numpy"), frame(c=[True, False] * 6)
    expected = model.encode(table.to_numpy(np.float64))[0]
    for kind in (table, table.convert_dtypes(), table.astype({"a": "Float64"})):
        np.testing.assert_allclose(model.encode(kind)[0], expected)
    table = table.convert_dtypes()
    table.loc[4, "b"] = pd.NA
    with pytest.raises(ValueError, match="x: got nan at row 4, column 1, expected finite numbers"):
        model.encode(table)
    with pytest.raises(ValueError, match=r"x: got object of shape \(12, 3\), expected real numbers"):
        model.encode(frame(c=["1", "2"] * 6))
    assert check_labels("labels", pd.Series([3, 4], dtype="Int64"), 2).tolist() == [3, 4]
    with pytest.raises(ValueError, match="labels: got object of shape"):
        check_labels("labels", pd.Series(["a", None], dtype=object), 2)


def test_columns_of_others_are_told_by_their_names():
    table = frame(label=["u", "v", "w"] * 4)
    data = load_dataset(table, standardize=True)
    others = load_dataset(table[["b", "label", "a"]].assign(more=1.5), scaling=data.scaling)
    assert (others.columns, others.fingerprint()) == (("a", "b"), data.fingerprint())
    with pytest.raises(ValueError, match=r"columns: got .*'a', 'z'.*, expected those of the scaling, 'a', 'b', in any"):
        load_dataset(table.rename(columns={"b": "z"}), scaling=data.scaling)
    assert load_dataset("rings", scaling=data.scaling).features == 2


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere ru_maxrss has another unit, or is not there")
def test_one_long_text_in_many_rows_costs_no_memory(tmp_path):
    """Parquet holds it once and its places in a few bytes."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    import resource

    rows = 20_000
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["x" * 50_000]))
    pq.write_table(pa.table({"a": np.zeros(rows), "label": texts}), tmp_path / "t.parquet", store_schema=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert load_dataset(tmp_path / "t.parquet").classes == ("x" * 50_000,)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB; a gigabyte of texts


def test_lists_in_parquet_are_refused_before_they_are_read(tmp_path):
    pytest.importorskip("pyarrow")
    frame(c=[[1.0, 2.0]] * 12).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"field 3 \('c'\): got 'list<.*>', expected numbers; drop= \(--drop\)"):
        load_dataset(tmp_path / "t.parquet")
    assert load_dataset(tmp_path / "t.parquet", drop=["c"]).columns == ("a", "b")


def test_parquet_that_claims_more_than_is_allowed(tmp_path, monkeypatch):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    many = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(100_000, np.int8)), 1000)
    pq.write_table(pa.table({"a": np.arange(100.0), "many": many}), tmp_path / "t.parquet")
    monkeypatch.setattr("minivae.datasets.frames.LARGEST_UNPACKED", 100_000)
    with pytest.raises(ValueError, match=r"t.parquet: got 'a claim of 800... bytes unpacked', expected at most 100000"):
        load_dataset(tmp_path / "t.parquet")


def test_damaged_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    frame().to_parquet(tmp_path / "t.parquet")
    content = (tmp_path / "t.parquet").read_bytes()
    for length in range(4, len(content), 37):
        (tmp_path / "t.parquet").write_bytes(content[:length])
        assert "t.parquet: damaged or unreadable" in message(tmp_path / "t.parquet", tmp_path)


def test_without_the_extra_one_line_names_the_command(tmp_path, monkeypatch):
    (tmp_path / "t.parquet").write_bytes(b"PAR1....PAR1")
    save(tmp_path / "pictures" / "a.png", PICTURE)
    save(tmp_path / "pictures" / "b.png", PICTURE)

    def missing(name, *rest):
        if name.partition(".")[0] in ("pandas", "pyarrow", "PIL"):
            raise ImportError(name)
        return real(name, *rest)

    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", missing)
    for name in ("t.parquet", "pictures"):
        assert message(tmp_path / name, tmp_path).endswith("needed here: pip install 'minivae[data]'")
    assert builtins.__import__  # nothing else was replaced


PICTURE = RNG.integers(0, 256, (5, 6), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (5, 6, 3), dtype=np.uint8)


def save(path, pixels, mode=None, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    (picture if mode is None else picture.convert(mode)).save(path, **how)


@pytest.mark.parametrize(
    ("pixels", "mode", "how", "read"),
    [
        (PICTURE, None, {}, PICTURE),
        (COLOUR, None, {}, COLOUR),
        (PICTURE // 128 * 255, "1", {}, PICTURE // 128 * 255),
        (COLOUR // 128 * 255, "P", {}, None),
        (PICTURE, "LA", {}, PICTURE),
        (COLOUR, "RGBA", {}, COLOUR),
        (PICTURE, None, {"transparency": 300}, PICTURE),
        (PICTURE.astype(np.uint16) * 257, None, {}, "of mode I;16.*, expected 8 bits, grey or RGB"),
        (PICTURE, None, {"transparency": int(PICTURE[0, 0])}, "a picture with transparency"),
    ],
)
def test_kinds_of_pictures(pixels, mode, how, read, tmp_path):
    for name in ("x.png", "y.png"):
        save(tmp_path / "p" / name, pixels, mode, **how)
    if isinstance(read, str):
        with pytest.raises(ValueError, match=rf"p: x.png: got .*{read}"):
            load_dataset(tmp_path / "p")
        return
    data = load_dataset(tmp_path / "p")
    assert data.train_labels is None
    if read is not None:
        assert data.image_shape == read.shape
        np.testing.assert_array_equal(data.train[0], read.ravel())


def test_jpeg_is_turned_as_its_camera_says(tmp_path):
    wide = np.zeros((8, 16), np.uint8)
    wide[:, 8:] = 255
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned clockwise by a quarter
    for name in ("a.jpg", "b.JPEG"):
        save(tmp_path / "p" / name, wide, format="jpeg", exif=turned)
    data = load_dataset(tmp_path / "p")
    assert data.image_shape == (16, 8)
    np.testing.assert_array_equal(data.train.reshape(16, 8) > 127, wide.T > 127)
    save(tmp_path / "p" / "c.jpg", COLOUR, "CMYK")
    assert "c.jpg: got 'a picture of mode CMYK', expected 8 bits, grey or RGB" in message(tmp_path / "p", tmp_path)


def test_grey_among_colours(tmp_path, monkeypatch):
    save(tmp_path / "p" / "a" / "1.png", PICTURE)
    save(tmp_path / "p" / "b" / "2.PNG", COLOUR, format="png")
    data = load_dataset(tmp_path / "p", seed=1)
    assert "2 pictures of 6 x 5 in colour, 1 of them grey; 2 classes 'a', 'b'" in data.source
    rows = {
        int(label): row
        for label, row in zip(np.r_[data.train_labels, data.test_labels], [*data.train, *data.test], strict=True)
    }
    np.testing.assert_array_equal(rows[0], PICTURE.repeat(3))
    np.testing.assert_array_equal(rows[1], COLOUR.ravel())
    monkeypatch.chdir(tmp_path / "p")
    assert load_dataset(".").source == data.source


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"a/1.png": PICTURE, "a/2.png": PICTURE[:4]},
            "p: a/2.png: got 'a picture of 6 x 4', expected 6 x 5 as a/1.png",
        ),
        ({"a/1.png": PICTURE, "2.png": PICTURE}, "'2.png' beside the folder 'a'"),
        ({"a/b/1.png": PICTURE}, "p/a: got 'folders in a class', expected pictures only"),
        ({"a/1.png": PICTURE, "b/c.txt": b"x"}, "p/b: got 'no picture', expected at least one"),
        ({"a/1.png": PICTURE, "a/2.gif": b"GIF89a"}, "a/2.gif: got 'a .gif picture', expected PNG or JPEG"),
        (
            {"a/1.png": PICTURE, "a/2.png": b"\x89PNG and no more"},
            "p: a/2.png: is no PNG or JPEG picture that can be read",
        ),
        ({"a/1.png": PICTURE, "a/2.png": b""}, "p: a/2.png: is no PNG or JPEG picture that can be read"),
        ({"a.csv": b"1,2\n"}, "got .*a folder with .*a.csv.*, expected pictures"),
        ({"train/a/1.png": PICTURE, "test/b/1.png": PICTURE}, "test: got .*b.*, expected those of train"),
        ({"train/1.png": PICTURE, "Training/1.png": PICTURE}, "the folders .*, expected one of them"),
        ({"train/1.png": PICTURE, "2.png": PICTURE}, "pictures such as '2.png' beside train"),
        (
            {"train/1.png": PICTURE, "test/1.png": PICTURE, "extra/1.png": PICTURE},
            "p: got .*train and test beside .*extra.*, expected classes, or train and test",
        ),
    ],
)
def test_folders_that_are_refused(files, said, tmp_path):
    for name, content in files.items():
        if isinstance(content, bytes):
            (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "p" / name).write_bytes(content)
        else:
            save(tmp_path / "p" / name, content)
    with pytest.raises(ValueError, match=said) as caught:
        load_dataset(tmp_path / "p")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name here")
def test_a_pipe_among_the_pictures_is_not_waited_for(tmp_path):
    save(tmp_path / "p" / "1.png", PICTURE)
    os.mkfifo(tmp_path / "p" / "2.png")
    with pytest.raises(ValueError, match=r"p/2.png: got 'no regular file', expected pictures only"):
        load_dataset(tmp_path / "p")


def test_what_is_not_read_is_said(tmp_path):
    for part in ("train", "test", "val"):
        for name in "ab":
            save(tmp_path / "p" / part / name / "1.png", COLOUR)
    (tmp_path / "p" / "train" / "a" / ".hidden.png").write_bytes(b"no picture")
    (tmp_path / "p" / "train" / "a" / "notes.txt").write_bytes(b"mine")
    (tmp_path / "p" / "__MACOSX").mkdir()
    data = load_dataset(tmp_path / "p")
    assert data.source.endswith("2 classes 'a', 'b'; 'notes.txt', 'val' not read")
    assert (data.train_labels.tolist(), data.test_labels.tolist(), data.split) == ([0, 1], [0, 1], False)
    assert load_dataset(tmp_path / "p", label="").train_labels is None
