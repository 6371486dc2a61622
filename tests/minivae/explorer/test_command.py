"""`minivae explore`: what it writes, what each option changes, when it opens a browser, and what it refuses."""

import json
import re
import webbrowser

import numpy as np
import pytest

import minivae as mv
from minivae.command.main import main
from minivae.runs import folder, reopening

from .kinds import Squash
from .test_payload import array, payload

TRAIN = ["train", "--data", "table.csv", "--labels", "kind", "--epochs", "2", "--batch-size", "16", "--hidden", "5"]
TRAIN += ["--latent", "2", "--backend", "numpy", "--no-pictures"]


@pytest.fixture(scope="module")
def inside(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path_factory.mktemp("explore"))
        rows = np.random.default_rng(0).normal(size=(60, 3))
        lines = [f"{a},{b},{c},{'xyz'[i % 3]}" for i, (a, b, c) in enumerate(rows)]
        for name, kept in (("table.csv", lines), ("other.csv", lines[::-1])):
            (folder.Path(name)).write_text("\n".join(["a,b,c,kind", *kept]))
        folder.Path("wide.csv").write_text("p,q,r,s,kind\n1,2,3,4,x\n2,3,4,5,y\n")
        assert main([*TRAIN, "--standardize", "--out", "run"]) == 0
        best = mv.VAE.load("run/best.npz")
        best.parameters["posterior.bias"] = np.ones(4)
        best.save("run/best.npz")
        yield


@pytest.fixture
def opened(monkeypatch):
    """The addresses that would have been opened, on a machine with a display."""
    addresses = []
    monkeypatch.setattr(webbrowser, "open", addresses.append)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("CI", raising=False)
    return addresses


def test_a_run_becomes_a_page(inside, opened, capsys):
    assert main(["explore", "run"]) == 0
    path = folder.Path("run/explorer.html")
    assert capsys.readouterr().out == f"run/explorer.html, {path.stat().st_size:,} bytes\n"
    assert opened == [path.resolve().as_uri()]
    made = payload_of(path)
    assert (made["name"], made["data"]["name"]) == ("run", "table.csv")
    assert (made["data"]["columns"], made["data"]["classes"]) == (["a", "b", "c"], ["x", "y", "z"])
    config, model, data, _ = reopening.open_run("run")
    assert config.data.scaling
    shown = data.test[array(made["data"]["index"])].astype(np.float32)
    np.testing.assert_array_equal(array(made["data"]["x"]), shown)
    np.testing.assert_array_equal(array(made["model"]["posterior"]["bias"]), model.parameters["posterior.bias"])


def payload_of(path):
    return payload(mv.explorer.Page(path.read_text(encoding="utf-8"), ""))


def test_each_option_has_an_effect(inside, monkeypatch, capsys):
    backends, open_model = [], reopening.open_model
    monkeypatch.setattr(
        reopening, "open_model", lambda run, backend, best: backends.append(backend) or open_model(run, "numpy", best)
    )

    def made(*options):
        assert main(["explore", "run", "--no-open", *options]) == 0
        name = options[-1] if {"-o", "--out"} & set(options) else "run/explorer.html"
        return folder.Path(name).read_text(encoding="utf-8")

    found = [made(), made("--best"), made("--seed", "1"), made("--data", "other.csv")]
    assert len(set(found)) == len(found)
    assert "with examples of other.csv, other data than the run's" in capsys.readouterr().out
    assert made("-o", "a.html") == made("--out", "b.html") == found[0]
    assert made("--backend", "numpy") == found[0]
    assert backends[-2:] == ["auto", "numpy"]


@pytest.mark.parametrize(
    ("options", "variables"),
    [(["--no-open"], {}), ([], {"CI": "true"}), ([], {"DISPLAY": None, "WAYLAND_DISPLAY": None})],
)
def test_no_browser_is_opened(inside, opened, monkeypatch, options, variables):
    monkeypatch.setattr("sys.platform", "linux")
    for name, value in variables.items():
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    assert main(["explore", "run", *options]) == 0
    assert opened == []


def test_a_browser_that_fails_is_no_failure(inside, opened, monkeypatch, capsys):
    monkeypatch.setattr(webbrowser, "open", lambda address: 1 / 0)
    assert main(["explore", "run"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "run: nowhere holds no config.json, expected a folder that minivae train made"),
        (["run", "-o", "page.png"], "--out: got 'page.png', expected a name that ends in .html"),
        (["run", "-o", "no/page.html"], "--out: got 'no/page.html', expected a name in a folder that exists"),
        (["run", "--data", "wide.csv"], "4 features"),
        (["run", "--data", "gone.npy"], "gone.npy"),
    ],
)
def test_what_is_refused(inside, opened, capsys, arguments, told):
    assert main(["explore", *arguments]) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n"), opened) == ("", 1, [])
    assert error.startswith("minivae: error: ")
    assert told in error


def test_a_page_that_cannot_be_written_leaves_the_old_one(inside, monkeypatch, capsys):
    folder.Path("old.html").write_text("old")
    monkeypatch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert main(["explore", "run", "--no-open", "-o", "old.html"]) == 2
    assert "cannot write old.html: No space left on device" in capsys.readouterr().err
    assert folder.Path("old.html").read_text() == "old"


def test_a_run_with_a_layer_of_ones_own(inside, capsys):
    """The command has no such layer; Python has."""
    assert main([*TRAIN, "--out", "own"]) == 0
    capsys.readouterr()
    model = mv.VAE(3, 2, encoder=[mv.Dense(3, 5), Squash()], hidden=(5,), likelihood="gaussian", backend="numpy")
    model.save("own/checkpoint.npz")
    assert main(["explore", "own"]) == 2
    error = capsys.readouterr().err
    assert re.search(r"Squash.*mv\.explore", error), error
    again = mv.VAE.load("own/checkpoint.npz", parts={"encoder.1": Squash()})
    page = mv.explore(again, reopening.open_run("run")[2])
    assert page.reason == "The model cannot run in this page: encoder.1 is a Squash, no class of minivae."
    assert payload(page)["data"]["points"]["count"] == 6


def test_overwriting_a_run_takes_its_page_along(inside):
    assert main([*TRAIN, "--out", "again"]) == 0
    assert main(["explore", "again", "--no-open"]) == 0
    assert main([*TRAIN, "--out", "again", "--overwrite"]) == 0
    assert not folder.Path("again/explorer.html").exists()


def test_dynamic_pixels_are_those_of_the_seed(inside):
    np.save("unit.npy", np.random.default_rng(0).random((60, 4)))
    unit = [*TRAIN[:1], "--data", "unit.npy", *TRAIN[5:], "--pixels", "dynamic"]
    assert main([*unit, "--out", "dynamic"]) == 0
    for seed in (0, 1):
        assert main(["explore", "dynamic", "--no-open", "--seed", str(seed)]) == 0
        made = payload_of(folder.Path("dynamic/explorer.html"))
        test = reopening.open_run("dynamic")[2].test
        expected = folder.unit_values(test, "dynamic", seed)[array(made["data"]["index"])]
        np.testing.assert_array_equal(array(made["data"]["x"]), expected)
        assert made["seed"] == seed
        assert json.dumps(made["data"]["pixels"]) == '"dynamic"'
