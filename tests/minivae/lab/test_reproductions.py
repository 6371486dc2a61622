"""The reproductions of benchmarks/ in small, the closed forms they are held against, and the page that shows them."""

import argparse
import json

import numpy as np
import pytest

import minivae as mv
from benchmarks import aevb, iwae, linear_vae, resumable
from minivae.lab import linear_gaussian

RESULTS = resumable.PAGE.parents[1] / "benchmarks" / "results"


def rows(features=7, n=600, seed=4):
    """Data whose covariance has clearly different eigenvalues."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.standard_normal((features, features)))
    return rng.standard_normal((n, features)) * 0.75 ** np.arange(features) @ turn + rng.standard_normal(features)


def best_model(data, latent, variance=None):
    """The model of Tipping and Bishop's closed form, with the exact posterior as encoder."""
    values, vectors = np.linalg.eigh(np.cov(data, rowvar=False, bias=True))
    _, variance, active = linear_gaussian.optimum(values[::-1], latent, variance)
    model = linear_gaussian.make(data.shape[1], latent, observation_sigma=float(np.sqrt(variance)), backend="numpy")
    weight = np.zeros((latent, data.shape[1]))
    weight[:active] = np.sqrt(values[::-1][:active] - variance)[:, None] * vectors.T[::-1][:active]
    model.parameters["likelihood.weight"], model.parameters["likelihood.bias"] = weight, data.mean(0)
    linear_gaussian.set_exact_posterior(model)
    return model


@pytest.mark.parametrize("variance", [None, 0.2, 3.0])
def test_the_optimum_is_the_log_likelihood_and_the_elbo_of_its_model(variance):
    data = rows()
    exact = linear_vae.eigenvalues(data)
    best, found, active = linear_gaussian.optimum(exact, 3, variance)
    model = best_model(data, 3, variance)
    assert linear_gaussian.log_likelihood(model, data).mean() == pytest.approx(best, rel=1e-12)
    assert linear_gaussian.elbo(model, data) == pytest.approx(best, rel=1e-12)
    assert active == {None: 3, 0.2: 3, 3.0: 0}[variance]
    assert found == (variance or pytest.approx(exact[3:].mean()))
    # nothing near it is better, whatever is changed
    rng = np.random.default_rng(0)
    for name, array in model.parameters.items():
        before = array.copy()
        model.parameters[name] = before + 0.05 * rng.standard_normal(array.shape)
        assert linear_gaussian.elbo(model, data) < best
        model.parameters[name] = before


def test_the_exact_elbo_is_the_mean_of_the_sampled_one():
    model = mv.VAE(
        5, 2, (), scale="exp", likelihood="gaussian", learn_sigma=True, observation_sigma=0.7, backend="numpy"
    )
    x = np.random.default_rng(1).standard_normal((3, 5)).astype(np.float32)
    draws = np.array([model.elbo(x, seed=seed).mean() for seed in range(2000)])
    assert abs(linear_gaussian.elbo(model, x, rows=2) - draws.mean()) < 4 * draws.std() / np.sqrt(len(draws))


@pytest.mark.parametrize("kind", linear_vae.MODELS)
def test_training_reaches_the_optimum_and_its_number_of_latents(kind, tmp_path):
    data = rows()
    exact = linear_vae.eigenvalues(data)
    variance = None if kind == "learned" else float(np.sqrt(exact[1] * exact[2]))
    chosen = {"passes": 200, "batch_size": 100, "rate": 5e-2, "backend": "numpy"}
    path = tmp_path / "model.npz"
    model, history = linear_vae.train(path, data, 4, variance, 0, **chosen)
    row = linear_vae.compare(model, data, exact, 4, variance)
    assert 0 <= row["below_best"] < 0.05
    assert row["active"] == row["exact_active"] == (4 if variance is None else 2)
    np.testing.assert_allclose(row["eigenvalues"], row["exact_eigenvalues"], rtol=0.1)
    again, same = linear_vae.train(path, data, 4, variance, 0, **chosen)
    assert same == history
    np.testing.assert_array_equal(again.store.flat, model.store.flat)


def test_figure_2_takes_the_step_size_that_begins_best_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    """Rates of which one is far too slow and one diverges."""
    monkeypatch.setattr(aevb, "STEP_SIZES", (1e-6, 0.01, 1e30))
    digits = mv.load_dataset("mnist").train[:500]
    arguments = argparse.Namespace(work=tmp_path, passes=3, backend="numpy", initial=aevb.INITIAL)
    row = aevb.measure(3, 0, arguments, (digits, digits[:100]))
    assert row["step_size"] == 0.01
    assert row["train_bound_after_first_passes"][1e30] is None
    assert row["examples"] == [500, 1000, 1500]
    assert row["train"] == sorted(row["train"])
    arguments.passes = 5
    longer = aevb.measure(3, 0, arguments, (digits, digits[:100]))
    assert (longer["train"][:3], longer["test"][:3]) == (row["train"], row["test"])


def test_a_training_that_diverges_with_the_best_step_size_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(aevb, "STEP_SIZES", (1e30,))
    digits = mv.load_dataset("mnist").train[:500]
    arguments = argparse.Namespace(work=tmp_path, passes=1, backend="numpy", initial=aevb.INITIAL)
    with pytest.raises(ValueError, match="3 latents, seed 0: training diverged with the best step size"):
        aevb.measure(3, 0, arguments, (digits, digits[:100]))


@pytest.mark.parametrize("module", [linear_vae, aevb, iwae])
@pytest.mark.parametrize(
    "wrong", [["--seeds", "-1"], ["--backend", "gpu"], ["--passes", "0"], ["--draws", "0"], ["--models", "vae-0"]]
)
def test_wrong_options_are_told_before_anything_is_made(module, wrong, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [module.__name__, *wrong])
    with pytest.raises(SystemExit) as caught:
        module.main()
    assert caught.value.code == 2
    assert wrong[0] in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "module"), [("linear-vae", linear_vae), ("aevb", aevb)])
def test_the_page_shows_the_results(name, module):
    results = json.loads((RESULTS / f"{name}.json").read_text())["results"]
    page = resumable.PAGE.read_text(encoding="utf-8")
    assert f"<!-- {name} -->\n{module.table(results)}\n<!-- /{name} -->" in page
