"""Data as people have them, each made here in the dialect of its maker; and the table of docs/data.md about them.

python -m tests.minivae.datasets.dialects prints the table.
"""

import gzip
import io
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from minivae.datasets import load_dataset

from .file_bytes import idx

RNG = np.random.default_rng(0)
N, TESTS = 40, 8
GREY = RNG.integers(0, 256, (N, 28, 28), dtype=np.uint8)
GREY[0, 0, :2] = 0, 255
COLOUR = RNG.integers(0, 256, (N, 32, 32, 3), dtype=np.uint8)
DIGITS = np.arange(N) % 10
FLOWERS = np.round(RNG.uniform(0.1, 8, (N, 4)), 1)
SPECIES = np.array(["setosa", "versicolor", "virginica"])[np.arange(N) % 3]
KINDS = np.arange(N) % 3
NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


@dataclass(frozen=True)
class Dialect:
    """What someone shares.

    what : as the table calls it
    make : writes it into a folder and returns what is given to --data, or the data frame itself
    rows, labels : what it holds, all rows in any order
    options : what settles how to read it, where it is refused without: then the message must name them
    """

    what: str
    make: Callable[[Path], Any]
    rows: Any
    labels: Any = None
    image_shape: Any = None
    classes: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    dtype: Any = np.uint8
    needs: str | None = None


def npz(name, **arrays):
    def make(folder):
        np.savez(folder / name, **arrays)
        return folder / name

    return make


def npy(name, array):
    def make(folder):
        np.save(folder / name, array)
        return folder / name

    return make


def text(name, content):
    def make(folder):
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return folder / name

    return make


def several(given, **files):
    """Files by name in a folder of their own; given : the one to name, or None for the folder."""

    def make(folder):
        (folder / "data").mkdir()
        for name, content in files.items():
            (folder / "data" / name).write_bytes(content)
        return folder / "data" / given if given else folder / "data"

    return make


def idx_files(images, labels, before="", test="t10k", packed=True):
    """The four files of MNIST and its kin."""
    files = {}
    for part, rows in (("train", slice(TESTS, None)), (test, slice(TESTS))):
        for kind, array in (("images-idx3", images), ("labels-idx1", labels.astype(np.uint8))):
            content = idx(array[rows])
            name = f"{before}{part}-{kind}-ubyte{'.gz' if packed else ''}"
            files[name] = gzip.compress(content, mtime=0) if packed else content
    return files


def kmnist():
    """As KMNIST and Kuzushiji-49 are shared beside IDX: an NPZ file for each of the four arrays."""
    files = {}
    for part, rows in (("train", slice(TESTS, None)), ("test", slice(TESTS))):
        for kind, array in (("imgs", GREY), ("labels", DIGITS.astype(np.uint8))):
            content = io.BytesIO()
            np.savez_compressed(content, array[rows])
            files[f"k49-{part}-{kind}.npz"] = content.getvalue()
    return files


def table_of(rows, labels=None, head=None, delimiter=",", form=str, last=True):
    lines = [] if head is None else [delimiter.join(head)]
    for i, row in enumerate(rows.tolist()):
        fields, label = [form(value) for value in row], [] if labels is None else [str(labels[i])]
        lines.append(delimiter.join(fields + label if last else label + fields))
    return "\n".join(lines) + "\n"


def as_r(folder):
    lines = ['"","Sepal.Length","Sepal.Width","Petal.Length","Petal.Width","Species"']
    lines += [f'"{i + 1}",{",".join(map(str, row))},"{SPECIES[i]}"' for i, row in enumerate(FLOWERS.tolist())]
    return text("iris_r.csv", "\n".join(lines) + "\n")(folder)


def frame():
    import pandas as pd

    return pd.DataFrame(FLOWERS, columns=NAMES).assign(species=SPECIES)


def parquet(folder):
    frame().to_parquet(folder / "iris.parquet")
    return folder / "iris.parquet"


def parquet_with_index(folder):
    import pyarrow.parquet

    columns = {name: FLOWERS[:, column] for column, name in enumerate(NAMES)}
    order = np.random.default_rng(1).permutation(N)  # as of a table that was split or shuffled
    pyarrow.parquet.write_table(pyarrow.table(columns | {"__index_level_0__": order}), folder / "shuffled.parquet")
    return folder / "shuffled.parquet"


def parquet_of_spark(folder):
    import pyarrow.parquet

    columns = {name: [Decimal(str(v)) for v in FLOWERS[:, column].tolist()] for column, name in enumerate(NAMES)}
    table = pyarrow.table(columns | {"label": [kind.encode() for kind in SPECIES]})
    pyarrow.parquet.write_table(table, folder / "part-00000.snappy.parquet", compression="snappy")
    return folder / "part-00000.snappy.parquet"


def pictures(images, labels, parts=None, end="png", change=lambda picture, i: picture):
    """A folder with a sub-folder for each class; with parts : inside of train and test."""

    def make(folder):
        from PIL import Image

        for i, image in enumerate(images):
            inside = folder / "pictures"
            if parts is not None:
                inside /= "test" if i < TESTS else "train"
            inside /= f"class_{labels[i]}"
            inside.mkdir(parents=True, exist_ok=True)
            change(Image.fromarray(image), i).save(inside / f"{i:03}.{end}")
            (inside / ".DS_Store").write_bytes(b"\0")
        return folder / "pictures"

    return make


def with_hole(picture, i):
    picture = picture.convert("RGBA")
    if i == 5:
        picture.putpixel((0, 0), (0, 0, 0, 100))
    return picture


def without_option(what, make):
    """A format that is not read: the message says what to do instead."""
    return Dialect(what, make, None)


def packed(rows):
    return {"train_images": rows[TESTS:], "val_images": rows[:2], "test_images": rows[:TESTS]}


def medmnist_labels(labels):
    return {"train_labels": labels[TESTS:], "val_labels": labels[:2], "test_labels": labels[:TESTS]}


def keras(images, labels):
    return {
        "x_train": images[TESTS:],
        "y_train": labels[TESTS:],
        "x_test": images[:TESTS],
        "y_test": labels[:TESTS],
    }


SPRITES = (GREY > 127).astype(np.uint8)
EIGHTS = (GREY[:, :8, :8] // 16).astype(float)
SMALL = RNG.random((N, 3, 5, 3)).astype(np.float32)
PIXELS = [f"pixel{i}" for i in range(784)]
SHAPE, RGB = (28, 28), (32, 32, 3)
MISSED = np.where(np.arange(N)[:, None] % 9 == [4, 9], -999, FLOWERS[:, :2])
GERMAN = table_of(
    FLOWERS, head=["Länge", "Breite", "Höhe", "Dicke"], delimiter=";", form=lambda v: f"{v:.1f}".replace(".", ",")
)
IN_CHINESE = np.array(["变色鸢尾", "山鸢尾", "维吉尼亚鸢尾"])
FLOATS = {"dtype": np.float64}
IRIS = {"rows": FLOWERS, "labels": KINDS, "classes": ("setosa", "versicolor", "virginica"), **FLOATS}

DIALECTS = [
    Dialect("Keras: `mnist.npz`", npz("mnist.npz", **keras(GREY, DIGITS)), GREY, DIGITS, SHAPE),
    Dialect(
        "Keras: CIFAR-10, labels (n, 1)", npz("cifar10.npz", **keras(COLOUR, DIGITS[:, None])), COLOUR, DIGITS, RGB
    ),
    Dialect("Keras: labels made one-hot", npz("onehot.npz", **keras(GREY, np.eye(10)[DIGITS])), GREY, DIGITS, SHAPE),
    Dialect("PyTorch: colours first", npz("torch.npz", X=COLOUR.transpose(0, 3, 1, 2), y=DIGITS), COLOUR, DIGITS, RGB),
    Dialect("scikit-learn: `X` and `y`, labels as texts", npz("flowers.npz", X=FLOWERS, y=SPECIES), **IRIS),
    Dialect(
        "scikit-learn: `numpy.savez(FILE, **load_digits())`",
        npz("digits.npz", data=EIGHTS.reshape(N, 64), images=EIGHTS, target=DIGITS, DESCR=np.array("Digits")),
        EIGHTS.astype(np.float64),
        DIGITS,
        (8, 8),
        options={"array": "images"},
        dtype=np.float64,
    ),
    Dialect("`data` and `target`", npz("set.npz", data=FLOWERS, target=KINDS), FLOWERS, KINDS, **FLOATS),
    Dialect(
        "OpenML: `mnist_784`, digits as texts",
        npz("openml.npz", data=GREY.reshape(N, 784).astype(float), target=DIGITS.astype(str)),
        GREY,
        DIGITS,
        SHAPE,
    ),
    Dialect(
        "MedMNIST: grey", npz("pneumonia.npz", **packed(GREY), **medmnist_labels(KINDS[:, None])), GREY, KINDS, SHAPE
    ),
    Dialect(
        "MedMNIST: colours",
        npz("pathmnist.npz", **packed(COLOUR), **medmnist_labels(DIGITS[:, None])),
        COLOUR,
        DIGITS,
        RGB,
    ),
    Dialect(
        "MedMNIST: several labels a row (ChestMNIST)",
        npz("chestmnist.npz", **packed(GREY), **medmnist_labels((np.arange(N * 14).reshape(N, 14) % 3 == 0) * 1)),
        GREY,
        image_shape=SHAPE,
        options={"label": ""},
    ),
    Dialect(
        "dSprites",
        npz(
            "dsprites.npz",
            imgs=SPRITES,
            latents_values=RNG.random((N, 6)),
            latents_classes=RNG.integers(0, 3, (N, 6)),
            metadata=np.array({"title": "dSprites"}, dtype=object),
        ),
        SPRITES,
        image_shape=SHAPE,
        dtype=np.float32,
    ),
    Dialect("`numpy.savez(FILE, x, y)`", npz("xy.npz", arr_0=GREY, arr_1=DIGITS), GREY, DIGITS, SHAPE),
    Dialect(
        "`numpy.savez(FILE, x, y, x_test, y_test)`",
        npz("four.npz", arr_0=GREY, arr_1=DIGITS, arr_2=GREY[:5], arr_3=DIGITS[:5]),
        GREY,
        image_shape=SHAPE,
        options={"array": "arr_0", "label": ""},
    ),
    Dialect(
        "SVHN: images on the last axis", npz("svhn.npz", X=COLOUR.transpose(1, 2, 3, 0), y=DIGITS), COLOUR, DIGITS, RGB
    ),
    Dialect(
        "MATLAB: images on the last axis, grey",
        npy("matlab.npy", GREY.transpose(1, 2, 0)),
        GREY,
        image_shape=SHAPE,
        options={"image_shape": (28, 28)},
    ),
    Dialect("NPY: one channel", npy("grey.npy", GREY[..., None]), GREY, image_shape=SHAPE),
    Dialect(
        "NPY: small images, colours before or behind",
        npy("small.npy", SMALL),
        SMALL,
        image_shape=(3, 5, 3),
        options={"image_shape": (3, 5, 3)},
        dtype=np.float32,
    ),
    Dialect(
        "CIFAR's own rows: red, green, blue",
        npy("batches.npy", COLOUR.transpose(0, 3, 1, 2).reshape(N, 3072)),
        COLOUR,
        image_shape=RGB,
        options={"image_shape": (3, 32, 32)},
    ),
    Dialect(
        "MNIST: IDX, packed", several("train-images-idx3-ubyte.gz", **idx_files(GREY, DIGITS)), GREY, DIGITS, SHAPE
    ),
    Dialect(
        "Fashion-MNIST, KMNIST: the folder of their files",
        several(None, **idx_files(GREY, DIGITS, packed=False)),
        GREY,
        DIGITS,
        SHAPE,
    ),
    Dialect(
        "KMNIST, Kuzushiji-49: an NPZ file for each array",
        several("k49-train-imgs.npz", **kmnist()),
        GREY,
        DIGITS,
        SHAPE,
    ),
    Dialect(
        "EMNIST: images stored column by column",
        several(
            "emnist-letters-train-images-idx3-ubyte.gz",
            **idx_files(GREY.swapaxes(1, 2), DIGITS + 1, "emnist-letters-", "test"),
        ),
        GREY,
        DIGITS + 1,
        SHAPE,
    ),
    without_option(
        "EMNIST: the folder of all its sets",
        several(
            None,
            **idx_files(GREY, DIGITS, "emnist-letters-", "test"),
            **idx_files(GREY, DIGITS, "emnist-digits-", "test"),
        ),
    ),
    Dialect(
        "Kaggle: digits, `label,pixel0,...`",
        text("train.csv", table_of(GREY.reshape(N, 784), DIGITS, ["label", *PIXELS], last=False)),
        GREY,
        DIGITS,
        SHAPE,
    ),
    Dialect(
        "`mnist_train.csv`, 785 numbers under no names",
        text("mnist_train.csv", table_of(GREY.reshape(N, 784), DIGITS, last=False)),
        GREY,
        DIGITS,
        SHAPE,
        options={"label": 1},
    ),
    Dialect(
        "binarized MNIST: `.amat`",
        text("binarized_mnist_train.amat", table_of(SPRITES.reshape(N, 784), delimiter=" ")),
        SPRITES,
        image_shape=SHAPE,
        **FLOATS,
    ),
    Dialect("UCI: `iris.data`", text("iris.data", table_of(FLOWERS, SPECIES)), **IRIS, options={"label": 5}),
    Dialect(
        "seaborn: `iris.csv`",
        text("iris.csv", table_of(FLOWERS, SPECIES, [*NAMES, "species"])),
        **IRIS,
        options={"label": "species"},
    ),
    Dialect(
        "scikit-learn: `load_iris(as_frame=True).frame.to_csv(FILE)`",
        text("target.csv", table_of(FLOWERS, KINDS, [*NAMES, "target"])),
        FLOWERS,
        KINDS,
        options={"label": "target"},
        **FLOATS,
    ),
    Dialect(
        "a weather station, -999 for what it missed",
        text("station.csv", table_of(MISSED, head=["temperature", "rain"])),
        MISSED,
        **FLOATS,
    ),
    Dialect("R: `write.csv(iris)`", as_r, **IRIS, options={"label": "Species"}),
    Dialect(
        "UCI: `winequality-red.csv`",
        text(
            "winequality-red.csv",
            table_of(FLOWERS, KINDS, ['"acidity"', '"sugar"', '"pH"', '"alcohol"', '"quality"'], ";"),
        ),
        FLOWERS,
        KINDS,
        options={"label": "quality"},
        **FLOATS,
    ),
    Dialect(
        "TSV: tabs, row names",
        text("genes.tsv", "\tg1\tg2\n" + "".join(f"cell{i}\t{r[0]}\t{r[1]}\n" for i, r in enumerate(FLOWERS))),
        FLOWERS[:, :2],
        **FLOATS,
    ),
    Dialect(
        "Excel in German: semicolons, decimal commas",
        text("tabelle.csv", b"\xef\xbb\xbf" + GERMAN.encode()),
        FLOWERS,
        **FLOATS,
    ),
    Dialect(
        "the same as Windows writes it without a mark",
        text("tabelle.csv", GERMAN.encode("cp1252")),
        FLOWERS,
        options={"encoding": "cp1252"},
        **FLOATS,
    ),
    Dialect(
        "Excel in Korean: CP949",
        text("길이.csv", table_of(FLOWERS, head=["길이", "너비", "꽃잎 길이", "꽃잎 너비"]).encode("cp949")),
        FLOWERS,
        options={"encoding": "cp949"},
        **FLOATS,
    ),
    Dialect(
        "Excel in Chinese: GBK",
        text(
            "鸢尾花.csv",
            table_of(FLOWERS, IN_CHINESE[KINDS], ["花萼长", "花萼宽", "花瓣长", "花瓣宽", "品种"]).encode("gbk"),
        ),
        FLOWERS,
        KINDS,
        None,
        tuple(IN_CHINESE),
        options={"encoding": "gbk", "label": "品种"},
        **FLOATS,
    ),
    Dialect(
        "pandas: `to_csv` with its index",
        text("frame.csv", ",a,b\n" + "".join(f"{i},{r[0]},{r[1]}\n" for i, r in enumerate(FLOWERS))),
        FLOWERS[:, :2],
        **FLOATS,
    ),
    Dialect("pandas: a `DataFrame`", lambda folder: frame(), **IRIS, options={"label": "species"}, needs="pandas"),
    Dialect("pandas, Spark: Parquet", parquet, **IRIS, options={"label": "species"}, needs="pyarrow"),
    Dialect(
        "Parquet with pandas' index, written again by polars or Hugging Face",
        parquet_with_index,
        FLOWERS,
        options={"drop": "__index_level_0__"},
        needs="pyarrow",
        **FLOATS,
    ),
    Dialect("Spark: Parquet with decimals, bytes as labels", parquet_of_spark, **IRIS, needs="pyarrow"),
    Dialect(
        "a folder of PNG, classes as sub-folders",
        pictures(GREY, KINDS),
        GREY,
        KINDS,
        SHAPE,
        ("class_0", "class_1", "class_2"),
    ),
    Dialect(
        "the same in colour under train and test",
        pictures(COLOUR, KINDS, parts=True),
        COLOUR,
        KINDS,
        RGB,
        ("class_0", "class_1", "class_2"),
    ),
    without_option(
        "a folder with a picture of another size",
        pictures(GREY, KINDS, change=lambda p, i: p.crop((0, 0, 28, 28 - (i == 5)))),
    ),
    without_option("a folder with a transparent picture", pictures(GREY, KINDS, change=with_hole)),
    without_option("CIFAR's pickles", text("data_batch_1", pickle.dumps({b"data": [1]}, 2))),
    without_option("HDF5", text("data.h5", b"\x89HDF\r\n\x1a\n")),
    without_option("PyTorch: `torch.save`", lambda folder: _zip(folder / "data.pt", "archive/data.pkl")),
]


def _zip(path, member):
    import zipfile

    with zipfile.ZipFile(path, "w") as file:
        file.writestr(member, b"")
    return path


def flags(options):
    """Options of `load_dataset` as those of `minivae train`."""
    called = {"label": "--labels", "image_shape": "--image-shape"}
    values = {name: " ".join(map(str, v)) if isinstance(v, tuple) else str(v) or "''" for name, v in options.items()}
    return " ".join(f"{called.get(name, f'--{name}')} {value}" for name, value in values.items())


def message(source, folder):
    try:
        load_dataset(source)
    except ValueError as error:
        return str(error).replace(str(folder), "...")
    return None


def table():
    """The table of docs/data.md."""
    lines = ["| data | as it is read, or the line that refuses it | with |", "| --- | --- | --- |"]
    for dialect in DIALECTS:
        with tempfile.TemporaryDirectory() as folder:
            source = dialect.make(Path(folder))
            refused = message(source, folder)
            read = "" if dialect.rows is None else load_dataset(source, **dialect.options).source
        told = f"`{flags(dialect.options)}`: {read}" if refused and read else f"`{flags(dialect.options)}`"
        lines.append(f"| {dialect.what} | {refused or read} | {told if dialect.options else ''} |".replace("  |", " |"))
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
