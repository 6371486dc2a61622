"""benchmarks/iwae.py: the recipe that it follows, its results file, and the table of it in docs/reproductions.md."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import iwae
from minivae.training.step import TrainingStep

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data():
    return np.random.default_rng(0).integers(0, 256, (50, 784), np.uint8)


def test_the_rates_of_the_eight_stages():
    rate = iwae.learning_rate(batches=3000)
    first = [sum(3**i for i in range(stage)) * 3000 for stage in range(8)]
    assert [rate(step) for step in first] == pytest.approx([1e-3, 7.2e-4, 5.2e-4, 3.7e-4, 2.7e-4, 1.9e-4, 1.4e-4, 1e-4])
    assert [rate(step - 1) for step in first[1:]] == [rate(step) for step in first[:-1]]
    assert rate(3280 * 3000 - 1) == rate(3281 * 3000) == pytest.approx(1e-4)
    quick = iwae.learning_rate(batches=3000, pace=81)
    assert [quick(step) for step in range(0, 120_000, 997)] == [rate(81 * step) for step in range(0, 120_000, 997)]


@pytest.mark.parametrize("code", [(), ("init",)])
def test_the_values_that_training_begins_with(data, code):
    model = iwae.build("vae-5", 3, data, code, "numpy")
    parameters = model.parameters
    biases = [name for name in parameters if name.endswith("bias") and name != "likelihood.bias"]
    assert not any(parameters[name].any() for name in biases)
    mean = np.clip(data.mean(axis=0) / 255, 0.001, 0.999)
    assert 1 / (1 + np.exp(-parameters["likelihood.bias"])) == pytest.approx(mean, rel=1e-5)
    for name, inputs, outputs in (("encoder.0", 784, 200), ("posterior", 200, 50), ("likelihood", 200, 784)):
        top = np.abs(parameters[f"{name}.weight"]).max()
        assert 0.99 * np.sqrt(6 / (inputs + outputs)) < top <= np.sqrt(6 / (inputs + outputs)) + 1e-6
    mean_weight, sigma_weight = np.split(parameters["posterior.weight"], 2, axis=1)
    equal = np.array_equal(parameters["encoder.1.weight"], parameters["decoder.1.weight"])
    assert np.array_equal(mean_weight, sigma_weight) == equal == ("init" in code)


def test_the_vae_is_the_mean_of_sampled_log_weights(data):
    model = iwae.build("vae-5", 0, data, backend="numpy")
    x = (data / 255).astype(np.float32)
    noise = np.random.default_rng(1).standard_normal((250, 50), np.float32)
    mu, sigma = (np.repeat(half, 5, axis=0) for half in model.encode(x))
    nll, _ = model.elbo_terms(x, noise)
    log_prior, log_q = -((mu + sigma * noise) ** 2).sum(axis=1) / 2, -(noise**2 / 2 + np.log(sigma)).sum(axis=1)
    assert model.forward(x, noise).loss == pytest.approx((nll - log_prior + log_q).mean(), rel=1e-5)


def test_a_training_by_the_code_and_its_row(data, tmp_path, monkeypatch):
    """In the order of the file, by Adam as the code has it; a second command with the same name replaces the row."""
    seen, made = [], []
    shuffle = TrainingStep.shuffle

    def look(step, epoch):
        shuffle(step, epoch)
        seen.append(step._order.copy())
        made.append((step.optimizer.beta1, step.optimizer.eps, step.optimizer.state["second"].max()))

    monkeypatch.setattr(TrainingStep, "shuffle", look)
    monkeypatch.setattr(iwae.mv, "load_dataset", lambda name: Namespace(train=data, test=data[:20]))
    out, work = tmp_path / "out.json", tmp_path / "work"
    command = ["iwae", "--pace", "3280", "--backend", "numpy", "--out", str(out), "--work", str(work)]
    command += ["--draws", "100", "--examples", "20"]
    against = ["--code", "--against", "vae-k1-seed0-pace3280"]
    for options in ([], against, ["--code"], ["--code", "order"], ["--more", "1"]):
        monkeypatch.setattr(sys, "argv", command + options)
        iwae.main()
    name = "vae-k1-seed0-pace3280"
    names = [row["name"] for row in json.loads(out.read_text())["results"]]
    assert sorted(names) == sorted([name, f"{name}-code", f"{name}-order", f"{name}-more1"])
    assert sorted(path.stem for path in work.iterdir()) == sorted(names)
    in_order = [np.array_equal(order, np.arange(50)) for order in seen]
    assert in_order == [False, True, True, False, False]
    assert made[:2] == [(0.9, 1e-4, 0), (0.99, 5e-6, pytest.approx(1 / 400))]
    assert "| vae, K = 1, pace 3280, authors' order, adam, init, size | 0 | 1 |" in iwae.table(iwae.read(out))


def test_the_page_has_the_figures_of_the_results():
    page, folder = (ROOT / "docs" / "reproductions.md").read_text(), ROOT / "benchmarks" / "results"
    assert iwae.table(iwae.read(folder / "iwae.json")) in page
    short = iwae.read(folder / "iwae-13-passes.json")
    nll = {kind: np.array([row["nll"] for row in short if row["model"] == kind]) for kind in ("vae", "iwae", "dreg")}
    for values in (*nll.values(), nll["iwae"] - nll["dreg"]):
        assert ", ".join(f"{value:.2f}" for value in values) in " ".join(page.split())
