"""The choices of a run: from the command line's own parser to the optimizer, to config.json and back."""

import inspect
import json

import numpy as np
import pytest

from minivae.command import train
from minivae.command.main import build_parser
from minivae.optim import OPTIMIZERS
from minivae.runs import folder
from minivae.runs.config import SINCE, Config

GIVEN = {"learning_rate": 0.02, "momentum": 0.7, "nesterov": True, "weight_decay": 0.3, "clip_norm": 4.0}


def chosen(*arguments):
    return train.configuration(build_parser().parse_args(["train", *arguments]))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_option_reaches_the_optimizer(name):
    kind = OPTIMIZERS[name]
    given = {option: GIVEN[option] for option in GIVEN if option in inspect.signature(kind).parameters}
    assert given.keys() >= {"learning_rate", "clip_norm"}
    arguments = ["--optimizer", name]
    for option, value in given.items():
        arguments += ["--" + option.replace("_", "-")] + [str(value)] * (value is not True)
    optimizer = chosen(*arguments).training.make_optimizer(5)
    assert type(optimizer) is kind
    assert {option: getattr(optimizer, option) for option in given} == given
    default = chosen("--optimizer", name).training.make_optimizer(5)
    assert default.clip_norm is None
    assert default.schedule == kind().schedule, "the class's own rate"


def test_an_optimizer_keeps_its_own_defaults(monkeypatch):
    class Heavy(OPTIMIZERS["sgd"]):
        def __init__(self, learning_rate=0.3, momentum=0.9, nesterov=True, clip_norm=2.0):
            super().__init__(learning_rate, momentum, nesterov, clip_norm)

    monkeypatch.setitem(OPTIMIZERS, "heavy", Heavy)
    config = Config.from_options({"optimizer": "heavy"}, {}, "1")
    heavy = config.training.make_optimizer(5)
    assert (heavy.schedule(0), heavy.momentum, heavy.nesterov, heavy.clip_norm) == (0.3, 0.9, True, 2.0)
    assert Config.from_json(config.to_json() | {"data": {**config.to_json()["data"], "fingerprint": ""}}).training == (
        config.training
    )


def test_schedules_count_in_steps():
    step = chosen("--schedule", "step", "--decay-epochs", "2").training.make_optimizer(5).schedule
    assert (step(9), step(10)) == (1e-3, 1e-4)
    options = ["--schedule", "cosine", "--epochs", "4", "--warmup-epochs", "0.5", "--learning-rate", "0.5"]
    cosine = chosen(*options).training.make_optimizer(10).schedule
    assert (cosine.rate, cosine.total, cosine.warmup) == (0.5, 40, 5)


def test_a_configuration_outlives_its_file():
    """Also one whose stored values do not apply; nothing that a training depends on is guessed where it is missing."""
    options = [
        "--optimizer",
        "sgd",
        "--momentum",
        "0.9",
        "--hidden",
        "5",
        "4",
        "--size",
        "7",
        "--seed",
        "3",
        "--keep",
        "9",
    ]
    config = chosen(*options)
    entry = json.loads(json.dumps(config.to_json()))
    assert list(entry) == ["minivae", "backend", "data", "model", "training"]
    assert (entry["data"]["seed"], entry["model"]["seed"], entry["training"]["seed"]) == (3, 3, 3)
    entry["data"]["fingerprint"] = "known"
    again = Config.from_json(entry)
    assert again.to_json() == entry
    assert again.training == config.training
    entry["training"]["optimizer"] = "adam"
    assert Config.from_json(entry).training.momentum == 0.9
    with pytest.raises(ValueError, match="schedule: got 'slow', expected one of 'constant', 'step', 'cosine'"):
        Config.from_json(entry | {"training": entry["training"] | {"schedule": "slow"}})
    for key in list(entry["training"]):
        less = entry | {"training": {k: v for k, v in entry["training"].items() if k != key}}
        if key in SINCE:  # which files of version 0.1.0 do not have
            assert getattr(Config.from_json(less).training, key) == SINCE[key]
            continue
        with pytest.raises(KeyError, match=key):
            Config.from_json(less)


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_binarised_values(dtype):
    """1 above 1/2, or with the value as its probability: never where it is 0 and always where it is 1."""
    scale = 255 if dtype == "uint8" else 1
    grey = np.array([0, 51, 127, 128, 204, 255]) / 255
    data = np.tile(grey * scale, (4000, 1)).round(6).astype(dtype)
    np.testing.assert_allclose(folder.unit_values(data, "grey")[0], grey, rtol=1e-5)
    assert folder.unit_values(data, "threshold")[0].tolist() == [0, 0, 0, 1, 1, 1]
    assert folder.unit_values(np.full((1, 1), 0.5), "threshold") == 0
    drawn = folder.unit_values(data, "dynamic", seed=1)
    assert drawn.dtype == "float32"
    assert set(np.unique(drawn)) == {0, 1}
    assert (np.abs(drawn.mean(axis=0) - grey) <= 5 * np.sqrt(grey * (1 - grey) / 4000)).all()
    np.testing.assert_array_equal(folder.unit_values(data, "dynamic", seed=1), drawn)
    assert (folder.unit_values(data, "dynamic", seed=2) != drawn).any()
