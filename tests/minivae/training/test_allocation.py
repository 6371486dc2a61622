"""A training step makes no arrays after the first of its length, and no kernel call for each draw of z."""

import tracemalloc

import numpy as np
import pytest

import minivae as mv
from minivae.bounds import GRADIENTS
from minivae.training.step import TrainingStep

# What NumPy itself allocates in a step: its iteration buffers, at most 8192 elements each. Arrays of the tests are
# larger than twice that.
NUMPY_OWN = 140_000


def prepared(model, data, batch_size, optimizer, pixels="grey"):
    step = TrainingStep(model, data, batch_size, optimizer, pixels, 1)
    step.optimizer.plan(20)
    step.shuffle(0)
    return step


def memory_of_two_steps(step):
    """(largest, final) growth in bytes while two steps are made, after four to warm up and one in measurement."""
    for number in range(4):
        step(number)
    tracemalloc.start()
    try:
        step(4)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        step(5)
        step(6)
        current, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - before, current - before


def test_the_measurement_sees_an_array_that_is_let_go_again():
    peak, final = memory_of_two_steps(lambda number: np.ones(40_000, np.float32).sum())
    assert peak > NUMPY_OWN
    assert final < 1000


@pytest.mark.parametrize("pixel_mode", ["grey", "dynamic"])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize(
    "optimizer",
    [lambda: mv.SGD(1e-4, momentum=0.9, nesterov=True), lambda: mv.Adam(clip_norm=1.0)],
    ids=["sgd", "adam"],
)
def test_a_step_of_the_elbo(optimizer, likelihood, pixel_mode):
    """Wide layers: parameters, gradients and moments are as large as what goes through the layers."""
    model = mv.VAE(800, 21, (60,), likelihood=likelihood, backend="numpy", seed=3)
    data = np.random.default_rng(0).integers(0, 256, (2500, 800), np.uint8)
    peak, final = memory_of_two_steps(prepared(model, data, 2000, optimizer(), pixel_mode))
    assert peak < NUMPY_OWN
    assert final < 1000


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("objective", ["elbo", *GRADIENTS])
def test_a_step_of_every_objective(objective, likelihood):
    """Many rows: even what has one number for each example, as the loss does, is larger than NumPy's own buffers."""
    outer = 1 if objective in ("elbo", "iwae") else 2
    options = {"likelihood": likelihood, "objective": objective, "samples": 2, "outer": outer}
    model = mv.VAE(3, 1, (2,), "tanh", dtype="float64", backend="numpy", seed=3, **options)
    data = np.random.default_rng(0).integers(0, 256, (20_000, 3), np.uint8)
    peak, final = memory_of_two_steps(prepared(model, data, 20_000, mv.Adam()))
    assert peak < NUMPY_OWN
    assert final < 1000


@pytest.mark.parametrize("objective", ["elbo", *GRADIENTS])
def test_no_kernel_call_for_each_draw(objective):
    counts = []
    for samples in (1, 10):
        model = mv.VAE(12, 2, (8,), backend="numpy", objective=objective, samples=samples)
        step = prepared(model, np.zeros((20, 12), np.uint8), 20, mv.Adam())
        counts.append(len(model.backend.calls_of(lambda step=step: step(0))))
    assert counts[0] == counts[1]
