"""The comparison that the tests of resuming rest on: what differs is named, with its place and both values."""

import re
from copy import deepcopy

import numpy as np
import pytest

import minivae as mv
from benchmarks.kills import differences
from minivae.runs import checkpoint

from .tiny import assert_same_run, assert_same_state


@pytest.mark.parametrize(
    ("group", "name", "index", "values"),
    [
        ("parameter", "encoder.0.weight", (2, 1), (0.1, 0.2)),
        ("second", "posterior.bias", (3,), (0.0, -0.0)),
    ],
)
def test_a_difference_is_named_with_its_place_and_both_values(group, name, index, values, tmp_path):
    model, states, spoiled = mv.VAE(4, 2, (3,), backend="numpy", seed=1), [], []
    mv.fit(model, np.eye(4), epochs=2, on_checkpoint=states.append)
    for folder, value in zip(("one", "two"), values, strict=True):
        state = deepcopy(states[-1])
        flat = ({"parameter": state.parameters} | state.moments)[group]
        model.store.views(flat)[name][index] = value
        (tmp_path / folder).mkdir()
        checkpoint.save(tmp_path / folder / "checkpoint.npz", model, state)
        spoiled.append(state)
    words = re.escape(f"{group}/{name}[{', '.join(map(str, index))}]: {values[0]} and {values[1]}")
    with pytest.raises(AssertionError, match=words):
        assert_same_state(*spoiled, model)
    with pytest.raises(AssertionError, match=words):
        assert_same_run(tmp_path / "one", tmp_path / "two")


def test_what_is_no_array_or_has_no_counterpart_is_named():
    one = {"step": 4, "first": np.zeros(2), "second": np.zeros(2), "same": [1.0], "nan": np.array([np.nan])}
    two = one | {"step": 5, "second": np.zeros(2, "f4")}
    del two["first"]
    expected = ["first: only in one of the two", "second: float64 (2,) and float32 (2,)", "step: 4 and 5"]
    assert differences(one, two) == expected
