"""Training that goes on from a checkpoint is the training that never stopped, bit for bit."""

import numpy as np
import pytest

import minivae as mv
from minivae import kernels
from minivae.command.main import main
from minivae.runs import checkpoint

from ..runs.tiny import TINY, assert_same_run, assert_same_state, train

BACKENDS = kernels.available_backends()
STEPS = 5  # in an epoch


def pixels(n=70, features=12):
    return np.random.default_rng(0).integers(0, 256, (n, features), dtype=np.uint8)


def model(**options):
    return mv.VAE(**({"features": 12, "latent": 2, "hidden": (8,), "backend": "numpy", "seed": 3} | options))


OPTIMIZERS = {
    "adam": lambda: mv.Adam(1e-2, clip_norm=1.0),
    "nesterov": lambda: mv.SGD(mv.StepDecay(1e-3, 7), momentum=0.9, nesterov=True),
    "sgd": lambda: mv.SGD(1e-3),
    "adagrad": lambda: mv.Adagrad(1e-2, weight_decay=1e-2),
    "cosine": lambda: mv.AdamW(mv.Cosine(1e-2, 20, warmup=3)),
}


def fit(vae, optimizer, **options):
    defaults = {"epochs": 4, "batch_size": 16, "pixels": "dynamic", "validation": pixels(30), "seed": 5}
    return mv.fit(vae, pixels(), optimizer=optimizer, **(defaults | options))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_going_on_from_any_step_is_the_same_run(optimizer, backend, tmp_path):
    """From within epochs and from their ends, through a file and into a new model."""
    make, states = OPTIMIZERS[optimizer], []
    whole = model(backend=backend)
    history = fit(whole, make(), on_checkpoint=states.append, checkpoint_steps=1)
    assert [state.step for state in states] == list(range(1, 21))
    for state in states[1::3]:
        checkpoint.save(tmp_path / "c.npz", whole, state)
        again, loaded, _ = checkpoint.load_state(tmp_path / "c.npz", backend)
        assert_same_state(loaded, state, whole)
        ends = []
        went_on = fit(again, make(), start=loaded, on_checkpoint=ends.append)
        assert went_on.keys() == history.keys()
        np.testing.assert_array_equal(
            again.backend.to_host(again.store.flat), whole.backend.to_host(whole.store.flat), err_msg=str(state.step)
        )
        if state.step < 20:
            assert_same_state(ends[-1], states[-1], whole)


def test_more_epochs_are_the_longer_run():
    long, short, states = model(), model(), []
    fit(long, mv.Adam(), epochs=6)
    fit(short, mv.Adam(), epochs=2, on_checkpoint=states.append)
    again = model(seed=99)
    history = fit(again, mv.Adam(), epochs=6, start=states[-1])
    np.testing.assert_array_equal(again.store.flat, long.store.flat)
    assert history["epoch"] == [1, 2, 3, 4, 5, 6]


def test_early_stopping_goes_on_with_its_best(tmp_path):
    rates = [1e-3] * (2 * STEPS) + [0.5] * 1000  # two good epochs, then too fast

    def run(vae, **options):
        optimizer = mv.SGD(lambda step: rates[step])
        return fit(vae, optimizer, early_stopping=3, epochs=50, pixels="grey", **options)

    whole, states = model(), []
    history = run(whole, on_checkpoint=states.append, checkpoint_steps=2)
    assert history.stopped == "early"
    assert states[-1].finished
    for state in states[:-1:3]:
        checkpoint.save(tmp_path / "c.npz", whole, state)
        again, loaded, _ = checkpoint.load_state(tmp_path / "c.npz", "numpy")
        went_on = run(again, start=loaded) if loaded.history.epochs < history.epochs else history
        assert went_on["validation_loss"] == history["validation_loss"]
        if went_on is not history:
            np.testing.assert_array_equal(again.store.flat, whole.store.flat)
    checkpoint.save(tmp_path / "c.npz", whole, states[-1])
    best, loaded, _ = checkpoint.load_state(tmp_path / "c.npz", "numpy")
    np.testing.assert_array_equal(best.store.flat, whole.store.flat)
    assert_same_state(loaded, states[-1], whole)
    with pytest.raises(ValueError, match=r"c\.npz: got 'a run that stopped early'"):
        run(best, start=loaded)


def test_a_state_is_not_changed_by_what_follows():
    states, copies = [], []

    def keep(state):
        states.append(state)
        copies.append([array.copy() for array in (state.parameters, *state.moments.values(), state.totals)])

    fit(model(), mv.Adam(), on_checkpoint=keep, checkpoint_steps=3)
    for state, copy in zip(states, copies, strict=True):
        for now, then in zip((state.parameters, *state.moments.values(), state.totals), copy, strict=True):
            np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(
    ("vae", "optimizer", "options", "message"),
    [
        (
            {"hidden": (9,)},
            "adam",
            {},
            r"start: got '144 parameters'|start: got '\d+ parameters', expected the model's",
        ),
        ({"dtype": "float64"}, "adam", {}, "start: got"),
        ({}, "sgd", {}, r"start: got \['first', 'second'\], expected the optimizer's moments"),
        ({}, "adam", {"batch_size": 8}, "start: got '5 batches', expected 9"),
        ({}, "adam", {"epochs": 1}, "epochs: got 1, expected at least the 2 that are done"),
    ],
)
def test_another_run_is_refused_and_nothing_changes(vae, optimizer, options, message):
    states = []
    fit(model(), mv.Adam(), epochs=2, on_checkpoint=states.append)
    other = model(**vae)
    before = other.store.flat.copy()
    with pytest.raises(ValueError, match=message):
        fit(other, OPTIMIZERS[optimizer](), start=states[-1], **options)
    np.testing.assert_array_equal(other.store.flat, before)


def test_a_bad_step_returns_model_and_optimizer_to_the_last_checkpoint():
    """The update of step 13 is far too large; the last checkpoint was made after step 12, within epoch 3."""
    data = pixels().astype(np.float32)
    vae, optimizer, states = model(likelihood="gaussian"), mv.SGD(lambda s: 1e-5 if s < 12 else 1e30, 0.5), []
    words = (
        r"at step 14, in epoch 3; the model is back at step 12; the first value .* not finite is in the KL term, row \d"
    )
    with pytest.raises(mv.TrainingDiverged, match=words):
        mv.fit(vae, data, epochs=9, batch_size=16, optimizer=optimizer, on_checkpoint=states.append, checkpoint_steps=4)
    assert [state.step for state in states] == [4, 5, 8, 10, 12]
    np.testing.assert_array_equal(vae.store.flat, states[-1].parameters)
    np.testing.assert_array_equal(optimizer.state["velocity"], states[-1].moments["velocity"])
    assert optimizer.steps == 12


def test_a_parameter_that_overflows_after_the_last_loss_is_never_saved():
    """The very last update of an epoch ruins the model: the loss before it was fine, so only the parameters tell."""
    vae, states = model(), []
    optimizer = mv.SGD(lambda step: 1e-3 if step < 2 * STEPS - 1 else 1e300)
    words = r"a parameter became infinite or NaN by step 10, in epoch 2; the model is back at the end of epoch 1"
    with pytest.raises(mv.TrainingDiverged, match=words):
        mv.fit(vae, pixels() * 1.0 / 255, epochs=5, batch_size=16, optimizer=optimizer, on_checkpoint=states.append)
    assert [state.step for state in states] == [5]
    np.testing.assert_array_equal(vae.store.flat, states[-1].parameters)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("kind", "moment"), [(mv.Adagrad, "squares"), (mv.Adam, "second")])
def test_a_moment_that_overflows_is_never_saved(kind, moment, backend):
    """Squares of gradients above 2e19 are infinite in float32: their parameters would not move again, and a file with
    them would be refused."""
    states = []
    vae = model(backend=backend, likelihood="gaussian", observation_sigma=1e-6)
    data = pixels().astype(np.float32) * 1e6
    words = f"a moment of the optimizer became infinite or NaN by step 5, in epoch 1; .* finite is in {moment}"
    with pytest.raises(mv.TrainingDiverged, match=words):
        mv.fit(vae, data, epochs=2, batch_size=16, optimizer=kind(1e-9), on_checkpoint=states.append)
    assert not states
    assert np.isfinite(vae.store.flat).all()


def test_a_clock_that_jumps_changes_nothing(monkeypatch):
    """Wall time goes backwards and forwards by days: no checkpoint is missed or made in vain."""
    import time

    rng = np.random.default_rng(0)
    monkeypatch.setattr(time, "time", lambda: rng.uniform(-1e9, 1e9))
    states = []
    history = fit(model(), mv.Adam(), on_checkpoint=states.append, checkpoint_seconds=3600.0)
    assert [state.step for state in states] == [5, 10, 15, 20]
    assert all(rate > 0 for rate in history["examples_per_second"])


def test_resume_by_the_command_line(tmp_path, monkeypatch):
    """Two epochs and then three more are five; the history of the first two is kept to the last digit."""
    monkeypatch.chdir(tmp_path)
    assert main(["train", *TINY, "--epochs", "5", "--out", "whole"]) == 0
    assert main(["train", *TINY, "--epochs", "2", "--out", "parts"]) == 0
    first_rows = (tmp_path / "parts" / "history.csv").read_text().splitlines()
    assert main(["train", "--resume", "parts", "--epochs", "5", "--no-pictures"]) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert (tmp_path / "parts" / "history.csv").read_text().splitlines()[:3] == first_rows
    np.testing.assert_array_equal(mv.VAE.load("whole/best.npz").store.flat, mv.VAE.load("parts/best.npz").store.flat)
    # a run that is done stays as it is
    before = (tmp_path / "parts" / "checkpoint.npz").read_bytes()
    assert main(["train", "--resume", "parts", "--no-pictures"]) == 0
    assert (tmp_path / "parts" / "checkpoint.npz").read_bytes() == before


def test_another_number_of_threads_gives_the_same_bits(tmp_path):
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    one, two = (dict.fromkeys(names, count) for count in "12")
    shape = ["--data", "rings", "--size", "3000", "--hidden", "64", "--latent", "3", "--no-pictures"]
    assert train(*shape, "--epochs", "3", "--out", tmp_path / "whole", **one)[0] == 0
    assert train(*shape, "--epochs", "1", "--out", tmp_path / "parts", **one)[0] == 0
    assert train("--resume", tmp_path / "parts", "--epochs", "3", "--no-pictures", **two)[0] == 0
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_what_may_not_change_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = np.random.default_rng(0).random((60, 4))
    np.save("mine.npy", data)
    small = ["--hidden", "4", "--latent", "2", "--backend", "numpy", "--no-pictures", "--epochs", "2"]
    assert main(["train", "--data", "mine.npy", *small, "--out", "run", "--schedule", "cosine"]) == 0
    before = (tmp_path / "run" / "checkpoint.npz").read_bytes()
    capsys.readouterr()

    def refuse(*arguments):
        assert main(["train", "--resume", *arguments]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert (tmp_path / "run" / "checkpoint.npz").read_bytes() == before
        return error

    assert "--hidden: a resumed run keeps its own" in refuse("run", "--hidden", "5")
    assert "--seed: a resumed run keeps its own" in refuse("run", "--seed", "0"), "given, though it is the default"
    assert "the cosine schedule was laid out" in refuse("run", "--epochs", "3")
    assert "nowhere is no folder" in refuse("nowhere")
    data[7, 3] += 1e-9
    np.save("mine.npy", data)
    assert "mine.npy is not the data this run was trained on" in refuse("run")
