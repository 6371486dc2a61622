"""The comparison that the tests of resuming rest on: what differs is named, with its place and both values."""

from copy import deepcopy

import numpy as np
import pytest

import minivae as mv
from minivae.runs import checkpoint

from .tiny import assert_same_run, assert_same_state


def weight(model, state):
    model.store.views(state.parameters)["encoder.0.weight"][2, 1] = 0.2


def bit(model, state):
    """A zero with another sign."""
    model.store.views(state.moments["second"])["posterior.bias"][...] = [0, 0, 0, -0.0]


def epoch(model, state):
    state.history["kl_per_latent"][1][0] = 7


def step(model, state):
    state.step += 1


def moment(model, state):
    del state.moments["first"]


PLANTED = {
    weight: ["parameter/encoder.0.weight[2, 1]: 0.1 and 0.2, the first of 1 in 12 entries"],
    bit: ["second/posterior.bias[3]: 0.0 and -0.0, the first of 1 in 4 entries"],
    epoch: ["history/kl_per_latent[1", "0]: 6.0 and 7.0, the first of 1 in "],
    step: ["step: 4 and 5"],
    moment: ["first/encoder.0.weight: only in one of the two"],
}


@pytest.fixture
def trained():
    model, states = mv.VAE(4, 2, (3,), backend="numpy", seed=1), []
    mv.fit(model, np.eye(4), validation=np.eye(4), epochs=2, batch_size=2, on_checkpoint=states.append)
    state = states[-1]
    model.store.views(state.parameters)["encoder.0.weight"][2, 1] = 0.1
    model.store.views(state.moments["second"])["posterior.bias"][...] = 0
    state.history["kl_per_latent"][1] = np.array([6.0, 6.0])
    return model, state


@pytest.mark.parametrize("plant", [None, *PLANTED], ids=lambda plant: plant and plant.__name__)
def test_a_difference_is_named_with_its_place_and_both_values(plant, trained, tmp_path):
    model, state = trained
    other = deepcopy(state)
    other.seconds, other.history["examples_per_second"] = 99.0, [1.0, 2.0]
    if plant:
        plant(model, other)
    for name, each in (("one", state), ("two", other)):
        (tmp_path / name).mkdir()
        checkpoint.save(tmp_path / name / "checkpoint.npz", model, each)
    for compare in (
        lambda: assert_same_state(state, other, model),
        lambda: assert_same_run(tmp_path / "one", tmp_path / "two"),
    ):
        if plant:
            with pytest.raises(AssertionError) as caught:
                compare()
            assert all(words in str(caught.value) for words in PLANTED[plant]), caught.value
        else:
            compare()
