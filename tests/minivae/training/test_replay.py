"""What `fit` replays, and what makes it run each step as it stands."""

import logging
import sys
from contextlib import contextmanager

import numpy as np
import pytest

import minivae as mv
from minivae import kernels
from minivae.training.step import TrainingStep

from . import own_parts as own
from .test_open_model import BATCH, EPOCHS, ROWS, X, assert_same, small

pytestmark = pytest.mark.skipif("cpu" not in kernels.available_backends(), reason="programs are of the cpu backend")
OPTIONS = {"epochs": EPOCHS, "batch_size": BATCH, "seed": 2}


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, "minivae")
    return caplog


def passes(function, *arguments, **options):
    """How often a model was passed down in the function's call, by a profile, which changes no step."""
    count, code = 0, mv.VAE.pass_down.__code__

    def look(frame, event, argument):
        nonlocal count
        count += event == "call" and frame.f_code is code

    sys.setprofile(look)
    try:
        function(*arguments, **options)
    finally:
        sys.setprofile(None)
    return count


def assert_runs_as_it_stands(log, reason, make=lambda: (small("cpu"), mv.Adam(1e-2)), **options):
    """`fit` enters the parts' code at each step, has the bits of the loop, and says why."""
    log.clear()
    model, optimizer = make()
    with_no_replay = passes(mv.fit, model, X, optimizer=optimizer, **OPTIONS, **options)
    assert with_no_replay == EPOCHS * -(-ROWS // BATCH)
    other, other_optimizer = make()
    own.loop(other, other_optimizer, X, **OPTIONS, **options)
    assert_same(model, optimizer, other, other_optimizer)
    assert [record.name for record in log.records] == ["minivae"]
    assert reason in log.text


def test_steps_of_own_parts_are_replayed(log):
    """Of each length two steps run as they stand, one that is recorded and one that proves it; and so again after the
    user's code had its turn.
    """
    data = np.tile(X, (9, 1))[: 24 * BATCH + 3]
    step = TrainingStep(small("cpu"), data, BATCH, mv.Adam(), "grey", 0)
    found = []
    for epoch in range(3):
        step.look(75)
        step.shuffle(epoch)
        found.append([passes(step, 25 * epoch + number) for number in range(25)])
    assert found == 3 * [[1, 1, *22 * [0], 1]]
    assert step.replay.reason is None
    assert not log.records


def test_parts_of_ones_own_are_named(log):
    for make, reason in {
        lambda: (small("cpu"), own.RMSprop(1e-2)): "the optimizer is a RMSprop, no class of minivae",
        lambda: (small("cpu", likelihood=own.Laplace()), mv.Adam()): "likelihood is a Laplace, no class of minivae",
        lambda: (small("cpu", encoder=[own.Louder(9, 5)]), mv.Adam()): "encoder.0 is a Louder, no class of minivae",
        lambda: (small("cpu"), mv.Adam(lambda step: 0.01)): "the schedule is a function, no class of minivae",
    }.items():
        assert_runs_as_it_stands(log, reason, make)
    assert_runs_as_it_stands(log, "the schedule of beta is a function", beta=lambda step: 0.1 * step)


def test_a_replaced_method_of_a_class_runs(log, monkeypatch):
    original = mv.Dense.forward

    def forward(self, x):
        return np.add(original(self, x), 1, dtype=x.dtype)

    monkeypatch.setattr(mv.Dense, "forward", forward)
    assert_runs_as_it_stands(log, "encoder.0 has another forward than minivae's Dense")


@pytest.mark.parametrize("place", ["encoder", "sampler", "kl", "likelihood", "model"])
def test_a_replaced_method_of_an_object_runs(log, place):
    def make():
        model = small("cpu")
        part = {"encoder": model.encoder.layers[0], "model": model}.get(place) or getattr(model, place)
        method = "pass_up" if place == "model" else "backward"
        original = getattr(part, method)

        def instead(*arguments):
            original(*arguments)
            model.store.flat_gradients[...] *= 0.5
            return original(*arguments)

        setattr(part, method, instead)
        return model, mv.Adam(1e-2)

    names = {"encoder": "encoder.0", "sampler": "sampler", "kl": "kl", "model": "the model"}
    assert_runs_as_it_stands(log, f"{names.get(place, place)} has another ", make)


def test_a_replaced_kernel_runs(log):
    def make():
        model = small("cpu")
        original = model.backend.dense_forward

        def dense_forward(x, weight, bias, activation, y, *a):
            original(x, weight, bias, activation, y, *a)
            y *= 0.5

        model.backend.dense_forward = dense_forward
        return model, mv.Adam(1e-2)

    assert_runs_as_it_stands(log, "dense_forward of the backend was replaced", make)


@contextmanager
def traced():
    before = sys.gettrace()
    sys.settrace(lambda frame, event, argument: None)
    try:
        yield
    finally:
        sys.settrace(before)


def test_a_debugger_meets_each_step(log):
    with traced():
        assert_runs_as_it_stands(log, "a debugger or another tracing function is at work")


def forward_with_numpy(self, x):
    """`Dense.forward` as edited in its file: the class and its function are the same objects as before."""
    self.x, self.y = x, self._buffers("y", x.shape[0], self.outputs)
    weight, bias = self.parameters["weight"], self.parameters["bias"]
    self.backend.dense_forward(x, weight, bias, self.activation, self.y, *self._input())
    self.y *= 0.5
    return self.y


def test_a_recorded_step_with_other_numbers_is_not_trusted(log, monkeypatch):
    """NumPy's arithmetic amid the kernels is in no program; nothing but the comparison of bits can see it here."""
    monkeypatch.setattr(mv.Dense.forward, "__code__", forward_with_numpy.__code__)
    make = lambda: (small("cpu"), mv.Adam(1e-2))  # noqa: E731
    assert_runs_as_it_stands(log, "a replayed step gave other numbers than the step itself", make)
    assert log.records[0].levelname == "WARNING"


def test_what_on_epoch_does_to_the_code_holds_from_the_next_step(log, monkeypatch):
    """A patched class, method, kernel or tracing function, set when steps are replayed already."""
    original = mv.Dense.forward

    def louder(self, x):
        return np.multiply(original(self, x), 2, dtype=x.dtype)

    def run(fit_or_loop, what):
        model, optimizer = small("cpu"), mv.Adam(1e-2)
        kernel = model.backend.dense_forward

        def half(*arguments):
            kernel(*arguments)
            arguments[4][...] *= 0.5

        def on_epoch(row):
            if row["epoch"] != 2:
                return
            if what == "class":
                patch.setattr(mv.Dense, "forward", louder)
            elif what == "object":
                model.posterior.forward = lambda x: louder(model.posterior, x)
            elif what == "kernel":
                model.backend.dense_forward = half
            elif what == "code":
                patch.setattr(mv.Dense.forward, "__code__", forward_with_numpy.__code__)
            else:
                sys.settrace(lambda frame, event, argument: None)

        before = sys.gettrace()
        with monkeypatch.context() as patch:
            try:
                fit_or_loop(model, optimizer, on_epoch)
            finally:
                sys.settrace(before)
        return model, optimizer

    for what in ("class", "object", "kernel", "code", "trace"):
        log.clear()
        found = run(lambda m, o, f: mv.fit(m, X, optimizer=o, on_epoch=f, **OPTIONS), what)
        assert_same(*found, *run(lambda m, o, f: own.loop(m, o, X, on_epoch=f, **OPTIONS), what))
        assert len(log.records) == 1, what


def test_a_later_change_of_what_is_no_part_is_seen_at_the_next_look(log):
    """Replaying ends where on_epoch brings a part of one's own, and begins again where it goes."""
    model = small("cpu")
    mine, theirs = own.Louder(9, 5, "relu"), model.encoder.layers[0]
    counts = []

    def on_epoch(row):
        model.encoder.layers[0] = mine if row["epoch"] == 1 else theirs

    data = np.tile(X, (9, 1))[: 20 * BATCH]
    step = TrainingStep(model, data, BATCH, mv.Adam(), "grey", 0)
    for epoch in range(3):
        step.look(60)
        step.shuffle(epoch)
        counts.append(sum(passes(step, 20 * epoch + i) for i in range(20)))
        on_epoch({"epoch": epoch + 1})
    assert counts[1] == 20
    assert counts[0] == counts[2] == 2
    assert log.text.count("without replaying") == 1


def test_the_same_calls_make_no_other_program():
    """Also where batches of two lengths take turns, and the buffers of the one are the first rows of the other's."""
    step = TrainingStep(small("cpu"), X, BATCH, mv.Adam(), "grey", 0)
    programs = []
    for epoch in range(3):
        step.look(9)
        step.shuffle(epoch)
        for number in range(3):
            step(3 * epoch + number)
        programs.append([step.replay.programs[rows] for rows in (BATCH, ROWS % BATCH)])
    assert programs[0] == programs[1] == programs[2]
