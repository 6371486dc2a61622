"""The one description of the data before a training, and that what was chosen for a table holds for all of its run."""

import json
import re

import numpy as np
import pytest

from minivae.command.main import main
from minivae.datasets import Dataset
from minivae.runs import folder, reopening
from minivae.runs.config import Config, Model
from minivae.runs.describing import described

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (200, 6), dtype=np.uint8)
UNIT = RNG.random((200, 6))
NORMAL = RNG.standard_normal((200, 6))
SMALL = ["--backend", "numpy", "--epochs", "1", "--hidden", "4", "--latent", "3"]


def lines_about(rows, **model):
    data = Dataset("d", rows, rows[:2], source="made up")
    chosen = {"likelihood": "bernoulli" if data.in_unit_interval else "gaussian"} | model
    return described(data, rows, Model(**chosen))


@pytest.mark.parametrize(
    ("rows", "model", "line"),
    [
        (BYTES, {}, "uint8 from 0 to 255, pixels, divided by 255; bernoulli likelihood for values in [0, 1]"),
        (BYTES, {"likelihood": "beta_binomial"}, "pixels, divided by 255; beta_binomial likelihood as chosen"),
        (np.eye(4), {}, "float64 from 0 to 1, numbers as they are; bernoulli likelihood for values in [0, 1]"),
        (
            np.eye(4) * 3,
            {},
            "float64 from 0 to 3, numbers as they are; gaussian likelihood for values not all in [0, 1]",
        ),
        (np.eye(4), {"likelihood": "gaussian"}, "numbers as they are; gaussian likelihood as chosen"),
    ],
)
def test_one_line_says_what_data_are_taken_for(rows, model, line):
    first, *_ = lines_about(rows, **model)
    assert first.startswith("data: made up; ")
    assert first.endswith(line)


@pytest.mark.parametrize(
    ("rows", "model", "hints"),
    [
        (BYTES, {}, []),
        (UNIT, {}, []),
        (3 * NORMAL, {}, []),
        (BYTES // 32, {}, ["values reach 0.027 of 1 only: the largest byte is 7"]),
        (UNIT / 255, {}, ["values reach 0.0039 of 1 only: they may have been divided by 255 twice"]),
        (
            BYTES.astype(float),
            {},
            ["whole numbers from 0 to 255 that may be pixels: save them as uint8", "--learn-sigma"],
        ),
        (
            100 * NORMAL,
            {},
            ["values vary by .* the likelihood's sigma is 1: swamps the KL term; --learn-sigma, or --obs"],
        ),
        (
            NORMAL / 100,
            {},
            ["values vary by 0.01.* most of them count as noise; --learn-sigma, or --observation-sigma"],
        ),
        (BYTES, {"likelihood": "gaussian"}, ["values vary by 0.29"]),
        (100 * NORMAL, {"learn_sigma": True}, []),
        (100 * NORMAL, {"observation_sigma": 30.0}, []),
        (
            NORMAL * [3, 3, 3, 3, 3, 1e4],
            {"learn_sigma": True},
            ["features vary by .* scale them, or --learn-sigma features"],
        ),
        (NORMAL * [3, 3, 3, 3, 3, 1e4], {"learn_sigma": "features"}, []),
    ],
)
def test_hints_where_the_scale_is_unlikely(rows, model, hints):
    _, *found = lines_about(rows, **model)
    assert len(found) == len(hints), found
    for line, hint in zip(found, hints, strict=True):
        assert line.startswith("hint: ")
        assert re.search(hint, line), line


@pytest.mark.parametrize("latents", ["1", "2", "3"])
def test_a_run_on_a_scale_far_from_sigma_ends_with_its_pictures(latents, tmp_path, capsys):
    """Its posteriors are narrower than float32 has numbers."""
    np.save(tmp_path / "far.npy", RNG.standard_normal((300, 6)) * [1, 1, 1, 1, 1e5, 1])
    arguments = ["train", "--data", str(tmp_path / "far.npy"), "--out", str(tmp_path / "run"), *SMALL]
    assert main([*arguments, "--epochs", "3", "--latent", latents]) == 0
    out = capsys.readouterr().out
    assert "hint: values vary by" in out
    assert (tmp_path / "run" / "latent.png").exists()


def test_the_options_of_a_table_hold_for_all_of_its_run(tmp_path, capsys):
    rows = [f"{number};{number % 3};{value[0]:.3f};{value[1]:.3f}" for number, value in enumerate(RNG.random((40, 2)))]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(rows).replace(".", ","))
    arguments = ["train", "--data", str(path), "--out", str(tmp_path / "run"), *SMALL]
    assert main(arguments) == 2
    assert "field 1: got what may be numbers of the rows, 0 to 39, expected drop= (--drop)" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    table = ["--delimiter", ";", "--decimal", ",", "--no-header", "--label", "2", "--drop", "1"]
    assert main([*arguments, *table]) == 0
    said = "fields separated by ';' with decimal commas, no names; 2 features; left out field 1; labels in field 2"
    assert said in capsys.readouterr().out
    entry = json.loads((tmp_path / "run" / "config.json").read_text())
    chosen = {"delimiter": ";", "decimal": ",", "header": False, "label": "2", "drop": ["1"]}
    assert chosen.items() <= entry["data"].items()
    data = reopening.open_run(tmp_path / "run", "numpy")[2]
    assert (data.features, sorted(set(data.train_labels))) == (2, [0, 1, 2])
    assert main(["evaluate", str(tmp_path / "run"), "--backend", "numpy"]) == 0
    assert main(["train", "--resume", str(tmp_path / "run"), "--epochs", "2"]) == 0
    older = entry | {"data": {key: value for key, value in entry["data"].items() if key not in chosen}}
    assert Config.from_json(older).data.drop is None
    with pytest.raises(ValueError, match="delimiter: got 5, expected one character"):
        folder.load(Config.from_json(entry | {"data": entry["data"] | {"delimiter": 5}}).data)


def test_options_of_tables_are_refused_for_other_data(tmp_path, capsys):
    np.save(tmp_path / "mine.npy", UNIT)
    for data in ("rings", str(tmp_path / "mine.npy")):
        assert main(["train", "--data", data, "--out", str(tmp_path / "run"), *SMALL, "--label", "class"]) == 2
        assert "label: got 'class', expected a table, a data frame or an NPZ file with it" in capsys.readouterr().err
