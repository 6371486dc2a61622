"""Scaled data, in Python and in a run: what comes out is in the unit of what went in."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivae as mv
from minivae.command.main import main
from minivae.datasets import Scaling, load_dataset
from minivae.files import stored
from minivae.runs import pictures

RNG = np.random.default_rng(0)
PEOPLE = np.column_stack([RNG.normal(170, 10, 60), RNG.normal(70_000, 9000, 60)])


@given(
    seed=st.integers(0, 999),
    features=st.integers(1, 5),
    dtype=st.sampled_from([np.uint8, np.float32, np.float64, np.int64]),
    constant=st.booleans(),
)
@settings(max_examples=40)
def test_standardizing_and_back(seed, features, dtype, constant):
    rng = np.random.default_rng(seed)
    rows = (rng.normal(100, 20, (50, features)) * 10.0 ** rng.integers(-1, 1, features)).clip(0, 255).astype(dtype)
    if constant:
        rows[:, 0] = 0.1  # whose mean over many rows is another number
    scaling = Scaling.standardizing(rows)
    scaled = scaling.apply(rows)
    assert scaled.dtype == (np.float64 if dtype == np.float64 else np.float32)
    varied = rows.min(axis=0) < rows.max(axis=0)
    np.testing.assert_allclose(scaled.mean(axis=0, dtype=np.float64), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=0, dtype=np.float64)[varied], 1, rtol=1e-5)
    assert (scaled[:, ~varied] == 0).all()
    np.testing.assert_allclose(scaling.undo(scaled), rows.astype(float), rtol=1e-5, atol=1e-4)
    again = Scaling.from_json(json.loads(json.dumps(scaling.to_json())))
    np.testing.assert_array_equal(again.apply(rows), scaled)


def test_the_training_rows_alone_decide(tmp_path):
    np.savez(tmp_path / "d.npz", train=PEOPLE, test=PEOPLE[:20] + 50)
    data = load_dataset(tmp_path / "d.npz", standardize=True, size=40)
    np.testing.assert_allclose(data.scaling.shift, PEOPLE[:40].mean(axis=0))
    np.testing.assert_allclose(data.original(data.test), PEOPLE[:20] + 50)
    other = load_dataset(tmp_path / "d.npz", scaling=data.scaling)
    np.testing.assert_array_equal(other.train[:40], data.train)
    with pytest.raises(ValueError, match=r"rings: got '2 features', expected 3, as the scaling has"):
        load_dataset("rings", scaling=Scaling([0, 0, 0], [1, 1, 1]))


def test_bytes_are_scaled_as_they_are(tmp_path):
    pixels = RNG.integers(0, 256, (20, 784), dtype=np.uint8)
    np.save(tmp_path / "p.npy", pixels)
    data = load_dataset(tmp_path / "p.npy", scale_by=255)
    assert data.in_unit_interval
    np.testing.assert_allclose(data.train, load_dataset(tmp_path / "p.npy").train / 255, rtol=1e-6)
    assert "divided by 255" in data.source


def test_columns_of_one_value_are_named(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,c\n" + "".join(f"{i}.5,3,{i * i}\n" for i in range(9)))
    data = load_dataset(tmp_path / "t.csv", standardize=True)
    assert "1 of one value only: 'b'" in data.source
    assert (data.train[:, 1] == 0).all()
    assert (data.original(data.train)[:, 1] == 3).all()


def test_values_too_large_to_be_scaled(tmp_path):
    np.save(tmp_path / "h.npy", np.array([[1e300, 1], [-1e300, 2], [1, 3]]))
    with pytest.raises(ValueError, match="standardize: got 'column 0', expected values whose variance"):
        load_dataset(tmp_path / "h.npy", standardize=True)
    np.save(tmp_path / "h.npy", np.array([[1e30, 1], [-1e30, 2], [1, 3]], np.float32))
    with pytest.raises(ValueError, match=r"train: got -?inf at row"):
        load_dataset(tmp_path / "h.npy", scale_by=1e-30)


@pytest.mark.parametrize(
    ("shift", "scale", "message"),
    [
        (0, 0, "scale: got 0.0, expected numbers above 0"),
        ([0, 1], 1, "scale: got 1.0, expected as many as shift"),
        (0, np.inf, "scale: got .*inf.*, expected a finite number"),
        ("a", 1, "shift: got .*, expected a finite number"),
    ],
)
def test_no_scaling(shift, scale, message):
    with pytest.raises(ValueError, match=message):
        Scaling(shift, scale)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scaled")
    lines = "".join(f"{height:.3f},{weight:.1f}\n" for height, weight in PEOPLE)
    (folder / "people.csv").write_text("height,weight\n" + lines)
    (folder / "others.csv").write_text("height,weight\n" + lines.replace("1", "2"))
    arguments = [
        "--data",
        str(folder / "people.csv"),
        "--standardize",
        "--epochs",
        "2",
        "--hidden",
        "4",
        "--latent",
        "2",
    ]
    assert main(["train", *arguments, "--backend", "numpy", "--out", str(folder / "run")]) == 0
    return folder / "run"


def test_a_run_keeps_its_scaling_and_undoes_it(run, capsys):
    data = load_dataset(run.parent / "people.csv", standardize=True)
    entry = json.loads((run / "config.json").read_text())["data"]
    description, _ = stored.read(run / "checkpoint.npz")
    assert entry["scaling"] == description["extra"]["config"]["data"]["scaling"] == data.scaling.to_json()
    assert entry["standardize"] is True
    model = mv.VAE.load(run / "checkpoint.npz", "numpy")
    assert main(["sample", str(run), "--backend", "numpy", "--out", str(run / "s.npy")]) == 0
    np.testing.assert_array_equal(np.load(run / "s.npy"), data.original(model.sample(64)))
    assert main(["reconstruct", str(run), "--backend", "numpy", "--out", str(run / "r.npy")]) == 0
    np.testing.assert_array_equal(np.load(run / "r.npy"), data.original(model.reconstruct(data.test.astype("f4"))))
    assert main(["train", "--resume", str(run), "--epochs", "3", "--no-pictures"]) == 0
    capsys.readouterr()


def test_other_data_are_scaled_as_those_of_the_run(run, capsys):
    """All rows of a file, which has none to test with, and the test rows of a data set."""
    scaling = load_dataset(run.parent / "people.csv", standardize=True).scaling
    others = run.parent / "others.csv"
    rows = scaling.apply(np.loadtxt(others, delimiter=",", skiprows=1))
    model = mv.VAE.load(run / "checkpoint.npz", "numpy")
    for name, values in ((str(others), rows), ("rings", load_dataset("rings", scaling=scaling).test)):
        assert main(["evaluate", str(run), "--backend", "numpy", "--data", name]) == 0
        measured = json.loads((run / "evaluation.json").read_text())
        assert measured["nll"] == pytest.approx(mv.Evaluator(model, values)().nll, rel=1e-6)
    capsys.readouterr()


@pytest.mark.parametrize("features", [2, 4, 3])
def test_pictures_are_in_the_unit_of_the_data(features, tmp_path, monkeypatch):
    """Points, images and rows of numbers."""
    shape = {"image_shape": (2, 2)} if features == 4 else {}
    np.save(tmp_path / "d.npy", RNG.normal(50, 3, (60, features)))
    data = load_dataset(tmp_path / "d.npy", standardize=True, **shape)
    model, drawn = mv.VAE(features, 2, (4,), likelihood="gaussian", backend="numpy"), []
    for name in ("plot_points", "plot_profiles", "plot_samples", "plot_reconstructions", "plot_latent"):
        monkeypatch.setattr(pictures.plotting, name, lambda *given, **named: drawn.extend([*given, *named.values()]))
    pictures.draw_reconstructions(None, model, data, "grey", 5, 0)
    values = data.original(data.test[:5].astype(np.float32))
    assert any(np.array_equal(values, array) for array in drawn)
    means = data.original(model.reconstruct(data.test[:5].astype(np.float32)))
    assert any(np.array_equal(means, array) for array in drawn)
    drawn.clear()
    pictures.draw_latent(None, model, data, "grey", 0)
    decoded = data.original(model.decode(pictures.plotting.manifold_grid(pictures.MANIFOLD)))
    assert any(np.array_equal(decoded, array) for array in drawn) == (features != 3)
    if features == 3:
        return
    drawn.clear()
    pictures.draw_samples(None, model, data.name, data.image_shape, 5, 0, data.original)
    assert any(np.array_equal(data.original(model.sample(5)), array) for array in drawn)
