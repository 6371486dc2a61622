"""The command line as a user meets it: a run from start to end, and one line for each mistake."""

import csv
import json
import signal
import subprocess
import sys
import weakref

import numpy as np
import pytest

import minivae as mv
from minivae.command.main import main
from minivae.runs import folder, train

from ..runs.tiny import HANGS, started, wait_for_epoch

TINY = ["--data", "rings", "--size", "300", "--epochs", "2", "--hidden", "8", "--latent", "2", "--backend", "numpy"]


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("shards", ["1", "4"])
def test_the_training_rows_are_let_go_before_the_pictures(inside, monkeypatch, shards):
    rows, held = [], []
    load, fit = folder.load, train.fit

    def loading(choices):
        data = load(choices)
        rows.append(weakref.ref(data.train))
        return data

    def fitting(*given, **named):
        held.append(rows[-1]() is not None)
        return fit(*given, **named)

    def drawing(*given):
        held.append(rows[-1]() is not None)
        return []

    monkeypatch.setattr(folder, "load", loading)
    monkeypatch.setattr(train, "fit", fitting)
    monkeypatch.setattr(train, "draw_all", drawing)
    assert main(["train", *TINY, "--shards", shards, "--out", "rows"]) == 0
    assert main(["train", "--resume", "rows", "--epochs", "3"]) == 0
    assert held == [True, False, True, False]


@pytest.mark.parametrize("call", ["program", "main"])
def test_only_a_program_of_its_own_leaves_its_garbage_at_the_end(call):
    code = f"""
import atexit, gc, sys
from minivae.command.main import {call}
atexit.register(lambda: print(gc.get_freeze_count() > 0, file=sys.stderr))  # runs after what the command registers
sys.argv = ["minivae", "--help"]
{call}()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split() == [str(call == "program")]


@pytest.fixture(scope="module")
def image_run(tmp_path_factory):
    """A run on small images from a file, with all its pictures."""
    folder = tmp_path_factory.mktemp("images")
    images = np.random.default_rng(0).integers(0, 256, (120, 6, 5), dtype=np.uint8)
    np.savez(folder / "tiny.npz", train=images[:100], test=images[100:], train_labels=np.arange(100) % 3)
    arguments = ["train", "--data", str(folder / "tiny.npz"), "--out", str(folder / "run"), "--epochs", "2"]
    assert main([*arguments, "--hidden", "8", "--latent", "3", "--pixels", "dynamic", "--backend", "numpy"]) == 0
    return folder / "run"


def lines(capsys):
    """Output, and the one line of an error."""
    out, err = capsys.readouterr()
    assert err.count("\n") <= 1, err
    return out.splitlines(), err.strip()


def test_a_run_leaves_its_folder(inside, capsys):
    assert main(["train", *TINY]) == 0
    out, _ = lines(capsys)
    folder = inside / "runs" / "rings-1"
    assert {path.name for path in folder.iterdir()} == {
        "best.npz",
        "checkpoint.npz",
        "checkpoint-00000003.npz",
        "config.json",
        "history.csv",
        "curves.png",
        "latent.png",
        "points.png",
    }
    assert any("nats per example" in line for line in out)
    config = json.loads((folder / "config.json").read_text())
    assert config["model"]["likelihood"] == "gaussian"
    assert config["data"]["name"] == "rings"
    with open(folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    kl = sum(float(rows[1][f"kl_{j}"]) for j in range(2))
    assert kl == pytest.approx(float(rows[1]["validation_kl"]), rel=1e-4)
    # a second run takes the next number and touches nothing of the first
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert main(["train", *TINY, "--no-pictures"]) == 0
    assert (inside / "runs" / "rings-2" / "checkpoint.npz").exists()
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_command_gives_the_same_model(inside):
    for name in ("a", "b"):
        assert main(["train", *TINY, "--no-pictures", "--seed", "7", "--out", name]) == 0
    np.testing.assert_array_equal(
        mv.VAE.load("a/checkpoint.npz").store.flat, mv.VAE.load("b/checkpoint.npz").store.flat
    )


@pytest.mark.parametrize("likelihood", ["beta_binomial", "logistic"])
def test_a_run_of_bytes_is_told_in_bits(image_run, capsys, tmp_path, likelihood):
    run = str(tmp_path / "run")
    arguments = ["train", "--data", str(image_run.parent / "tiny.npz"), "--out", run, "--epochs", "2"]
    assert main([*arguments, "--hidden", "8", "--latent", "3", "--likelihood", likelihood, "--backend", "numpy"]) == 0
    (told,) = (line for line in lines(capsys)[0] if "bits per dimension" in line)
    assert main(["evaluate", run]) == 0
    result = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert result["bits_per_dimension"] == pytest.approx(-result["elbo"] / (30 * np.log(2)))
    assert told == f"held-out negative ELBO: {result['bits_per_dimension']:.4f} bits per dimension"
    assert f"negative ELBO: {result['bits_per_dimension']:.4f} bits per dimension" in lines(capsys)[0]
    for command in ("sample", "reconstruct"):
        assert main([command, run]) == 0
        assert main([command, run, "--out", str(tmp_path / "means.npy")]) == 0
        means = np.load(tmp_path / "means.npy")
        assert ((means >= 0) & (means <= 1)).all()


def test_a_sigma_for_each_feature_is_asked_for_by_name(inside):
    assert main(["train", *TINY, "--learn-sigma", "features", "--no-pictures", "--out", "run"]) == 0
    assert mv.VAE.load("run/checkpoint.npz").parameters["likelihood.log_sigma"].shape == (2,)


def test_a_run_is_used_from_its_folder_alone(image_run, capsys):
    assert main(["evaluate", str(image_run), "--samples", "20", "--examples", "5", "--draws", "2"]) == 0
    out, _ = lines(capsys)
    assert "dynamically binarised pixels" in out[0]
    result = json.loads((image_run / "evaluation.json").read_text())
    assert result["elbo"] == pytest.approx(-(result["nll"] + result["kl"]))
    assert sum(result["kl_per_latent"]) == pytest.approx(result["kl"], rel=0.05)
    assert result["examples"] == 20
    assert result["log_likelihood_examples"] == 5
    assert main(["sample", str(image_run), "--count", "7", "--out", str(image_run / "s.npy")]) == 0
    assert np.load(image_run / "s.npy").shape == (7, 30)
    assert main(["reconstruct", str(image_run), "--out", str(image_run / "r.npy")]) == 0
    assert np.load(image_run / "r.npy").shape == (20, 30)
    best = mv.VAE.load(image_run / "best.npz")
    best.backend.assign(best.parameters["likelihood.bias"], 7.0)
    best.save(image_run / "best.npz")
    assert main(["sample", str(image_run), "--best", "--out", str(image_run / "b.npy")]) == 0
    assert np.load(image_run / "b.npy").mean() > 0.9 > np.load(image_run / "s.npy").mean()
    for command in ("sample", "reconstruct"):
        picture = image_run / f"{command}.png"
        assert main([command, str(image_run), "--count", "4", "--out", str(picture)]) == 0
        assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("draws", [1, 3])
def test_elbo_and_log_likelihood_are_of_the_same_binarised_images(tmp_path, monkeypatch, draws):
    images = np.random.default_rng(0).integers(0, 256, (120, 6, 5), dtype=np.uint8)
    np.savez(tmp_path / "tiny.npz", train=images[:20], test=images[20:])
    arguments = ["--data", str(tmp_path / "tiny.npz"), "--epochs", "1", "--hidden", "8", "--no-pictures"]
    several = ["--objective", "iwae", "--samples", str(draws)] if draws > 1 else []
    assert main(["train", *arguments, *several, "--out", str(tmp_path / "run"), "--backend", "numpy"]) == 0
    seen, terms = [], mv.VAE.elbo_terms
    monkeypatch.setattr(
        mv.VAE, "elbo_terms", lambda self, x, *more: (seen.append(np.array(x)), terms(self, x, *more))[1]
    )
    assert main(["evaluate", str(tmp_path / "run"), "--pixels", "dynamic", "--samples", "30", "--seed", "3"]) == 0
    first = np.concatenate(seen)
    elbo, log_likelihood = first[:100], first[100:]
    np.testing.assert_array_equal(log_likelihood, elbo)
    grey = images[20:].reshape(100, 30) / 255
    assert set(np.unique(elbo)) == {0, 1}
    assert np.corrcoef(elbo.ravel(), grey.ravel())[0, 1] > 0.4, "binarised, and the right way round"


def test_image_runs_have_image_pictures(image_run):
    assert {path.name for path in image_run.glob("*.png")} >= {
        "curves.png",
        "latent.png",
        "samples.png",
        "reconstructions.png",
    }


def test_the_article_preset_is_the_article_model(inside, capsys):
    assert main(["train", "--preset", "article", "--epochs", "1", "--size", "200", "--no-pictures"]) == 0
    model = mv.VAE.load("runs/pinwheel-1/checkpoint.npz").config
    assert model["hidden"] == [128, 64]
    assert model["decoder_hidden"] == [256, 128]
    assert (model["latent"], model["likelihood"], model["observation_sigma"]) == (2, "gaussian", 1.0)
    assert (model["scale"], model["activation"], model["beta"]) == ("softplus", "relu", 1.0)


@pytest.mark.parametrize(
    "options",
    [
        ["--optimizer", "sgd", "--momentum", "0.9", "--nesterov", "--schedule", "step", "--clip-norm", "5"],
        ["--optimizer", "adamw", "--schedule", "cosine", "--warmup-epochs", "0.5", "--early-stopping", "1"],
        [
            "--learn-sigma",
            "--dtype",
            "float64",
            "--scale",
            "exp",
            "--batch-size",
            "1000",
            "--validation-noise",
            "fresh",
        ],
        ["--hidden", "--activation", "tanh", "--beta", "0", "--decoder-hidden", "4", "5"],
    ],
    ids=" ".join,
)
def test_options_reach_the_model(inside, options):
    assert main(["train", *TINY, "--no-pictures", *options]) == 0


def make_files(folder):
    np.save(folder / "nan.npy", np.array([[0.0, 1.0], [np.nan, 0.5], [0.1, 0.2]]))
    np.save(folder / "wide.npy", np.array([[0.0, 2.0], [1.0, 0.5], [0.1, 0.2]]))
    np.savez(folder / "split.npz", train=np.eye(300, 2), test=np.eye(2))
    np.save(folder / "one.npy", np.array([[0.0, 1.0]]))
    np.save(folder / "text.npy", np.array([["a", "b"], ["c", "d"]]))
    (folder / "short.npy").write_bytes((folder / "wide.npy").read_bytes()[:-5])
    (folder / "empty.npy").write_bytes(b"")
    (folder / "occupied").mkdir()
    (folder / "occupied" / "thesis.tex").write_text("mine")
    (folder / "file").write_text("not a folder")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "missing.npy"], ["missing.npy"]),
        (["--data", "mnits"], ["mnits", "mnist, rings, moons, pinwheel"]),
        (["--data", "nan.npy"], ["nan", "row 1", "column 0"]),
        (["--data", "wide.npy", "--size", "2", "--likelihood", "bernoulli"], ["[0, 1]", "2.0", "Bernoulli"]),
        (["--data", "wide.npy"], ["size", "2 training rows", "300"]),
        (["--data", "wide.npy", "--size", "2", "--pixels", "dynamic"], ["[0, 1]", "2.0"]),
        (["--data", "one.npy"], ["one.npy", "2 rows"]),
        (["--data", "text.npy"], ["text.npy"]),
        (["--data", "short.npy"], ["short.npy"]),
        (["--data", "empty.npy"], ["empty.npy"]),
        (["--data", "."], ["folder"]),
        (["--epochs", "0"], ["--epochs", "'0'", "at least 1"]),
        (["--epochs", "many"], ["--epochs", "'many'"]),
        (["--batch-size", "0"], ["--batch-size"]),
        (["--latent", "-2"], ["--latent", "'-2'"]),
        (["--hidden", "0"], ["--hidden", "'0'"]),
        (["--learning-rate", "0"], ["--learning-rate", "'0'", "above 0"]),
        (["--learning-rate", "nan"], ["--learning-rate", "'nan'"]),
        (["--activation", "swish"], ["--activation", "'swish'", "relu"]),
        (["--likelihood", "poisson"], ["--likelihood", "'poisson'", "beta_binomial"]),
        (["--likelihood", "logistic", "--pixels", "dynamic", "--size", "50"], ["pixels", "'dynamic'", "bytes"]),
        (["--likelihood", "beta_binomial", "--data", "wide.npy", "--size", "2"], ["bytes for the beta_binomial"]),
        (["--learn-sigma", "rows"], ["--learn-sigma", "'rows'", "features"]),
        (["--backend", "tpu"], ["--backend", "'tpu'", "numpy"]),
        (["--preset", "best"], ["--preset", "'best'", "article"]),
        (["--preset"], ["--preset"]),
        (
            ["--likelihood", "bernoulli", "--learn-sigma", "--data", "mnist", "--size", "50"],
            ["--learn-sigma: got True"],
        ),
        (["--out", "occupied"], ["occupied", "not empty"]),
        (["--out", "occupied", "--overwrite"], ["occupied", "not empty"]),
        (["--out", "file"], ["file"]),
        (["--out", "file/run"], ["file/run"]),
        (["--warmup-epochs", "2", "--schedule", "cosine"], ["warmup"]),
        (["--nonsense"], ["--nonsense"]),
        (["--momentum", "0.9"], ["--momentum: got 0.9, expected --optimizer sgd with it"]),
        (["--nesterov", "--optimizer", "adamw"], ["--nesterov: got True, expected --optimizer sgd with it"]),
        (["--weight-decay", "0.01", "--optimizer", "sgd"], ["--weight-decay: got 0.01, expected --optimizer adamw"]),
        (["--decay-epochs", "10"], ["--decay-epochs: got 10, expected --schedule step or plateau with it"]),
        (["--warmup-epochs", "0", "--schedule", "step"], ["--warmup-epochs: got 0.0, expected --schedule cosine"]),
        (["--observation-sigma", "1", "--likelihood", "bernoulli"], ["--observation-sigma: got 1.0, expected"]),
        (["--observation-sigma", "2", "--data", "mnist", "--size", "50"], ["expected --likelihood gaussian with it"]),
        (["--nesterov", "--optimizer", "sgd"], ["--nesterov: got True, expected --momentum above 0 with it"]),
        (
            ["--learn-sigma", "--data", "mnist", "--size", "50"],
            ["--learn-sigma: got True, expected --likelihood gauss"],
        ),
        (["--outer", "1"], ["--outer: got 1, expected --objective stl or dreg or piwae or miwae with it"]),
        (["--beta", "1", "--objective", "iwae"], ["--beta: got 1.0, expected --objective elbo with it"]),
        (["--free-bits", "0", "--objective", "iwae"], ["--free-bits: got 0.0, expected --objective elbo with it"]),
        (["--free-bits", "1", "--beta", "0"], ["--free-bits: got 1.0, expected --beta above 0 with it"]),
        (["--beta-warmup-epochs", "1", "--beta", "0"], ["--beta-warmup-epochs: got 1.0, expected --beta above 0"]),
        (["--activation", "tanh", "--hidden"], ["--activation: got 'tanh', expected a hidden layer with it"]),
        (["--data", "split.npz", "--test-fraction", "0.2"], ["--test-fraction: got 0.2, expected --data FILE with it"]),
        (["--test-fraction", "0.1"], ["--test-fraction: got 0.1, expected --data FILE with it"]),
        (["--out", ""], ["--out: got '', expected the name of a folder"]),
        (["--overwrite"], ["--overwrite: got True, expected --out with it"]),
    ],
    ids=" ".join,
)
def test_mistakes_end_in_one_line_and_write_nothing(inside, capsys, arguments, words):
    make_files(inside)
    before = sorted(path.relative_to(inside) for path in inside.rglob("*"))
    try:
        status = main(["train", *TINY, *arguments])
    except SystemExit as stop:
        status = stop.code
    _, error = lines(capsys)
    assert status == 2
    assert error.startswith("minivae")
    assert all(word in error for word in words), error
    assert sorted(path.relative_to(inside) for path in inside.rglob("*")) == before


def test_a_run_folder_is_replaced_only_on_request(inside, capsys):
    assert main(["train", *TINY, "--no-pictures", "--out", "run"]) == 0
    before = (inside / "run" / "checkpoint.npz").read_bytes()
    (inside / "run" / "notes.txt").write_text("mine")
    assert main(["train", *TINY, "--no-pictures", "--out", "run", "--seed", "1"]) == 2
    assert "--overwrite" in lines(capsys)[1]
    assert (inside / "run" / "checkpoint.npz").read_bytes() == before
    assert main(["train", *TINY, "--no-pictures", "--out", "run", "--seed", "1", "--overwrite"]) == 0
    assert (inside / "run" / "checkpoint.npz").read_bytes() != before
    assert (inside / "run" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("command", ["evaluate", "sample", "reconstruct"])
def test_folders_that_hold_no_run_are_refused(inside, capsys, command):
    (inside / "broken").mkdir()
    for content, words in ((None, "config.json"), ("{", "configuration"), ("[]", "configuration")):
        if content is not None:
            (inside / "broken" / "config.json").write_text(content)
        assert main([command, "broken"]) == 2
        assert words in lines(capsys)[1]


def test_divergence_keeps_the_last_good_checkpoint(inside, capsys):
    arguments = ["train", *TINY, "--no-pictures", "--optimizer", "sgd", "--epochs", "50", "--out", "run"]
    assert main([*arguments, "--learning-rate", "1e9"]) == 2
    _, error = lines(capsys)
    assert "the loss became" in error
    assert "at step" in error


def test_help_reads_well(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for word in ("--data", "--preset", "--epochs", "--out", "mnist"):
        assert word in text


def test_module_form_and_ctrl_c(inside):
    """python -m minivae, interrupted by the signal that Ctrl-C sends: saves, and exits with 130."""
    arguments = [*TINY, "--epochs", "100000", "--no-pictures", "--out", "run"]
    with started(*arguments, PYTHONWARNINGS="error") as process:
        wait_for_epoch(process, 3)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=HANGS)
    assert process.returncode == 130
    assert error == ""
    assert "interrupted after step" in out
    assert mv.VAE.load(inside / "run" / "checkpoint.npz").features == 2
