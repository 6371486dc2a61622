"""Schedules of beta, and of a rate that follows the losses."""

import copy
import pickle

import numpy as np
import pytest

import minivae as mv


def test_warmup_is_linear_from_zero():
    warmup = mv.Warmup(4, value=2.0)
    assert [warmup(step) for step in (0, 1, 2, 4, 5, 10**9)] == [0.0, 0.5, 1.0, 2.0, 2.0, 2.0]
    assert mv.Warmup(1)(0) == 0
    assert mv.Warmup(1)(1) == 1


def test_cyclical_rises_and_stays_in_each_period():
    cyclical = mv.Cyclical(8, value=4.0)
    assert [cyclical(step) for step in range(9)] == [0.0, 1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 4.0, 0.0]
    assert [cyclical(step + 8 * 1000) for step in range(8)] == [cyclical(step) for step in range(8)]
    assert [mv.Cyclical(4, ramp=1.0)(step) for step in range(5)] == [0.0, 0.25, 0.5, 0.75, 0.0]
    # R = 1/4 of Fu et al.: the first quarter rises
    assert [mv.Cyclical(8, ramp=0.25)(step) for step in range(4)] == [0.0, 0.5, 1.0, 1.0]


def rates(plateau, losses, column="validation_loss"):
    """The rate before the first epoch and after each."""
    found = []
    for epochs in range(len(losses) + 1):
        plateau.observe({column: losses[:epochs]} if epochs else {})
        found.append(plateau(epochs))
    return found


@pytest.mark.parametrize("column", ["validation_loss", "train_loss"])
def test_plateau_cuts_after_its_patience_and_counts_anew(column):
    losses = [5.0, 4.0, 4.0, 4.5, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0]
    cuts = [0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3]
    assert rates(mv.Plateau(1.0, factor=0.5, patience=2), losses, column) == [0.5**cut for cut in cuts]


def test_plateau_has_a_threshold_and_a_floor():
    losses = [5.0, 4.95, 4.9, 4.85, 4.8]
    assert rates(mv.Plateau(1.0, 0.5, patience=2), losses) == [1.0] * 6
    # 4.9 and later are lower by 0.1 and more than the best, 5.0, not than each other
    assert rates(mv.Plateau(1.0, 0.5, patience=1, threshold=0.125), losses) == [1, 1, 0.5, 0.25, 0.25, 0.125]
    flat = [1.0] * 9
    assert rates(mv.Plateau(2.0, 0.1, patience=1, floor=0.25), flat) == [2.0, 2.0, *[0.5] * 8]


def test_validation_counts_before_training():
    plateau = mv.Plateau(1.0, 0.5, patience=1)
    plateau.observe({"validation_loss": [3.0, 2.0, 1.0], "train_loss": [1.0, 1.0, 1.0]})
    assert plateau(0) == 1.0


def test_plateau_is_a_function_of_the_history_alone():
    rng = np.random.default_rng(0)
    losses = rng.random(60).tolist()
    one, whole = mv.Plateau(1.0, 0.9, patience=3), mv.Plateau(1.0, 0.9, patience=3)
    for epochs in range(1, 61):
        one.observe({"validation_loss": losses[:epochs]})
        copied = pickle.loads(pickle.dumps(copy.deepcopy(one)))
        assert (copied, copied.cuts, copied(7)) == (one, one.cuts, one(7))
    whole.observe({"validation_loss": losses})
    assert whole(0) == one(0) < 1
    assert whole == mv.Plateau(1.0, 0.9, patience=3)
    assert repr(whole) == "Plateau(rate=1.0, factor=0.9, patience=3, threshold=0.0, floor=0.0)"
    whole.observe({})
    assert whole(0) == 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mv.Warmup(0), "steps: got 0, expected a whole number of at least 1"),
        (lambda: mv.Warmup(2.0), "steps: got 2.0"),
        (lambda: mv.Warmup(5, value=0.0), "value: got 0.0, expected a finite number above 0"),
        (lambda: mv.Cyclical(0), "period: got 0"),
        (lambda: mv.Cyclical(5, value=float("inf")), "value: got inf"),
        (lambda: mv.Cyclical(5, ramp=0.0), "ramp: got 0.0"),
        (lambda: mv.Cyclical(5, ramp=1.5), "ramp: got 1.5, expected a share of the period"),
        (lambda: mv.Plateau(0.0), "learning_rate: got 0.0"),
        (lambda: mv.Plateau(1.0, factor=1.0), "factor: got 1.0, expected a number above 0 and below 1"),
        (lambda: mv.Plateau(1.0, patience=0), "patience: got 0"),
        (lambda: mv.Plateau(1.0, threshold=-1.0), "threshold: got -1.0"),
        (lambda: mv.Plateau(1.0, floor=1.5), r"floor: got 1.5, expected a number in \[0, 1\]"),
    ],
)
def test_bad_options_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
