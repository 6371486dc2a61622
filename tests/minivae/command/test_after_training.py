"""A run that is used: its latents as tables, other data, walks through the latents, and what needs no data."""

import csv
import shutil
import sys

import numpy as np
import pytest

import minivae as mv
from minivae import plotting
from minivae.command.main import main
from minivae.datasets import files
from minivae.runs import folder, rows, walks

BASE = ["--epochs", "2", "--hidden", "6", "--latent", "3", "--backend", "numpy", "--batch-size", "16", "--no-pictures"]
TABLE = ["--data", "table.csv", "--label", "kind", "--delimiter", ";"]


def write_table(path, values, kinds=None):
    names = ["a", "b", "c", "d"] + ([] if kinds is None else ["kind"])
    lines = [[*map(str, row)] + ([] if kinds is None else [str(kinds[i])]) for i, row in enumerate(values)]
    path.write_text("\n".join(";".join(line) for line in [names, *lines]) + "\n")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The current folder has data, and a run on each kind of them."""
    with pytest.MonkeyPatch.context() as patched:
        home = tmp_path_factory.mktemp("after")
        patched.chdir(home)
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (60, 5, 4), dtype=np.uint8)
        np.savez("images.npz", train=pixels[:50], test=pixels[50:], train_labels=np.arange(50), test_labels=np.ones(10))
        write_table(home / "table.csv", rng.normal(size=(40, 4)).round(3), np.arange(40) % 3)
        assert main(["train", "--data", "images.npz", "--size", "45", *BASE, "--out", "images"]) == 0
        assert main(["train", *TABLE, *BASE, "--size", "30", "--out", "table"]) == 0
        assert main(["train", "--data", "rings", "--size", "80", *BASE, "--out", "rings"]) == 0
        yield home


def encoded(*arguments, status=0):
    assert main(["encode", *arguments, "--backend", "numpy"]) == status


def read(path):
    with open(path, newline="") as file:
        head, *lines = csv.reader(file)
    return {name: [line[i] for line in lines] for i, name in enumerate(head)}


def test_a_table_of_latents_has_the_rows_of_the_file(runs):
    """Every row once, in the order of the file, with its number, its label and the part the run took it for."""
    model = mv.VAE.load("table/checkpoint.npz", backend="numpy")
    values = np.loadtxt("table.csv", delimiter=";", skiprows=1).astype(np.float32)
    mu, sigma = model.encode(values[:, :4])
    encoded("table", "--sigma")
    found = read("table/latents.csv")
    assert list(found) == ["row", "part", "label", *(f"{name}_{j}" for name in ("mu", "sigma") for j in range(3))]
    assert found["row"] == [*map(str, range(40))]
    assert found["label"] == [str(int(kind)) for kind in values[:, 4]]
    for name, array in (("mu", mu), ("sigma", sigma)):
        written = np.array([found[f"{name}_{j}"] for j in range(3)]).astype(np.float32).T
        np.testing.assert_array_equal(written, array.astype(np.float32))  # every digit that float32 has
    data = mv.load_dataset("table.csv", label="kind", delimiter=";", size=30)
    parts = np.array(found["part"])
    np.testing.assert_array_equal(values[parts == "train", :4], data.train.astype(np.float32))
    np.testing.assert_array_equal(values[parts == "test", :4], data.test.astype(np.float32))
    assert np.count_nonzero(parts == "unused") == 40 - 30 - 4


def test_latents_of_images_with_parts_of_their_own(runs):
    encoded("images", "-o", "l.csv")
    found = read("l.csv")
    assert found["part"] == ["train"] * 45 + ["unused"] * 5 + ["test"] * 10
    assert found["label"] == [*map(str, range(50)), *["1"] * 10]
    encoded("images", "-o", "l.npy")
    encoded("images", "--sigma", "-o", "both.npy")
    mu, both = np.load("l.npy"), np.load("both.npy")
    with np.load("images.npz") as file:
        pixels = np.concatenate([file["train"], file["test"]]).reshape(60, 20)
    means, sigmas = mv.VAE.load("images/checkpoint.npz", backend="numpy").encode(pixels)
    np.testing.assert_array_equal(mu, means)
    np.testing.assert_array_equal(both, np.concatenate([means, sigmas], axis=1))


def test_rows_of_a_named_set_have_the_same_numbers_whatever_was_used_of_them(runs):
    assert main(["train", "--size", "100", *BASE, "--epochs", "1", "--out", "digits"]) == 0
    encoded("digits", "-o", "l.csv")
    found = read("l.csv")
    assert len(found["row"]) == 70_000
    assert [found["part"][i] for i in (99, 100, 59_999, 60_000)] == ["train", "unused", "unused", "test"]
    assert found["label"][60_000] == str(mv.load_dataset("mnist").test_labels[0])


def test_parquet(runs, monkeypatch, capsys):
    parquet = pytest.importorskip("pyarrow.parquet")
    encoded("images", "-o", "l.parquet")
    encoded("images", "-o", "l.npy")
    table = parquet.read_table("l.parquet").to_pydict()
    assert list(table) == ["row", "part", "label", "mu_0", "mu_1", "mu_2"]
    np.testing.assert_array_equal(np.array([table[f"mu_{j}"] for j in range(3)], np.float32).T, np.load("l.npy"))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    encoded("images", "-o", "none.parquet", status=2)
    assert (
        "pyarrow.parquet is not installed, and is needed here: pip install 'minivae[data]'" in capsys.readouterr().err
    )


def test_other_data_are_read_as_those_of_the_run(runs, capsys):
    """With the run's options, labels or none, one row or many, and pixels as pixels whatever their dtype."""
    values = np.loadtxt("table.csv", delimiter=";", skiprows=1)
    write_table(runs / "new.csv", values[:1, :4])
    np.save("new.npy", values[:1, :4])
    encoded("table", "-o", "all.npy")
    for name in ("new.csv", "new.npy"):
        encoded("table", "--data", name, "-o", "one.csv")
        found = read("one.csv")
        assert list(found) == ["row", "mu_0", "mu_1", "mu_2"]
        np.testing.assert_allclose([float(found[f"mu_{j}"][0]) for j in range(3)], np.load("all.npy")[0], rtol=1e-5)
    with np.load("images.npz") as file:
        few = file["train"][:2].clip(0, 200)
    means = []
    for dtype in ("uint8", "int64", "float32"):
        np.save("few.npy", few.astype(dtype))
        encoded("images", "--data", "few.npy", "-o", "m.npy")
        means.append(np.load("m.npy"))
    np.testing.assert_array_equal(
        means[0], mv.VAE.load("images/checkpoint.npz", backend="numpy").encode(few.reshape(2, 20))[0]
    )
    np.testing.assert_array_equal(means[1:], [means[0]] * 2)
    assert main(["evaluate", "images", "--data", "few.npy"]) == 0
    assert "2 examples of few.npy" in capsys.readouterr().out
    assert main(["evaluate", "table", "--data", "new.npy", "--samples", "3"]) == 0
    assert main(["reconstruct", "table", "--data", "new.csv", "-o", "r.npy"]) == 0
    assert np.load("r.npy").shape == (1, 4)


def test_labels_that_are_texts_and_values_that_are_scaled(tmp_path, monkeypatch):
    """Latents are of scaled values, and what comes out is in the unit of the file again, of a file of one row too."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).normal(size=(40, 4)) * (1, 10, 100, 1000) + 50
    write_table(tmp_path / "table.csv", values, np.array(["iris", "rosa", "acer"])[np.arange(40) % 3])
    assert main(["train", *TABLE, "--standardize", *BASE, "--out", "run"]) == 0
    encoded("run", "-o", "l.csv")
    assert read("l.csv")["label"][:4] == ["iris", "rosa", "acer", "iris"]
    encoded("run", "-o", "l.npy")
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    model = mv.VAE.load("run/checkpoint.npz", "numpy")
    np.testing.assert_allclose(np.load("l.npy"), model.encode(scaled)[0], atol=0.2)  # by means of 36 rows, not 40
    np.save("one.npy", values[:1])
    encoded("run", "--data", "one.npy", "-o", "one_l.npy")
    np.testing.assert_allclose(np.load("one_l.npy"), np.load("l.npy")[:1], rtol=1e-4)
    assert main(["reconstruct", "run", "--data", "one.npy", "-o", "r.npy"]) == 0
    assert main(["sample", "run", "--interpolate", "0", "1", "-o", "i.npy"]) == 0
    np.testing.assert_allclose(np.load("i.npy")[0, 0], np.load("r.npy")[0], rtol=1e-4)
    assert main(["sample", "run", "--traverse", "-o", "t.npy"]) == 0
    assert np.ptp(np.load("t.npy")[..., 3]) > 20 * np.ptp(np.load("t.npy")[..., 0])
    assert main(["sample", "run", "--interpolate", "0", "1"]) == main(["reconstruct", "run", "--data", "one.npy"]) == 0
    drawn = {}
    monkeypatch.setattr(plotting, "plot_walks", lambda means, *_, **more: drawn.update(more, means=means))
    assert main(["sample", "run", "--interpolate", "0", "1"]) == 0
    np.testing.assert_allclose(drawn["ends"], values[None, :2], rtol=1e-4)
    np.testing.assert_allclose(drawn["means"], np.load("i.npy"), rtol=1e-4)


def test_others_may_lack_the_labels_and_have_the_columns_that_are_dropped(runs):
    assert main(["train", *TABLE, "--drop", "b", *BASE, "--epochs", "1", "--out", "dropped"]) == 0
    values = np.loadtxt("table.csv", delimiter=";", skiprows=1)
    write_table(runs / "unlabelled.csv", values[:, :4])
    for data in ([], ["--data", "unlabelled.csv"]):
        encoded("dropped", *data, "-o", f"{len(data)}.npy")
    np.testing.assert_array_equal(np.load("0.npy"), np.load("2.npy"))


def test_columns_of_others_are_told_by_their_names(runs, capsys):
    """In another order, with more beside them; not where the run's names are not there."""
    values = np.loadtxt("table.csv", delimiter=";", skiprows=1)[:5, :4]
    encoded("table", "-o", "all.npy")
    for names, columns in (("d;b;a;c", [3, 1, 0, 2]), ("id;a;x;b;c;d;note", [0, 0, 1, 2, 3])):
        lines = [";".join(map(str, row)) for row in values[:, columns]]
        lines = [f"{i};{line};text" for i, line in enumerate(lines)] if "note" in names else lines
        (runs / "other.csv").write_text("\n".join([names, *lines]))
        encoded("table", "--data", "other.csv", "-o", "o.npy")
        np.testing.assert_allclose(np.load("o.npy"), np.load("all.npy")[:5], rtol=1e-5, atol=1e-6)
    (runs / "other.csv").write_text("a;b;c;e\n" + "\n".join(";".join(map(str, row)) for row in values))
    for command in (["encode"], ["evaluate"], ["reconstruct"], ["sample", "--interpolate", "0", "1"]):
        assert main([command[0], "table", *command[1:], "--data", "other.csv"]) == 2
        error = capsys.readouterr().err
        assert "columns: got \"'a', 'b', 'c', 'e'\", expected those of the run, 'a', 'b', 'c', 'd'" in error


def test_images_of_another_shape_are_no_rows_of_as_many_values(runs, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 4), dtype=np.uint8)
    for shape, status in (((3, 4, 5), 2), ((3, 10, 2), 2), ((3, 1, 5, 4), 0), ((3, 20), 0)):
        np.save("other.npy", pixels.reshape(shape))
        encoded("images", "--data", "other.npy", "-o", "o.npy", status=status)
        assert ("images: got (4, 5), expected (5, 4) as those of the run" in capsys.readouterr().err) == (shape[1] == 4)


def test_rows_of_a_file_that_is_mapped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "MAPPED_FROM", 0)
    values = np.random.default_rng(0).random((40, 4))
    np.save("v.npy", values)
    assert main(["train", "--data", "v.npy", "--dtype", "float64", *BASE, "--out", "run"]) == 0
    encoded("run", "-o", "l.csv")
    encoded("run", "-o", "l.npy")
    assert read("l.csv")["part"] == ["train"] * 36 + ["test"] * 4
    np.testing.assert_array_equal(np.load("l.npy"), mv.VAE.load("run/checkpoint.npz", "numpy").encode(values)[0])


def test_walks_in_colour(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("colour.npz", x_train=np.random.default_rng(0).integers(0, 256, (40, 6, 5, 3), dtype=np.uint8))
    assert main(["train", "--data", "colour.npz", *BASE, "--out", "run"]) == 0
    monkeypatch.setattr(folder, "load_dataset", None)
    assert main(["sample", "run", "--traverse"]) == 0
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert main(["sample", "run", "--interpolate", "0", "5"]) == 0
    assert (tmp_path / "run" / "interpolation.png").exists()


def test_numbers_that_look_like_pixels_are_none_where_the_runs_were_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbers = np.random.default_rng(0).integers(1, 255, (30, 16)).astype(np.float32)
    np.save("numbers.npy", numbers)
    assert main(["train", "--data", "numbers.npy", *BASE, "--out", "run"]) == 0
    numbers[0, :2] = 0, 255
    np.save("new.npy", numbers)
    encoded("run", "--data", "new.npy", "-o", "m.npy")
    np.testing.assert_array_equal(
        np.load("m.npy"), mv.VAE.load("run/checkpoint.npz", backend="numpy").encode(numbers)[0]
    )


def test_what_is_wrong_is_said_before_anything_is_written(runs, capsys):
    np.save("narrow.npy", np.zeros((3, 2)))
    np.save("other.npy", np.zeros((3, 4)))
    (runs / "narrow.csv").write_text("a;b\n1;2\n3;4\n")
    before = sorted(runs.rglob("*"))
    for arguments, words in (
        (["encode", "table", "--data", "narrow.npy"], "narrow.npy has 2 features, expected the run's 4"),
        (["encode", "table", "--data", "narrow.csv"], "narrow.csv has 2 features, expected the run's 4"),
        (["encode", "table", "--data", "none.csv"], "none.csv: no such file"),
        (["encode", "table", "--data", "mnits"], "expected one of mnist, rings, moons, pinwheel"),
        (["encode", "table", "--data", "table.csv", "-o", "table.csv"], "which is an input"),
        (["encode", "table", "-o", "table.csv"], "which is an input"),
        (["encode", "table", "-o", "table/history.csv"], "which is an input"),
        (["evaluate", "table", "-o", "table/config.json"], "which is an input"),
        (["reconstruct", "table", "--data", "other.npy", "-o", "other.npy"], "which is an input"),
        (["sample", "table", "-o", "none/s.png"], "in a folder that exists"),
        (["encode", "table", "-o", "l.txt"], "ends in .csv, .npy or .parquet"),
        (["encode", "table", "--seed", "1"], "--seed: got 1, expected --pixels dynamic with it"),
        (["compress", "images", "images.npz", "--data", "images.npz", "-o", "x"], "expected one of them"),
        (["sample", "table", "--count", "31"], "--count: got 31, expected at most 30 in a picture, or --out FILE.npy"),
        (["sample", "table", "--interpolate", "1"], "--interpolate: got 1, expected two rows or more"),
        (
            ["sample", "table", "--interpolate", "1", "40"],
            "--interpolate: got 40, expected rows of table.csv, from 0 to 39",
        ),
        (["sample", "table", "--traverse", "3"], "--traverse: got 3, expected latents from 0 to 2"),
        (["sample", "table", "--traverse", "--seed", "1"], "--seed: got 1, expected no --traverse"),
        (["sample", "table", "--traverse", "--count", "1"], "--count: got 1, expected 2 steps of a walk or more"),
        (["sample", "table", "--traverse", *["1"] * 31], "--traverse: got 31 walks, expected at most 30 in a picture"),
        (["sample", "table", "--at", "1"], "--at: got 1, expected --traverse with it"),
        (["sample", "table", "--data", "table.csv"], "--data: got 'table.csv', expected --interpolate"),
    ):
        assert main(arguments) == 2
        assert words in capsys.readouterr().err
    assert sorted(runs.rglob("*")) == before


def test_compress_takes_data_by_either_name(runs):
    for given in (["images.npz"], ["--data", "images.npz"]):
        assert main(["compress", "images", *given, "--pixels", "threshold", "-o", f"{len(given)}.mvz"]) == 0
    assert (runs / "1.mvz").read_bytes() == (runs / "2.mvz").read_bytes()


@pytest.mark.parametrize("name", ["images", "table", "rings"])
def test_a_run_alone_gives_samples_and_traversals(runs, name, monkeypatch, tmp_path):
    """Its folder holds all that a picture needs: neither is the data set looked for, nor its loader called."""
    shutil.copytree(name, tmp_path / "run")
    for data in ("images.npz", "table.csv"):
        shutil.copy(data, tmp_path)  # where they would be found
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folder, "load_dataset", None)
    monkeypatch.setattr(rows, "load_parts", None)
    for command in (["sample"], ["sample", "--traverse"]):
        assert main([*command[:1], "run", *command[1:], "--backend", "numpy"]) == 0
    for picture in ("samples.png", "traversal.png"):
        assert (tmp_path / "run" / picture).read_bytes().startswith(b"\x89PNG")


def test_walks_go_where_they_say(runs, monkeypatch):
    model = mv.VAE.load("images/checkpoint.npz", backend="numpy")
    encoded("images", "-o", "l.npy")
    mu = np.load("l.npy")
    assert main(["sample", "images", "--traverse", "2", "0", "--at", "7", "--count", "5", "-o", "t.npy"]) == 0
    z = np.repeat(mu[None, 7], 5, axis=0)
    z[:, 2] = np.linspace(-3, 3, 5)
    found = np.load("t.npy")
    assert found.shape == (2, 5, 20)
    np.testing.assert_allclose(found[0], model.decode(z), rtol=1e-5)
    assert main(["sample", "images", "--traverse", "1", "-o", "t.npy"]) == 0
    np.testing.assert_allclose(np.load("t.npy")[0, 5], model.decode(np.zeros((1, 3)))[0], rtol=1e-5)
    assert main(["sample", "images", "--interpolate", "3", "55", "0", "-o", "i.npy"]) == 0
    found = np.load("i.npy")
    assert found.shape == (2, 11, 20)
    for walk, ends in enumerate(((3, 55), (55, 0))):
        np.testing.assert_allclose(found[walk, [0, -1]], model.decode(mu[list(ends)]), rtol=1e-5)
        np.testing.assert_allclose(found[walk, 5], model.decode(mu[list(ends)].mean(axis=0)[None])[0], rtol=1e-5)
    drawn = {}
    monkeypatch.setattr(plotting, "plot_walks", lambda means, *_, **more: drawn.update(more, means=means))
    assert main(["sample", "images", "--traverse"]) == 0
    kl = walks.strengths("images")
    order = np.argsort(-kl)
    assert drawn["names"] == [f"latent {j}, KL {kl[j]:.2f}" for j in order]
    assert main(["sample", "images", "--interpolate", "3", "55"]) == 0
    with np.load("images.npz") as file:
        ends = np.stack([file["train"][3], file["test"][5]]).reshape(1, 2, 20) / np.float32(255)
    np.testing.assert_array_equal(drawn["ends"], ends)
    assert drawn["names"] == ["row 3 to row 55"]


@pytest.mark.parametrize("shape", [None, (3, 2)])
@pytest.mark.parametrize("walks", [1, 4])
def test_a_walk_is_drawn(shape, walks, tmp_path):
    """Every image in its place: here each has one grey of its own."""
    levels = np.linspace(0, 1, walks * 3).reshape(walks, 3, 1)
    decoded = np.repeat(levels, 6, axis=2)
    names, ends = [f"walk {i}" for i in range(walks)], np.stack([decoded[:, 0], decoded[:, -1]], axis=1)
    figure = plotting.plot_walks(decoded, shape, tmp_path / "w.png", names=names, ends=ends, steps=["a", "b", "c"])
    panels = figure.axes
    if shape is None:
        assert [len(axes.lines) for axes in panels[:walks]] == [5] * walks
        np.testing.assert_allclose(panels[0].lines[1].get_ydata(), decoded[0, 1])
    else:
        first, middle, last = (axes.images[0].get_array()[..., 0] for axes in panels)
        for sheet, values in ((first, ends[:, :1]), (middle, decoded), (last, ends[:, 1:])):
            tall, wide = (side / count for side, count in zip(sheet.shape, values.shape[:2], strict=True))
            for i, j in np.ndindex(*values.shape[:2]):
                assert sheet[int((i + 0.5) * tall), int((j + 0.5) * wide)] == np.rint(255 * values[i, j, 0])
    for wrong in ({"names": ["x"] * 9}, {"names": names, "steps": ["a"]}, {"names": names, "ends": ends[:, :1]}):
        with pytest.raises(ValueError, match=r"^(names|steps|ends): got"):
            plotting.plot_walks(decoded, shape, **wrong)
