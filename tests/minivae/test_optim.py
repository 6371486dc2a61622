"""Optimizers against steps worked out by hand, clipping, schedules, refusals."""

import copy
import math

import numpy as np
import pytest

import minivae as mv
from minivae import kernels, optim

BACKENDS = [name for name in kernels.available_backends() if kernels.load_backend(name).on_host]


def model_with(parameter, gradient, backend="numpy"):
    """A model whose likelihood bias is the one parameter that matters."""
    model = mv.VAE(2, 1, (), dtype="float64", backend=backend)
    model.gradients["likelihood.bias"][...] = gradient
    model.parameters["likelihood.bias"][...] = parameter
    return model


def run(optimizer, steps, backend="numpy", parameter=(1.0, -2.0), gradient=(0.5, -4.0)):
    model = model_with(parameter, gradient, backend)
    path = []
    for _ in range(steps):
        optimizer.update(model)
        path.append(model.parameters["likelihood.bias"].copy())
    return np.array(path)


@pytest.mark.parametrize("backend", BACKENDS)
def test_sgd_by_hand(backend):
    # constant gradient g: plain p - 0.1 g t; momentum 0.5 has velocities g, 1.5 g, 1.75 g
    g = np.array([0.5, -4.0])
    start = np.array([1.0, -2.0])
    np.testing.assert_allclose(run(mv.SGD(0.1), 2, backend), [start - 0.1 * g, start - 0.2 * g], rtol=1e-15)
    momentum = run(mv.SGD(0.1, momentum=0.5), 3, backend)
    np.testing.assert_allclose(momentum, start - 0.1 * np.outer([1, 2.5, 4.25], g), rtol=1e-15)
    # Nesterov steps by g + 0.5 v: 1.5 g, 1.75 g
    nesterov = run(mv.SGD(0.1, momentum=0.5, nesterov=True), 2, backend)
    np.testing.assert_allclose(nesterov, start - 0.1 * np.outer([1.5, 3.25], g), rtol=1e-15)


@pytest.mark.parametrize("backend", BACKENDS)
def test_adam_by_hand(backend):
    # for a constant gradient both corrected moments are exact, so each step is rate * g / (|g| + eps)
    g, start, eps = np.array([0.5, -4.0]), np.array([1.0, -2.0]), 1e-3
    step = 0.1 * g / (np.abs(g) + eps)
    np.testing.assert_allclose(run(mv.Adam(0.1, eps=eps), 3, backend), start - np.outer([1, 2, 3], step), rtol=1e-12)
    # decoupled decay: p <- p (1 - rate * decay) - step
    decayed = (start * 0.98 - step) * 0.98 - step
    np.testing.assert_allclose(run(mv.AdamW(0.1, eps=eps, weight_decay=0.2), 2, backend)[-1], decayed, rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_adagrad_by_hand(backend):
    # a constant gradient g has squares t g^2 after t steps, so that step t is rate * sign(g) / sqrt(t)
    steps = 0.1 * np.cumsum(1 / np.sqrt([1, 2, 3, 4]))
    path = run(mv.Adagrad(0.1), 4, backend)
    np.testing.assert_allclose(path, [1.0, -2.0] - np.outer(steps, [1, -1]), rtol=1e-9)
    # the decay is part of the gradient and of its square, and not multiplied by the rate alone as AdamW's
    d1 = np.array([0.5, -4.0]) + 0.25 * np.array([1.0, -2.0])
    p1 = np.array([1.0, -2.0]) - 0.1 * d1 / (np.abs(d1) + 1e-2)
    d2 = np.array([0.5, -4.0]) + 0.25 * p1
    p2 = p1 - 0.1 * d2 / (np.sqrt(d1**2 + d2**2) + 1e-2)
    np.testing.assert_allclose(run(mv.Adagrad(0.1, eps=1e-2, weight_decay=0.25), 2, backend), [p1, p2], rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_adam_with_changing_gradients(backend):
    """Two steps worked out from the paper's algorithm 1, in its own order of operations."""
    model = model_with(1.0, 3.0, backend)
    optimizer = mv.Adam(0.01, beta1=0.8, beta2=0.9, eps=1e-8)
    optimizer.update(model)
    model.gradients["likelihood.bias"][...] = -1.0
    optimizer.update(model)
    m1, v1 = 0.2 * 3, 0.1 * 9
    m2, v2 = 0.8 * m1 - 0.2, 0.9 * v1 + 0.1
    p = 1 - 0.01 * (m1 / 0.2) / (math.sqrt(v1 / 0.1) + 1e-8)
    p -= 0.01 * (m2 / (1 - 0.8**2)) / (math.sqrt(v2 / (1 - 0.9**2)) + 1e-8)
    np.testing.assert_allclose(model.parameters["likelihood.bias"], p, rtol=1e-13)
    assert optimizer.steps == 2


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("optimizer", mv.optim.OPTIMIZERS.values())
def test_clipping_scales_the_whole_gradient(optimizer, backend):
    model = model_with(0.0, (3.0, 4.0), backend)
    clipped = optimizer(0.1, clip_norm=1.0)
    clipped.update(model)
    np.testing.assert_allclose(model.gradients["likelihood.bias"], (0.6, 0.8), rtol=1e-12)
    untouched = model_with(0.0, (0.3, 0.4), backend)
    optimizer(0.1, clip_norm=1.0).update(untouched)
    np.testing.assert_array_equal(untouched.gradients["likelihood.bias"], (0.3, 0.4))


@pytest.mark.parametrize("kind", [mv.AdamW, mv.Adagrad])
def test_the_gaps_between_parameters_stay_zero(kind):
    model = mv.VAE(3, 2, (5,), backend="numpy")
    optimizer = kind(0.1, weight_decay=1e-2, clip_norm=0.5)
    inside = np.zeros(model.store.flat.size, bool)
    for view in model.store.views(inside).values():
        view[...] = True
    assert 0 < inside.sum() < inside.size
    for _ in range(3):
        model.forward(np.ones((4, 3)))
        model.backward()
        optimizer.update(model)
    assert not model.store.flat[~inside].any()


def test_schedules():
    assert mv.Constant(0.3)(10**9) == 0.3
    decay = mv.StepDecay(1.0, every=3, factor=0.5)
    assert [decay(step) for step in (0, 2, 3, 5, 6)] == [1, 1, 0.5, 0.5, 0.25]
    cosine = mv.Cosine(2.0, total=110, warmup=10, floor=0.1)
    assert [cosine(step) for step in (0, 4, 9)] == pytest.approx([0.2, 1.0, 2.0])
    assert cosine(10) == pytest.approx(2.0)
    assert cosine(60) == pytest.approx(2.0 * 0.55)
    assert cosine(110) == cosine(10**6) == pytest.approx(0.2)


@pytest.mark.parametrize("planned", [False, True])
def test_an_optimizer_follows_its_schedule(planned):
    optimizer = mv.SGD(lambda step: 1.0 / (step + 1))
    model = model_with(0.0, 1.0)
    if planned:
        optimizer.attach(model)
        optimizer.plan(3)
    path = []
    for _ in range(3):
        optimizer.update(model)
        path.append(model.parameters["likelihood.bias"][0])
    np.testing.assert_allclose(path, -np.cumsum([1, 1 / 2, 1 / 3]), rtol=1e-15)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mv.SGD(0.0), "learning_rate: got 0.0, expected a finite number above 0"),
        (lambda: mv.Adam(-1e-3), "learning_rate: got -0.001"),
        (lambda: mv.Adam(float("nan")), "learning_rate: got nan"),
        (lambda: mv.SGD(0.1, momentum=1.0), r"momentum: got 1.0, expected a number in \[0, 1\)"),
        (lambda: mv.SGD(0.1, nesterov=True), "nesterov: got True, expected a momentum above 0"),
        (lambda: mv.Adam(beta1=-0.1), "beta1: got -0.1"),
        (lambda: mv.Adam(eps=0.0), "eps: got 0.0"),
        (lambda: mv.AdamW(weight_decay=-1.0), "weight_decay: got -1.0"),
        (lambda: mv.Adagrad(eps=0.0), "eps: got 0.0"),
        (lambda: mv.Adagrad(weight_decay=-1.0), "weight_decay: got -1.0"),
        (lambda: mv.Adam(clip_norm=0.0), "clip_norm: got 0.0"),
        (lambda: mv.Cosine(1.0, total=5, warmup=5), "warmup: got 5, expected fewer steps than the total, 5"),
        (lambda: mv.StepDecay(1.0, every=0), "every: got 0"),
    ],
)
def test_bad_options_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("kind", "name", "value", "bad"),
    [
        (mv.SGD, "momentum", 0.5, 1.0),
        (mv.SGD, "nesterov", True, None),
        (mv.Adam, "beta1", 0.5, 1.5),
        (mv.Adam, "beta2", 0.5, "a"),
        (mv.Adam, "eps", 1.0, -1),
        (mv.AdamW, "weight_decay", 0.5, -3.0),
        (mv.Adagrad, "eps", 1.0, 0.0),
        (mv.Adagrad, "weight_decay", 0.5, -3.0),
    ],
)
def test_what_is_set_later_holds_from_the_next_step(kind, name, value, bad, backend):
    """A momentum too where there was none, and in the replayed steps of `fit`."""
    options = {"momentum": 0.3} if name == "nesterov" else {}
    early, late = kind(0.1, **options, **{name: value}), kind(0.1, **options)
    setattr(late, name, value)
    np.testing.assert_array_equal(run(late, 3, backend), run(early, 3, backend))

    def trained(optimizer, change):
        model = mv.VAE(3, 1, (2,), dtype="float64", backend=backend, seed=1)
        data = np.random.default_rng(0).random((12, 3))
        mv.fit(
            model, data, epochs=2, batch_size=2, optimizer=optimizer, on_epoch=lambda row: row["epoch"] > 1 or change()
        )
        return model.store.flat.copy()

    optimizer = kind(0.1, **options)
    assert (
        trained(optimizer, lambda: setattr(optimizer, name, value)) != trained(kind(0.1, **options), lambda: None)
    ).any()
    if bad is not None:
        with pytest.raises(ValueError, match=f"{name}: got {bad!r}, expected a"):
            setattr(late, name, bad)
        assert getattr(late, name) == value


@pytest.mark.parametrize("kind", [mv.Adam, mv.AdamW, mv.Adagrad])
def test_an_eps_that_is_0_in_the_models_dtype_is_refused(kind):
    """Parameters without a gradient would be 0 / 0."""
    data = np.zeros((6, 3))
    model = mv.VAE(3, 1, (2,), dtype="float32", backend="numpy")
    with pytest.raises(ValueError, match=r"eps: got 1e-50, expected at least 1\.18e-38, above what is 0 in float32"):
        mv.fit(model, data, epochs=1, optimizer=kind(eps=1e-50))
    for dtype, eps in (("float32", 2e-38), ("float64", 1e-50)):
        model = mv.VAE(3, 1, (2,), dtype=dtype, backend="numpy")
        mv.fit(model, data, epochs=1, optimizer=kind(eps=eps))
        assert all(np.isfinite(array).all() for array in model.parameters.values())


def test_an_optimizer_serves_one_model():
    optimizer = mv.Adam()
    optimizer.update(model_with(0.0, 1.0))
    with pytest.raises(ValueError, match="optimizer: got 'one that is attached to another model', expected a new"):
        optimizer.update(model_with(0.0, 1.0))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "optimizer", [mv.Adam(0.1), mv.SGD(0.1, 0.9), mv.SGD(0.1, 0.9, nesterov=True)], ids=["adam", "sgd", "nesterov"]
)
def test_no_moment_stays_subnormal(optimizer, backend):
    """A gradient that stays 0 lets the moments decay to where an operation takes a hundred cycles."""
    optimizer = copy.copy(optimizer)
    model = model_with(1.0, 1e-300, backend)
    optimizer.update(model)
    model.gradients["likelihood.bias"][...] = 0.0
    for _ in range(400):
        optimizer.update(model)
    first = optimizer.state[optimizer.moments[0]]
    assert not first.any()
    assert np.isfinite(model.store.flat).all()
    model.gradients["likelihood.bias"][...] = np.nan
    for _ in range(10):
        optimizer.update(model)
    assert np.isnan(first).sum() == 2, "a moment that is not a number stays one"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("optimizer", [*mv.optim.OPTIMIZERS.values(), lambda rate: mv.SGD(rate, 0.9)])
def test_no_parameter_stays_subnormal(optimizer, backend):
    """Weights of a pixel that is never set shrink to where a product takes a hundred cycles for each."""
    model, optimizer = model_with((3e-310, 3e-300), 0.0, backend), optimizer(0.1)
    for _ in range(9):
        optimizer.update(model)
    subnormal, normal = model.parameters["likelihood.bias"]
    assert subnormal == 0.0
    assert normal == pytest.approx(3e-300, rel=0.02)


def test_optimizers_are_found_by_their_definitions():
    assert {
        "sgd": mv.SGD,
        "adam": mv.Adam,
        "adamw": mv.AdamW,
        "adagrad": mv.Adagrad,
    }.items() <= mv.optim.OPTIMIZERS.items()
    for cls in mv.optim.OPTIMIZERS.values():
        assert getattr(mv, cls.__name__, None) is cls, f"minivae/optim.py: __all__ lacks {cls.__name__}"
        assert "textbook" in vars(cls), f"minivae/optim.py: {cls.__name__} has no textbook"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_long_schedule_is_read_a_piece_at_a_time(backend, monkeypatch):
    """The same bits as with all rates at once, steps replayed and as they stand, also where training goes back."""
    data = np.eye(4)

    def run(ahead, on_epoch=None):
        monkeypatch.setattr(optim, "AHEAD", ahead)
        model, states = mv.VAE(4, 2, (3,), backend=backend), []
        optimizer = mv.Adam(mv.Cosine(0.1, total=60, warmup=7), clip_norm=1.0)
        options = {"batch_size": 3, "optimizer": optimizer, "on_checkpoint": states.append, "checkpoint_steps": 1}
        history = mv.fit(model, data, epochs=30, on_epoch=on_epoch, **options)
        again = mv.Adam(mv.Cosine(0.1, total=60, warmup=7), clip_norm=1.0)
        mv.fit(model, data, epochs=30, start=states[20], **(options | {"optimizer": again}))
        return history["learning_rate"], states[-1].parameters.tobytes(), states[59].parameters.tobytes()

    whole = run(64)
    assert run(8) == whole == run(4, on_epoch=lambda row: None)
    assert whole[1] == whole[2]


def test_a_training_of_any_length_begins_at_once():
    for schedule in (mv.Cosine(0.1, total=10**12), mv.StepDecay(0.1, every=10**11), mv.Warmup(10**12)):
        optimizer = mv.Adam(schedule)
        optimizer.attach(model_with(0.0, 1.0))
        optimizer.plan(10**12)
        assert optimizer._rates.nbytes < 1 << 20
    rising = mv.SGD(mv.StepDecay(1.0, every=1, factor=10.0))
    rising.attach(model_with(0.0, 1.0))
    with pytest.raises(ValueError, match=r"learning_rate: got .* at step 999999', expected a finite rate"):
        rising.plan(10**6)
