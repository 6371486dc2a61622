"""Runs that are moved, whose data are elsewhere, and that go on with another backend, library or machine."""

import getpass
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from minivae import kernels
from minivae.command.main import main
from minivae.files import stored
from minivae.runs import folder, machine, reopening

from ..datasets.file_bytes import idx
from .test_checkpoint import unpacked
from .tiny import assert_same_run

OPTIONS = ["--epochs", "2", "--batch-size", "32", "--hidden", "5", "--latent", "2", "--backend", "numpy"]


def images(seed=0, rows=120):
    return np.random.default_rng(seed).integers(0, 256, (rows, 6, 5), dtype=np.uint8)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with data, and a run of two epochs on them."""
    home = tmp_path_factory.mktemp("moving")
    np.save(home / "tiny.npy", images())
    out = ["--out", str(home / "runs" / "one")]
    assert main(["train", "--data", str(home / "tiny.npy"), *OPTIONS, *out, "--checkpoint-every", "3"]) == 0
    return home


@pytest.fixture
def moved(home, tmp_path, monkeypatch):
    """The run alone, in another place, with the work of one epoch left to do."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(home / "runs" / "one", tmp_path / "far" / "run")
    return tmp_path / "far" / "run"


def recorded(run):
    return json.loads((run / "config.json").read_text())


def said(capsys, *arguments):
    """(exit status, all that was printed) of a command."""
    capsys.readouterr()
    numpy = () if arguments[0] == "train" else ("--backend", "numpy")
    status = main([str(argument) for argument in (*arguments, *numpy)])
    return status, "".join(capsys.readouterr())


def on(run):
    return "train", "--resume", run, "--epochs", "3", "--no-pictures"


def test_no_file_of_a_run_holds_a_path_or_a_user(home, moved, capsys):
    """Neither does any that the run writes when it goes on, also one that began when full paths were kept."""
    assert recorded(moved)["data"]["name"] == os.path.join("..", "..", "tiny.npy")
    for begun in (moved, older(moved, home)):
        assert said(capsys, *on(begun), "--data", home / "tiny.npy")[0] == 0
        assert said(capsys, "evaluate", begun, "--data", home / "tiny.npy")[0] == 0
        words = {str(home), str(begun), str(Path.home()), str(Path.cwd()), getpass.getuser()} - {"/"}
        for path in [*begun.iterdir(), *(home / "runs" / "one").iterdir()]:
            if begun is moved or path.name in ("config.json", "checkpoint.npz", "evaluation.json"):
                assert not [word for word in words if word.encode() in path.read_bytes()], path.name


def older(run, home):
    """The run as version 0.1.0 left it: a full path, no image shape, no dtype, three versions."""
    old = run.parent / "old"
    shutil.copytree(run, old)
    name = {"name": str(home / "tiny.npy")}

    def change(entry):
        data = {key: value for key, value in entry["data"].items() if key not in ("image_shape", "dtype")}
        kept = ("minivae", "python", "numpy", "backend", "model", "training")
        return {key: entry[key] for key in kept} | {"data": data | name}

    (old / "config.json").write_text(json.dumps(change(recorded(run))))
    for path in old.glob("*.npz"):
        description, arrays = stored.read(path)
        extra = {"config": change(description["extra"]["config"])}
        stored.write(path, description["model"], arrays, extra=extra, training=description["training"])
    return old


def test_a_run_of_an_earlier_version_goes_on(home, moved, capsys):
    old = older(moved, home)
    assert said(capsys, "sample", old)[0] == 0
    status, text = said(capsys, *on(old))
    assert (status, "bits may differ" in text) == (0, False)
    assert recorded(old)["data"]["image_shape"] == [6, 5]
    assert said(capsys, *on(moved), "--data", home / "tiny.npy")[0] == 0
    assert_same_run(moved, old)


@pytest.mark.parametrize("place", ["far/tiny.npy", "far/run/tiny.npy", "tiny.npy"])
def test_data_are_found_by_their_fingerprint(home, moved, capsys, place, tmp_path):
    """Beside the run, in it, in the current folder; others of that name are passed over."""
    for other in ("far/tiny.npy", "far/run/tiny.npy", "tiny.npy"):
        np.save(tmp_path / other, images(1))
    shutil.copy(home / "tiny.npy", tmp_path / place)
    for command in (on(moved), ("evaluate", moved), ("reconstruct", moved)):
        assert said(capsys, *command)[0] == 0
    config = recorded(moved)
    assert (moved / config["data"]["name"]).resolve() == (tmp_path / place).resolve()


def test_a_run_alone(moved, capsys, monkeypatch):
    """Without any data it can be sampled from; what needs data says how to give them."""
    for command in (on(moved), ("evaluate", moved), ("reconstruct", moved)):
        status, text = said(capsys, *command)
        assert status == 2
        assert "no tiny.npy where it was" in text
        assert text.splitlines()[-1].endswith("--data FILE")
    monkeypatch.setattr(folder, "load_dataset", None)
    for out in ("s.npy", "s.png"):
        assert said(capsys, "sample", moved, "--count", "3", "--out", moved / out)[0] == 0
    assert np.load(moved / "s.npy").shape == (3, 30)


def test_points_are_sampled_without_data(tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    assert said(capsys, "train", "--data", "rings", "--size", "90", *OPTIONS, "--out", run, "--no-pictures")[0] == 0
    monkeypatch.setattr(folder, "load_dataset", None)
    assert said(capsys, "sample", run)[0] == 0
    assert (run / "samples.png").read_bytes().startswith(b"\x89PNG")


def test_other_data_are_refused_under_the_runs_name_and_said_under_their_own(home, moved, capsys, tmp_path):
    np.save(moved.parent / "tiny.npy", images(1))
    for command in (on(moved), ("evaluate", moved), ("reconstruct", moved)):
        status, text = said(capsys, *command)
        assert status == 2
        assert "tiny.npy is not the data this run was trained on; give those with --data FILE" in text
    status, text = said(capsys, *on(moved), "--data", moved.parent / "tiny.npy")
    assert (status, "--data: tiny.npy is not the data this run was trained on" in text) == (2, True)
    np.save(tmp_path / "new.npy", images(1, rows=50))
    status, text = said(capsys, "evaluate", moved, "--data", tmp_path / "new.npy")
    assert (status, "new.npy is other data than the run was trained on" in text) == (0, True)
    result = json.loads((moved / "evaluation.json").read_text())
    assert (result["data"], result["own_data"], result["examples"]) == ("new.npy", False, 50)
    status, text = said(capsys, "reconstruct", moved, "--data", tmp_path / "new.npy", "--out", moved / "r.npy")
    assert (status, "of new.npy, other data than the run's" in text) == (0, True)
    status, text = said(capsys, "evaluate", moved, "--data", home / "tiny.npy")
    assert (status, "other data" in text) == (0, False)
    assert json.loads((moved / "evaluation.json").read_text())["own_data"] is True
    status, text = said(capsys, "evaluate", moved, "--data", "rings")
    assert (status, "rings has 2 features, expected the run's 30" in text) == (2, True)


def test_a_folder_of_a_data_sets_name_is_no_data(tmp_path, monkeypatch, capsys):
    """A name wins over a file; a file so called is given, and kept, with a folder before it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rings").mkdir()
    assert said(capsys, "train", "--data", "rings", "--size", "90", *OPTIONS, "--no-pictures", "--out", "run")[0] == 0
    assert said(capsys, *on(tmp_path / "run"))[0] == 0
    assert recorded(tmp_path / "run")["data"]["name"] == "rings"
    np.save(tmp_path / "moons.npy", images())
    (tmp_path / "moons.npy").rename(tmp_path / "moons")
    for name in (reopening.stored_name("./moons", "run"), reopening.stored_name("./moons", "moons")):
        assert name not in ("moons", "rings")


def test_what_a_folders_name_tells_of_its_user_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(reopening, "_user", lambda: {"alice"})
    for place in ("home/alice/data.npz", "data-of-alice/data.npz"):
        assert reopening.stored_name(str(tmp_path / place), tmp_path / "run") == "data.npz"
    assert reopening.stored_name(str(tmp_path / "home/alice/data.npz"), tmp_path / "home/alice/run") == "../data.npz"


def test_the_split_is_in_each_checkpoint(home):
    for path in (home / "runs" / "one").glob("*.npz"):
        config = json.loads(unpacked(path.read_bytes())["description"])["extra"]["config"]
        assert config == recorded(home / "runs" / "one")
        assert {"test_fraction", "seed", "size", "fingerprint"} <= config["data"].keys()


@pytest.fixture
def another(monkeypatch):
    """A second backend that runs here, with the kernels of the first."""
    monkeypatch.setattr(kernels.backend, "BACKENDS", dict(kernels.backend.BACKENDS))
    for module in ("train", "options"):
        monkeypatch.setattr(f"minivae.command.{module}.BACKENDS", kernels.backend.BACKENDS)
    kernels.register_backend("mine", kernels.numpy_backend.dense)
    return "mine"


def test_the_backend_of_a_run_stays_its_own(home, moved, capsys, another):
    """Without config.json too; another that is asked for is said, recorded, and stays, also where nothing was saved."""
    np.save(moved.parent / "tiny.npy", images())
    (moved / "config.json").unlink()
    status, text = said(capsys, *on(moved))
    assert (status, "bits may differ" in text) == (0, False)
    assert "config.json" in text
    assert recorded(moved)["backend"] == "numpy"
    status, text = said(capsys, *on(moved)[:-2], "4", "--no-pictures", "--backend", another)
    assert (status, "bits may differ from those of the run as it was: backend numpy, now mine" in text) == (0, True)
    before = recorded(moved)
    assert (before["backend"], stored_config(moved)["backend"]) == (another, another)
    status, text = said(capsys, *on(moved)[:-2], "5", "--no-pictures")
    assert (status, "bits may differ" in text) == (0, False)
    assert recorded(moved)["backend"] == another
    (moved / "config.json").write_text(json.dumps(recorded(moved) | {"backend": "numpy"}))
    status, text = said(capsys, *on(moved)[:-2], "6", "--no-pictures")
    assert (status, "backend mine, now numpy" in text) == (0, True)


def stored_config(run):
    return stored.read(run / "checkpoint.npz")[0]["extra"]["config"]


def test_what_was_asked_for_and_never_saved_is_not_forgotten(home, moved, capsys, monkeypatch):
    """A resume with more epochs that ends before its first checkpoint."""
    np.save(moved.parent / "tiny.npy", images())
    with monkeypatch.context() as patched:
        patched.setattr("minivae.runs.train.fit", lambda *_, **__: (_ for _ in ()).throw(ValueError("gone")))
        assert said(capsys, *on(moved))[0] == 2
    assert stored_config(moved)["training"]["epochs"] == 2
    assert said(capsys, "train", "--resume", moved, "--no-pictures")[0] == 0
    assert stored_config(moved)["training"]["epochs"] == 3


def test_a_configuration_of_another_run_is_not_taken(moved, capsys, tmp_path):
    np.save(moved.parent / "tiny.npy", images())
    config = recorded(moved)
    config["model"]["beta"] = 7.0
    (moved / "config.json").write_text(json.dumps(config | {"backend": "nonsense"}))
    status, text = said(capsys, *on(moved))
    assert (status, "config.json is that of another run, and is replaced by what checkpoint.npz says" in text) == (
        0,
        True,
    )
    assert recorded(moved)["model"]["beta"] == 1.0


def test_what_bits_depend_on_is_recorded_and_said(moved, capsys, monkeypatch):
    np.save(moved.parent / "tiny.npy", images())
    config = recorded(moved)
    assert {"minivae", "python", "numpy", "blas", "processor", "threads"} <= config.keys()
    assert all(isinstance(config[name], str) and config[name] for name in machine.MATTERS["numpy"])
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "77")
    monkeypatch.setattr(machine, "_processor", lambda: "another")
    text = said(capsys, *on(moved))[1]
    line = next(line for line in text.splitlines() if "bits may differ" in line)
    assert f"threads {config['threads']}, now 77" in line
    assert f"processor {config['processor']}"[:40] in line
    assert "numpy" not in line
    assert recorded(moved)["threads"] == "77"
    assert "bits may differ" not in said(capsys, *on(moved)[:-2], "4", "--no-pictures")[1]


def test_what_the_compiled_backend_depends_on():
    """Numba, LLVM and the processor, but no number of threads; unknown entries of an earlier version are not said."""
    now = machine.described("cpu", "1")
    assert {"numba", "llvmlite", "processor"} <= now.keys()
    assert "threads" not in now
    then = now | {"numba": "0.1", "threading_layer": "tbb", "python": "3.0"}
    assert machine.differences("cpu", then, "cpu", now) == f"numba 0.1, now {now['numba']}"
    assert machine.differences("cpu", {"minivae": "1"}, "cpu", now) is None
    assert machine.differences("cpu", {"numba": ["x"], "numpy": 7}, "cpu", now) is None
    assert len(machine.differences("cpu", dict.fromkeys(now, "x" * 5000), "cpu", now)) < 900


def test_an_older_run_of_idx_files_finds_its_data_as_it_read_them(tmp_path, capsys):
    """Before there were test files beside a file, and images that were turned."""
    for part, rows in (("train", 60), ("test", 20)):
        (tmp_path / f"emnist-digits-{part}-images-idx3-ubyte").write_bytes(idx(images(rows=rows)))
    source, run = tmp_path / "emnist-digits-train-images-idx3-ubyte", tmp_path / "run"
    arguments = ["--data", source, "--test-fraction", "0.1", "--no-transpose", *OPTIONS, "--no-pictures"]
    assert said(capsys, "train", *arguments, "--out", run)[0] == 0
    assert (recorded(run)["data"]["test_fraction"], recorded(run)["data"]["image_shape"]) == (0.1, [6, 5])
    new = ("array", "shape", "transpose", "standardize", "scale_by", "scaling")
    for file in ("config.json", "checkpoint.npz"):
        without(run / file, new)
    status, text = said(capsys, *on(run))
    assert status == 0, text
    plain = tmp_path / "other"
    assert said(capsys, "train", "--data", source, *OPTIONS, "--no-pictures", "--out", plain)[0] == 0
    assert (recorded(plain)["data"]["test_fraction"], recorded(plain)["data"]["image_shape"]) == (None, [5, 6])
    assert said(capsys, *on(plain))[0] == 0


def without(path, keys):
    """A run's file as a version wrote it that had no such choices of data."""
    if path.suffix == ".json":
        entry = recorded(path.parent)
        entry["data"] = {key: value for key, value in entry["data"].items() if key not in keys}
        path.write_text(json.dumps(entry))
        return
    description, arrays = stored.read(path)
    data = description["extra"]["config"]["data"]
    for key in keys:
        del data[key]
    more = {key: value for key, value in description.items() if key not in ("format", "version", "model")}
    stored.write(path, description["model"], arrays, **more)
