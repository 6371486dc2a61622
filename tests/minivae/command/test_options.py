"""Every option of every command, by its effect: what comes out with it is not what comes out without it."""

import inspect
import json
import os
import sys
from dataclasses import replace

import numpy as np
import pytest

from minivae import VAE, lab
from minivae.command.main import build_parser, main
from minivae.kernels import available_backends, bench
from minivae.kernels.ladder import measure
from minivae.optim import OPTIMIZERS
from minivae.runs import reopening
from minivae.runs import train as training
from minivae.runs.config import NEEDS, Config, Training
from minivae.selfcheck import report
from minivae.training.leaving import RANKS
from minivae.training.team import SIZES

BASE = ["--data", "unit.npy", "--epochs", "2", "--batch-size", "16", "--hidden", "5", "--latent", "2"]
BASE += ["--backend", "numpy", "--no-pictures"]
GAUSSIAN, STEP, COSINE = ["--likelihood", "gaussian"], ["--schedule", "step"], ["--schedule", "cosine"]
LONG = ["--epochs", "30", "--learning-rate", "0.3"]
TABLE = ["--data", "table.csv"]


def takers(option, *values, context=()):
    """A case for each optimizer that has the option: (option, context, arguments)."""
    for name in NEEDS[option][0][1].removeprefix("--optimizer ").split(" or "):
        yield "--" + option.replace("_", "-"), ["--optimizer", name, *context], [*values]


# (option, the options it goes with, its values)
CASES = [
    ("--data", [], ["other.npy"]),
    ("--pixels", [], ["dynamic"]),
    ("--pixels", [], ["threshold"]),
    ("--size", [], ["30"]),
    ("--test-fraction", [], ["0.5"]),
    ("--encoding", ["--data", "greek.csv"], ["cp1253"]),
    ("--delimiter", TABLE, [";"]),
    ("--decimal", TABLE, [","]),
    ("--header", ["--data", "whole.csv"], []),
    ("--no-header", TABLE, []),
    ("--label", TABLE, ["a"]),
    ("--labels", ["--data", "named.csv"], ["kind"]),
    ("--drop", TABLE, ["a"]),
    ("--array", ["--data", "two.npz"], ["b"]),
    ("--image-shape", ["--data", "square.npy"], ["4", "4"]),
    ("--transpose", ["--data", "images.npy"], []),
    ("--no-transpose", ["--data", "emnist-letters-train.csv"], []),
    ("--standardize", [], []),
    ("--scale-by", [], ["2"]),
    ("--preset", [], ["article"]),
    ("--hidden", [], ["6"]),
    ("--hidden", [], []),
    ("--decoder-hidden", [], ["6"]),
    ("--latent", [], ["3"]),
    ("--activation", [], ["tanh"]),
    ("--scale", [], ["exp"]),
    ("--likelihood", [], ["gaussian"]),
    ("--observation-sigma", GAUSSIAN, ["2"]),
    ("--observation-sigma", [*GAUSSIAN, "--learn-sigma"], ["2"]),
    ("--learn-sigma", GAUSSIAN, []),
    ("--learn-sigma", [*GAUSSIAN, "--learn-sigma"], ["features"]),
    ("--beta", [], ["3"]),
    ("--beta-warmup-epochs", [], ["2"]),
    ("--free-bits", [], ["0.5"]),
    ("--objective", ["--samples", "3"], ["iwae"]),
    ("--objective", ["--samples", "3"], ["dreg"]),
    ("--samples", [], ["3"]),
    ("--outer", ["--objective", "miwae", "--samples", "2"], ["2"]),
    ("--dtype", [], ["float64"]),
    ("--epochs", [], ["3"]),
    ("--batch-size", [], ["7"]),
    ("--precision", [], ["bf16"]),
    ("--optimizer", [], ["sgd"]),
    ("--optimizer", [], ["adamw"]),
    ("--optimizer", [], ["adagrad"]),
    *takers("learning_rate", "0.05"),
    *takers("clip_norm", "0.001"),
    *takers("weight_decay", "0.5"),
    *takers("momentum", "0.9"),
    *takers("nesterov", context=["--momentum", "0.9"]),
    ("--schedule", [], ["cosine"]),
    ("--schedule", ["--epochs", "11"], ["step"]),
    ("--schedule", [*LONG, "--epochs", "40"], ["plateau"]),
    ("--decay-epochs", STEP, ["1"]),
    ("--decay-epochs", [*LONG, "--schedule", "plateau"], ["1"]),
    ("--warmup-epochs", COSINE, ["1"]),
    ("--early-stopping", LONG, ["1"]),
    ("--validation-noise", [], ["fresh"]),
    ("--shards", [], ["4"]),
    ("--seed", [], ["1"]),
]
READING = [  # in test_reading.py
    *("--encoding", "--delimiter", "--decimal", "--header", "--no-header", "--label", "--labels"),
    *("--drop", "--array", "--image-shape", "--transpose", "--no-transpose"),
]
OF_A_RUN = ["--best", "--backend", *READING, "--data", "--seed", "-o", "--out"]
ELSEWHERE = {  # with a test of their own below
    "train": [
        "--backend",
        "--threads",
        "--out",
        "--resume",
        "--mpi",
        "--no-mpi",
        "--checkpoint-every",
        "--keep",
        "--overwrite",
        "--no-pictures",
    ],
    "evaluate": [*OF_A_RUN, "--pixels", "--draws", "--samples", "--examples"],
    "sample": [*OF_A_RUN, "--count", "--traverse", "--interpolate", "--at"],
    "reconstruct": [*OF_A_RUN, "--count"],
    "encode": [*OF_A_RUN, "--pixels", "--sigmas"],
    "compress": [*OF_A_RUN, "--samples", "--weight-bits", "--block", "--pixels", "--report"],
    "decompress": ["--best", "--rows", "-o", "--out"],
    "verify": [],
    "explore": [*OF_A_RUN, "--no-open"],  # in tests/minivae/explorer
    "gradcheck": ["--backend", "--dtype", "--out"],
    "bench": ["--backend", "--ladder", "--verify-only", "--out"],
    "lab": ["--out", "--seed", "--find-the-bug"],  # the last in tests/minivae/lab/exam
}


def test_every_option_is_here():
    commands = build_parser()._subparsers._group_actions[0].choices
    options = {
        name: {option for action in command._actions for option in action.option_strings} - {"-h", "--help"}
        for name, command in commands.items()
    }
    assert options.pop("train") == {option for option, _, _ in CASES} | set(ELSEWHERE["train"])
    assert options == {name: set(ELSEWHERE[name]) for name in options}


@pytest.fixture(scope="module")
def inside(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("options")
        patched.chdir(folder)
        rng = np.random.default_rng(0)
        for name in ("unit", "other"):
            np.save(folder / f"{name}.npy", rng.random((60, 4)))
        rows = rng.integers(0, 9, (60, 3))
        (folder / "table.csv").write_text("a,b,c\n" + "".join(f"{a}.5,{b},{c}\n" for a, b, c in rows))
        (folder / "named.csv").write_text("a,b,kind\n" + "".join(f"{a}.5,{b},{'xyz'[c % 3]}\n" for a, b, c in rows))
        (folder / "greek.csv").write_bytes("\u03b1,\u03b2\n0.5,2\n0.25,3\n0.5,7\n".encode("cp1253"))
        np.savez(folder / "two.npz", a=rng.random((60, 4)), b=rng.random((60, 4)))
        np.save(folder / "square.npy", rng.random((4, 4, 60)))
        np.save(folder / "images.npy", rng.random((60, 2, 3)))
        lines = [",".join(map(str, row)) for row in rng.integers(0, 9, (60, 784)) / 8]
        (folder / "emnist-letters-train.csv").write_text("\n".join(lines))
        (folder / "whole.csv").write_text("".join(f"{a},{b},{c}\n" for a, b, c in rows))
        yield folder


@pytest.fixture(scope="module")
def outcome(inside):
    """What a training with these options comes to, made once: its status, its columns of numbers, its parameters."""
    made = {}

    def outcome(options):
        key = tuple(options)
        if key not in made:
            out = inside / f"run-{len(made)}"
            status = main(["train", *BASE, *options, "--out", str(out)])
            history, parameters = [], {}
            if status == 0:
                head, *lines = (line.split(",") for line in (out / "history.csv").read_text().splitlines())
                rate = head.index("examples_per_second")
                history = [line[:rate] + line[rate + 1 :] for line in lines]
                with np.load(out / "checkpoint.npz") as file:
                    parameters = {name: file[name].tobytes() for name in file if name.startswith("parameter/")}
            made[key] = status, history, parameters
        return made[key]

    return outcome


@pytest.mark.parametrize(
    ("option", "context", "values"), CASES, ids=lambda part: part if isinstance(part, str) else " ".join(part)
)
def test_an_option_of_a_training_has_an_effect(outcome, option, context, values):
    without, given = outcome(context), outcome([*context, option, *values])
    if not {"table.csv", "whole.csv", "named.csv", "two.npz", "square.npy", "greek.csv"} & set(context):
        assert without[0] == given[0] == 0
    assert without != given


@pytest.mark.parametrize("option", ["clip_norm", "learning_rate", "momentum", "weight_decay"])
def test_an_option_that_is_dropped_would_be_seen(outcome, monkeypatch, option):
    make = Training.make_optimizer

    def drops(training, steps_per_epoch):
        usual = inspect.signature(OPTIMIZERS[training.optimizer]).parameters[option].default
        return make(replace(training, **{option: usual}), steps_per_epoch)

    monkeypatch.setattr(Training, "make_optimizer", drops)
    for flag, context, values in CASES:
        if flag == "--" + option.replace("_", "-"):
            context = [*context, "--seed", "3"]
            assert outcome([*context, flag, *values]) == outcome(context)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", ["constant", "step"])
def test_config_json_says_what_counted(inside, optimizer, schedule):
    """What does not apply is null, and reads as its default."""
    out = inside / f"{optimizer}-{schedule}"
    arguments = ["--optimizer", optimizer, "--schedule", schedule, "--epochs", "1", "--out", str(out)]
    assert main(["train", *BASE, *arguments]) == 0
    entry = json.loads((out / "config.json").read_text())
    training, model = entry["training"], entry["model"]
    assert (training["momentum"] is None, training["nesterov"]) == (optimizer != "sgd", None)
    assert (training["weight_decay"] is None) == (optimizer not in ("adamw", "adagrad"))
    assert (training["decay_epochs"] is None) == (schedule == "constant")
    assert training["warmup_epochs"] is training["clip_norm"] is None
    assert (model["observation_sigma"], model["learn_sigma"], model["outer"]) == (None, None, None)
    assert (model["beta"], model["free_bits"], entry["data"]["test_fraction"]) == (1.0, 0.0, 0.1)
    again = Config.from_json(entry)
    assert (again.training.momentum, again.model.observation_sigma, again.model.outer) == (0.0, 1.0, 1)
    assert again.to_json() == entry
    assert main(["train", "--resume", str(out), "--epochs", "2", "--no-pictures"]) == 0


def test_options_of_results(inside, capsys):
    """Which files are there, and when they were written."""
    run = inside / "kept"
    assert main(["train", *BASE, "--out", str(run), "--checkpoint-every", "2", "--keep", "4"]) == 0
    assert [path.name for path in sorted(run.glob("checkpoint-*"))] == [f"checkpoint-{k:08d}.npz" for k in (2, 4, 6)]
    assert json.loads((run / "config.json").read_text())["backend"] == "numpy"
    assert not list(run.glob("*.png"))
    assert main(["train", *BASE, "--out", str(run)]) == 2
    assert main(["train", *BASE, "--out", str(run), "--overwrite", "--keep", "1"]) == 0
    assert not list(run.glob("checkpoint-*"))
    arguments = [option for option in BASE if option != "--no-pictures"]
    assert main(["train", *arguments, "--out", str(inside / "drawn")]) == 0
    assert list((inside / "drawn").glob("*.png"))
    assert main(["train", "--resume", str(run), "--epochs", "3"]) == 0
    assert len((run / "history.csv").read_text().splitlines()) == 4


@pytest.mark.skipif("cpu" not in available_backends(), reason="Numba is not here")
def test_threads_are_those_of_the_training_and_of_no_later_one(inside, monkeypatch, capsys):
    run, taken, fit = inside / "threads", [], training.fit
    monkeypatch.setattr(
        training, "fit", lambda model, rows, **given: taken.append(given["threads"]) or fit(model, rows, **given)
    )
    assert main(["train", *BASE, "--backend", "cpu", "--threads", "1", "--out", str(run)]) == 0
    entry = json.loads((run / "config.json").read_text())
    assert "threads" not in entry["training"]
    assert entry["threading_layer"] in ("omp", "tbb", "workqueue")
    assert main(["train", "--resume", str(run), "--epochs", "3", "--threads", "2"]) == 0
    assert main(["train", "--resume", str(run), "--epochs", "4"]) == 0
    assert taken == [1, 2, None]
    assert main(["train", *BASE, "--threads", "1", "--out", str(inside / "none")]) == 2
    assert "threads: got 1 with backend 'numpy', expected backend 'cpu' with it" in capsys.readouterr().err
    assert not (inside / "none").exists()


def test_mpi4py_is_imported_under_a_launcher_or_where_it_is_asked_for(inside, monkeypatch, capsys):
    """The rest of what they do is in tests/mpi. Of several processes, the first says why there is no training."""
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    for name in (*SIZES, *RANKS):
        monkeypatch.delenv(name, raising=False)
    assert main(["train", *BASE, "--out", str(inside / "without")]) == 0
    assert main(["train", *BASE, "--mpi", "--out", str(inside / "never")]) == 2
    assert "--mpi: MPI cannot be used here" in capsys.readouterr().err
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    for rank, status, words in (("0", 2, "mpich, or --no-mpi"), ("1", 0, "")):
        monkeypatch.setenv("OMPI_COMM_WORLD_RANK", rank)
        assert main(["train", *BASE, "--out", str(inside / "never")]) == status
        out, error = capsys.readouterr()
        assert (out, words in error, error.count("\n")) == ("", True, 1 - int(rank))
    # without it each speaks for itself
    assert main(["train", *BASE, "--no-mpi", "--out", str(inside / "alone")]) == 0
    assert "done in" in capsys.readouterr().out
    assert main(["train", *BASE, "--no-mpi", "--out", str(inside / "alone")]) == 2
    assert "exists and is not empty" in capsys.readouterr().err
    assert not (inside / "never").exists()


@pytest.fixture(scope="module")
def run(inside):
    """A run whose best model is not its last."""
    arguments = ["train", *BASE, "--pixels", "dynamic", "--learning-rate", "0.02", "--epochs", "9"]
    assert main([*arguments, "--out", str(inside / "used")]) == 0
    best = VAE.load(inside / "used" / "best.npz")
    best.backend.assign(best.parameters["likelihood.bias"], 1.0)
    best.save(inside / "used" / "best.npz")
    return inside / "used"


def test_options_of_evaluate(run, capsys):
    def said(*options):
        assert main(["evaluate", str(run), "--backend", "numpy", *options]) == 0
        return capsys.readouterr().out

    plain, sampled = said(), said("--samples", "5")
    found = [plain, said("--best"), said("--seed", "1"), said("--pixels", "threshold"), said("--draws", "2"), sampled]
    found += [said("--samples", "6"), said("--samples", "5", "--examples", "2")]
    assert len(set(found)) == len(found)
    assert main(["evaluate", str(run), "--examples", "2"]) == 2
    assert "--examples: got 2, expected --samples K with it" in capsys.readouterr().err
    assert "written to elsewhere.json" in said("-o", "elsewhere.json")
    assert (run.parent / "elsewhere.json").read_bytes() != (run / "evaluation.json").read_bytes()  # K was 5 in the last


def test_a_folder_that_cannot_be_written_in_is_named_before_any_work(run, monkeypatch, capsys):
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) == "." or mode != os.W_OK)
    monkeypatch.setattr(VAE, "load", None)
    commands = ["evaluate", "encode", "explore", "sample", "reconstruct"]
    folders = [
        ["gradcheck", "--out", "used/g.png"],
        ["bench", "--out", "used/b.json"],
        ["lab", "sigma", "--out", "used"],
    ]
    for arguments in (*([command, "used"] for command in commands), *folders):
        assert main(arguments) == 2
        assert "--out: got 'used/" in (error := capsys.readouterr().err)
        assert "expected a name in a folder that can be written in" in error
    monkeypatch.undo()


@pytest.mark.parametrize("command", ["sample", "reconstruct", "encode"])
def test_options_of_sample_reconstruct_and_encode(run, monkeypatch, command):
    opened, open_model = [], reopening.open_model

    def opening(path, backend, best):
        opened.append(backend)
        return open_model(path, "numpy", best)

    def made(*options):
        assert main([command, str(run), *options, "--out", str(run / "a.npy")]) == 0
        return np.load(run / "a.npy").tobytes()

    monkeypatch.setattr(reopening, "open_model", opening)
    found = [made(), made("--seed", "1")]
    if command == "encode":
        found += [made("--sigma"), made("--pixels", "grey"), made("--data", "other.npy")]
        vae = VAE.load(run / "best.npz")
        vae.backend.assign(vae.parameters["posterior.bias"], 1.0)
        vae.save(run / "best.npz")
    else:
        found.append(made("--count", "3"))
    found.append(made("--best"))
    assert len(set(found)) == len(found)
    assert made("--backend", "numpy") == found[0]
    assert opened[-2:] == ["auto", "numpy"]


def test_a_seed_that_draws_nothing_is_refused(inside, capsys):
    assert main(["train", *BASE, "--out", str(inside / "grey")]) == 0
    arguments = ["reconstruct", str(inside / "grey"), "--seed", "1", "--out"]
    assert main([*arguments, str(inside / "r.npy")]) == 2
    assert "--seed: got 1, expected --out FILE.png with it, or a run of --pixels dynamic" in capsys.readouterr().err
    assert main([*arguments, str(inside / "r.png")]) == 0
    assert main(["lab", "sigma", "--seed", "1"]) == 2
    assert f"--seed: got 1, expected one of {', '.join(lab.DRAWN)} with it" in capsys.readouterr().err


def test_options_of_compress_and_decompress(run, monkeypatch, capsys):
    opened, open_model = [], reopening.open_model
    monkeypatch.setattr(
        reopening, "open_model", lambda path, backend, best: opened.append(backend) or open_model(path, "numpy", best)
    )

    def made(*options):
        assert main(["compress", str(run), *options, "--out", str(run / "a.mvz")]) == 0
        return (run / "a.mvz").read_bytes()

    grey = ["--pixels", "threshold"]
    found = [made(*grey, *more) for more in ([], ["--best"], ["--samples", "2"], ["--weight-bits", "9"])]
    found += [made(*grey, "--block", "2"), made("--pixels", "dynamic"), made("--pixels", "dynamic", "--seed", "1")]
    assert len(set(found)) == len(found)
    assert made("--backend", "numpy", *grey) == found[0]
    assert opened == ["auto"] * 7 + ["numpy"]
    assert main(["compress", str(run), *grey, "--seed", "1", "-o", "b.mvz"]) == 2
    assert "--seed: got 1, expected --pixels dynamic with it" in capsys.readouterr().err
    assert main(["compress", str(run), "--report", *grey, "--best"]) == 0
    assert "negative ELBO" in capsys.readouterr().out
    back = run / "back.npy"
    made(*grey, "--best")
    assert main(["decompress", str(run), str(run / "a.mvz"), "-o", str(back)]) == 2
    assert "another model" in capsys.readouterr().err
    backs = []
    for options in ([], ["--rows", "2:4"]):
        assert main(["decompress", str(run), "--best", *options, "--out", str(back), str(run / "a.mvz")]) == 0
        backs.append(np.load(back))
    assert len(backs[0]) == 6
    np.testing.assert_array_equal(backs[1], backs[0][2:4])


def test_options_of_the_commands_that_take_long(inside, monkeypatch):
    """They reach what does the work."""
    asked = []

    def recorded(name, answer):
        return lambda *given: asked.append((name, *map(str, given[:3]))) or answer

    monkeypatch.setattr(report, "run_all", recorded("check", []))
    monkeypatch.setattr(bench, "run", recorded("bench", {"numpy": {"verified": []}}))
    monkeypatch.setattr(measure, "run", recorded("ladder", {"numpy": {"verified": []}}))
    monkeypatch.setattr(lab, "run", recorded("lab", []))
    quick = ["bench", "--verify-only"]
    for arguments in (
        ["gradcheck", "--backend", "numpy", "--dtype", "float64", "--out", "a.png"],
        [*quick, "--backend", "numpy", "--out", "b.json"],
        [*quick, "--ladder"],
        ["lab", "variance", "--seed", "3", "--out", "tables"],
    ):
        assert main(arguments) == 0
    assert asked == [
        ("check", "['numpy']", "a.png", "('float64',)"),
        ("bench", "['numpy']", "True", str(asked[1][3])),
        ("ladder", "None", "True", str(asked[2][3])),
        ("lab", "variance", "tables", "3"),
    ]
    assert json.loads((inside / "b.json").read_text()) == {"numpy": {"verified": []}}
