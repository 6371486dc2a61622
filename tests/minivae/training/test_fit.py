"""fit: the trajectory, batches, validation, stopping, divergence."""

import _thread
import signal
import sys

import numpy as np
import pytest

import minivae as mv
from minivae import kernels
from minivae.kernels import philox
from minivae.training.step import TrainingStep

from ...together import together

BACKENDS = [name for name in kernels.available_backends() if kernels.load_backend(name).on_host]


def pixels(n=70, features=12, seed=0):
    """Two kinds of rows, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    base = np.where(rng.random((n, 1)) < 0.5, np.linspace(0, 255, features), np.linspace(255, 0, features))
    return (0.9 * base + 0.1 * rng.integers(0, 256, (n, features))).astype(np.uint8)


def small(**options):
    return mv.VAE(**({"features": 12, "latent": 2, "hidden": (8,), "backend": "numpy", "seed": 3} | options))


def epoch_losses(history):
    return np.array([history["train_loss"], history["validation_loss"]])


TRAJECTORY = (
    8.714938812559303,
    8.737520553449883,
    8.61943010821116,
    8.51026229471429,
    8.603245132812933,
    8.53481856638375,
    8.519312067740339,
    8.557285444565945,
    8.367208137281844,
    8.302978276948684,
)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_ten_steps_are_pinned(backend):
    """Losses of ten Adam steps in float64, as first recorded; every backend must repeat them."""
    model = small(dtype="float64", backend=backend)
    step = TrainingStep(model, pixels(), 16, mv.Adam(1e-2), "grey", 5)
    step.optimizer.plan(10)
    step.shuffle(0)
    losses = []
    for number in range(10):
        step(number)
        losses.append(float(step.tally.terms[3]))
    np.testing.assert_allclose(losses, TRAJECTORY, rtol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_float32_follows_float64(backend):
    histories = [
        mv.fit(small(dtype=dtype, backend=backend), pixels(), validation=pixels(30), epochs=3, batch_size=16)
        for dtype in ("float32", "float64")
    ]
    np.testing.assert_allclose(epoch_losses(histories[0]), epoch_losses(histories[1]), rtol=1e-5)


def test_a_run_by_hand_is_the_same_run():
    """fit is nothing but gather, forward, backward, update: the public passes give the same parameters."""
    data, batch = pixels(n=20), 8
    model, again = small(dtype="float64"), small(dtype="float64")
    mv.fit(model, data, epochs=2, batch_size=batch, optimizer=mv.Adam(1e-2), seed=9)
    optimizer, step = mv.Adam(1e-2), 0
    for epoch in range(2):
        order = philox.permutation(9, philox.SHUFFLE, epoch, len(data))
        for start in range(0, len(data), batch):
            rows = order[start : start + batch]
            noise = np.empty((len(rows), 2))
            philox.fill_normals(9, philox.NOISE, step, noise)
            again.forward(data[rows], noise)
            again.backward()
            optimizer.update(again)
            step += 1
    np.testing.assert_array_equal(again.store.flat, model.store.flat)


def test_learning_happens_and_history_adds_up():
    model, data = small(beta=0.5), pixels(200)
    history = mv.fit(model, data, validation=data[:50], epochs=30, batch_size=32, optimizer=mv.Adam(1e-2))
    assert history.stopped == "completed"
    assert history["epoch"] == list(range(1, 31))
    assert history["validation_loss"][-1] < history["validation_loss"][0] - 0.5
    for part in ("train", "validation"):
        parts = np.array(history[f"{part}_nll"]) + 0.5 * np.array(history[f"{part}_kl"])
        np.testing.assert_allclose(history[f"{part}_loss"], parts, rtol=1e-6)
    for kl, per_latent in zip(history["validation_kl"], history["kl_per_latent"], strict=True):
        assert sum(per_latent) == pytest.approx(kl, rel=1e-5)
    assert all(rate > 0 for rate in history["examples_per_second"])


def test_validation_noise_is_fixed_or_fresh():
    def validate(kind):
        model = small()
        optimizer = mv.SGD(1e-300)  # the model stands still, so only the noise can change the loss
        return mv.fit(model, pixels(), validation=pixels(40), epochs=2, optimizer=optimizer, validation_noise=kind)[
            "validation_loss"
        ]

    fixed, fresh = validate("fixed"), validate("fresh")
    assert fixed[0] == fixed[1]
    assert fresh[0] != fresh[1]


@pytest.mark.parametrize("batch_size", [1, 7, 16, 70, 1000])
def test_every_row_is_seen_once_an_epoch(batch_size):
    model, data = small(), np.arange(70 * 12, dtype=np.float32).reshape(70, 12) / 840
    step = TrainingStep(model, data, min(batch_size, 70), mv.SGD(1e-6), "grey", 1)
    step.optimizer.plan(1)
    for epoch in range(2):
        step.shuffle(epoch)
        seen = []
        for number in range(epoch * step.batches, (epoch + 1) * step.batches):
            rows = step(number)
            seen.append(
                model.likelihood.x[:rows, 0].copy() if number < 2 else step._buffers("x", rows, 12)[:, 0].copy()
            )
        np.testing.assert_array_equal(np.sort(np.concatenate(seen)), data[:, 0])


def test_dynamic_pixels_are_drawn_afresh_and_keep_their_mean():
    data = np.tile(np.array([[0, 64, 128, 255]], np.uint8), (400, 1))
    model = small(features=4)
    step = TrainingStep(model, data, 400, mv.SGD(1e-6), "dynamic", 1)
    step.optimizer.plan(2)
    draws = []
    for number in range(2):
        step.shuffle(number)
        step(number)
        draws.append(step._buffers("x", 400, 4).copy())
    assert set(np.unique(draws)) == {0.0, 1.0}
    assert (draws[0] != draws[1]).any()
    probability = data[0] / 255
    error = 5 * np.sqrt(probability * (1 - probability) / 800)
    assert (np.abs(np.concatenate(draws).mean(axis=0) - probability) <= error).all()


def test_divergence_stops_names_the_step_and_returns_to_the_last_good_epoch():
    model, data = small(likelihood="gaussian"), pixels().astype(np.float32)
    kept = []
    optimizer = mv.SGD(lambda step: 1e-5 if step < 10 else 1e12)
    with pytest.raises(
        mv.TrainingDiverged, match=r"the loss became (NaN|infinite) at step 1\d, in epoch 3; the model is"
    ):
        mv.fit(
            model,
            data,
            epochs=9,
            batch_size=16,
            optimizer=optimizer,
            on_epoch=lambda _: kept.append(model.store.flat.copy()),
        )
    assert len(kept) == 2
    np.testing.assert_array_equal(model.store.flat, kept[-1])


def test_early_stopping_returns_to_the_best():
    model, data = small(), pixels()
    rates = [1e-3] * 10 + [0.5] * 1000  # two good epochs of five steps, then too fast
    kept = []
    history = mv.fit(
        model,
        data,
        validation=data,
        epochs=50,
        batch_size=16,
        optimizer=mv.SGD(lambda step: rates[step]),
        early_stopping=3,
        on_epoch=lambda _: kept.append(model.store.flat.copy()),
    )
    best = int(np.argmin(history["validation_loss"]))
    assert history.stopped == "early"
    assert len(history["epoch"]) == best + 4
    np.testing.assert_array_equal(model.store.flat, kept[best])


def test_ctrl_c_stops_after_the_step():
    model = small()
    handler_before = signal.getsignal(signal.SIGINT)

    def interrupt(row):
        if row["epoch"] == 2:
            _thread.interrupt_main()

    optimizer = mv.Adam()
    history = mv.fit(model, pixels(), epochs=1000, batch_size=16, optimizer=optimizer, on_epoch=interrupt)
    assert history.stopped == "interrupted"
    assert history["epoch"] == [1, 2]
    assert optimizer.steps == 11, "two epochs of five steps and the one under way"
    assert signal.getsignal(signal.SIGINT) is handler_before


def test_an_epoch_has_its_checkpoint_where_on_epoch_raises():
    model, states = small(), []

    def on_epoch(row):
        if row["epoch"] == 2:
            raise RuntimeError("no room to print")

    with pytest.raises(RuntimeError, match="no room"):
        mv.fit(model, pixels(), epochs=3, on_epoch=on_epoch, on_checkpoint=states.append)
    assert [state.history.epochs for state in states] == [1, 2]
    np.testing.assert_array_equal(states[-1].parameters, model.store.flat)


def test_fit_works_outside_the_main_thread():
    (history,) = together(lambda _: mv.fit(small(), pixels(), epochs=1), 1)
    assert history.stopped == "completed"


def test_two_threads_train_two_models_at_once():
    alone = small()
    mv.fit(alone, pixels(), epochs=3)
    models = [small(), small()]
    together(lambda index: mv.fit(models[index], pixels(), epochs=3))
    for model in models:
        np.testing.assert_array_equal(model.store.flat, alone.store.flat)


def test_one_more_fit_goes_on_with_the_same_optimizer():
    whole, parts = small(), small()
    mv.fit(whole, pixels(), epochs=4, optimizer=mv.Adam(), batch_size=16)
    optimizer = mv.Adam()
    mv.fit(parts, pixels(), epochs=1, optimizer=optimizer, batch_size=16)
    mv.fit(parts, pixels(), epochs=3, optimizer=optimizer, batch_size=16)
    np.testing.assert_array_equal(parts.store.flat, whole.store.flat)


def test_the_bar_is_quiet_unless_asked(capsys):
    mv.fit(small(), pixels(), epochs=1)
    assert capsys.readouterr() == ("", "")
    mv.fit(small(), pixels(), epochs=1, progress=True)
    assert "epoch 1/1" in capsys.readouterr().err


def test_between_epochs_the_line_of_the_bar_is_free(capsys):
    seen = []
    mv.fit(small(), pixels(), epochs=2, progress=True, on_epoch=lambda row: seen.append(capsys.readouterr().err))
    for number, text in enumerate(seen, 1):
        *bars, blank, end = text.split("\r")
        assert f"epoch {number}/2: 100%" in bars[-1]
        assert blank == " " * len(bars[-1])
        assert end == ""


def test_a_standard_error_that_fails_when_asked_ends_no_training(monkeypatch):
    def gone():
        raise OSError("gone")

    monkeypatch.setattr(sys.stderr, "isatty", gone)
    assert mv.fit(small(), pixels(), epochs=1).stopped == "completed"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs: got 0, expected a whole number of at least 1"),
        ({"batch_size": 0}, "batch_size: got 0"),
        ({"batch_size": 1.5}, "batch_size: got 1.5"),
        ({"pixels": "colour"}, "pixels: got 'colour', expected one of 'grey', 'threshold', 'dynamic'"),
        ({"validation_noise": "loud"}, "validation_noise: got 'loud'"),
        ({"early_stopping": 2}, "early_stopping: got 2, expected validation data with it"),
        ({"seed": -3}, "seed: got -3"),
        ({"validation": pixels(features=5)}, r"validation: got .*\(\d+, 5\), expected 12 features per row"),
        ({"train": np.full((3, 12), 1.5)}, r"train: got 1.5 at .* expected values in \[0, 1\] for the Bernoulli"),
        ({"train": np.full((3, 12), np.nan)}, "train: got nan at row 0, column 0, expected finite"),
        ({"train": np.empty((0, 12))}, "train: got .*, expected at least one row"),
        ({"train": [[0.0] * 12, [0.0]]}, "train: got list, expected an array or what makes one"),
        ({"optimizer": mv.SGD(lambda step: -1.0)}, "learning_rate: got"),
        ({"on_epoch": 5}, "on_epoch: got 5, expected a callable"),
        ({"on_checkpoint": "state.npz"}, "on_checkpoint: got 'state.npz', expected a callable"),
        ({"start": "checkpoint.npz"}, "start: got 'checkpoint.npz', expected a TrainingState"),
        ({"start": 0}, "start: got 0, expected a TrainingState"),
    ],
)
def test_bad_arguments_change_nothing(options, message):
    model = small()
    before = model.store.flat.copy()
    with pytest.raises(ValueError, match=message):
        mv.fit(model, **({"train": pixels()} | options))
    np.testing.assert_array_equal(model.store.flat, before)


def test_one_row_is_enough():
    history = mv.fit(small(), pixels(n=1), validation=pixels(n=1), epochs=2)
    assert np.isfinite(history["validation_loss"]).all()
    assert history["active_units"] == [0, 0]
