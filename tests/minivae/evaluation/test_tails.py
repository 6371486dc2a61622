"""k-hat of known tails, what is said of weights that have none, and whether the stated interval of log p(x) holds."""

import csv
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

import minivae as mv
from benchmarks import coverage
from minivae.command.main import main
from minivae.evaluation import importance, tails
from minivae.lab import calibration, linear_gaussian


def pareto(k, n, count, seed=0):
    """Log of draws of the generalized Pareto distribution by its quantiles, above a bulk of 1; sigma is 1."""
    return np.log(1 + np.expm1(-k * np.log(np.random.default_rng(seed).random((n, count)))) / k)


def lognormal(sigma, n, count, seed=0):
    """Log weights with a mean weight of 1."""
    return sigma * np.random.default_rng(seed).standard_normal((n, count)) - sigma**2 / 2


def estimate(log_weight):
    return importance.of_log_weights([log_weight], log_weight.shape[1])


@pytest.mark.parametrize("k", [-0.5, 0.01, 0.3, 0.5, 0.7, 1.0, 1.5])
def test_k_hat_of_exact_pareto_tails(k):
    found, _, _ = tails.describe(pareto(k, 400, 5000))
    length = tails.tail_length(5000)
    # the maximum likelihood estimate has the standard error (1 + k) / sqrt(N); the prior pulls towards 1/2
    expected = (k * length + 5) / (length + 10)
    assert found.mean() == pytest.approx(expected, abs=0.03)
    assert found.std() < 1.3 * max(1 + k, 0.6) / math.sqrt(length)


@pytest.mark.parametrize("k", [-0.3, 0.4, 0.9])
def test_the_fit_finds_shape_and_scale(k):
    excess = 2.5 * np.sort(np.expm1(pareto(k, 60, 1000)), axis=1)
    shape, sigma = tails.fit(excess)
    assert shape.mean() == pytest.approx(k, abs=0.02)
    assert sigma.mean() == pytest.approx(2.5, rel=0.02)
    several = [tails.fit(row[None]) for row in excess[:3]]
    np.testing.assert_allclose(np.concatenate([one[0] for one in several]), shape[:3], rtol=1e-12)


def test_the_exponential_distribution_is_no_singular_point():
    """b = 0 of the profile, met exactly: 20 excesses whose first quartile is a third of the largest."""
    excess = np.concatenate([np.full(4, 0.3), np.linspace(1 / 3, 0.9, 15), [1.0]])[None]
    shape, sigma = tails.fit(excess)
    nearby = tails.fit(excess * (1 + 1e-9 * np.arange(20)))
    assert shape == pytest.approx(nearby[0], rel=1e-6)
    assert sigma == pytest.approx(nearby[1], rel=1e-6)


def test_the_fit_does_not_depend_on_the_size_of_the_weights():
    log_weight = pareto(0.6, 20, 500)
    expected = tails.describe(log_weight)
    for shift in (-1e5, 700.0, 1e5):
        for found, right in zip(tails.describe(log_weight + shift), expected, strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-9)


def test_the_fitted_mean_of_a_tail_is_that_of_the_distribution():
    """In the mean over many examples the excess makes up for what the drawn tail lacks."""
    log_weight = pareto(0.7, 2000, 500)
    right = math.log(1 + 1 / 0.3)
    found = estimate(log_weight)
    bias = right - found.log_likelihood.mean()
    assert bias > 0.015
    assert found.tail_excess.mean() == pytest.approx(bias, rel=0.6)
    assert (found.tail_error > 0).all()
    low, high = found.mean_interval()
    assert low < right < high
    assert high - found.tail_excess.mean() + found.rise.mean() < right, "the rise alone does not reach it"


@pytest.mark.parametrize("weights", [lognormal(0.2, 50, 1000), lognormal(1, 50, 1000), pareto(0.2, 50, 1000)])
def test_light_weights_do_not_warn(weights):
    found = estimate(weights)
    assert found.warning is None
    assert found.summary()["warning"] is None
    assert found.unreliable_share < 0.3


@pytest.mark.parametrize("weights", [lognormal(3, 50, 1000), pareto(0.8, 50, 1000), pareto(1.4, 1, 1000)])
def test_heavy_weights_warn_and_are_counted(weights):
    found = estimate(weights)
    count = int((found.k_hat > found.k_hat_threshold).sum())
    assert found.k_hat_threshold == pytest.approx(2 / 3)
    assert f"{count} of {len(weights)} examples have a k-hat above 0.67" in found.warning
    assert found.summary()["unreliable_examples"] == count > 0
    assert f"unreliable={count}" in repr(found)


def test_a_few_heavy_examples_that_do_not_matter_do_not_warn():
    heavy = np.log1p(1e-6 * np.exp(pareto(1.2, 2, 1000)))
    found = estimate(np.concatenate([lognormal(1, 50, 1000), heavy]))
    assert found.unreliable[-2:].all()
    assert found.warning is None


@pytest.mark.parametrize(("light", "heavy", "many", "draws"), [(1, 8, 5, 200), (1.5, 5, 15, 1000), (1.5, 8, 3, 1000)])
def test_hopeless_examples_are_not_outweighed_by_many_light_ones(light, heavy, many, draws):
    """Those whose k-hat is above 1 lack more than any error made of their weights says."""
    held, warned = [], []
    for seed in range(5):
        weights = [lognormal(light, 500 - many, draws, 2 * seed), lognormal(heavy, many, draws, 2 * seed + 1)]
        found = estimate(np.concatenate(weights))
        low, high = found.mean_interval()
        held.append(low <= 0 <= high)
        warned.append(found.warning is not None)
    assert np.logical_or(held, warned).all()
    light_only = estimate(weights[0])
    assert light_only.warning is None or light == 1.5


def test_above_a_shape_of_one_more_draws_bring_more():
    """What K times as many draws would add to log mean w of a tail with k > 1 is (k - 1) log K."""
    log_weight = pareto(2, 400, 200)
    found = estimate(log_weight)
    k = np.median(found.k_hat)
    assert k == pytest.approx((2 * 40 + 5) / 50, abs=0.2)
    assert np.median(found.tail_excess) == pytest.approx((k - 1) * math.log(200), rel=0.1)
    more = [np.median(estimate(pareto(2, 40, count, 1)).log_likelihood) for count in (200, 40_000)]
    assert more[1] - more[0] == pytest.approx(math.log(200), rel=0.2)


@pytest.mark.parametrize("weights", [lognormal(1000, 1, 500), np.where(np.arange(500) % 20, -np.inf, 0.0)[None]])
def test_one_infinite_k_hat_warns(weights):
    found = estimate(np.concatenate([lognormal(1, 99, 500), weights]))
    assert np.isposinf(found.k_hat[-1])
    assert found.unreliable_share == 1
    assert "of 100 examples have a k-hat above" in found.warning


@pytest.mark.parametrize("distance", [0, 300, 3000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_interval_has_room_for_rounding(distance, dtype):
    """Of data that lie off the model's plane log p(x) is -7e4 and -7e6, its weights are light; float32 rounds it."""
    exact = linear_gaussian.make(6, 2, backend="numpy")
    linear_gaussian.shift_posterior(exact, log_sigma=0.1)
    model = mv.VAE(**(exact.config | {"dtype": dtype}), backend="numpy")
    for name, value in exact.parameters.items():
        model.parameters[name] = value.astype(dtype)
        exact.parameters[name] = value.astype(dtype).astype(np.float64)
    across = np.linalg.svd(linear_gaussian.matrices(exact)[0])[2][-1]
    x = (linear_gaussian.draw(exact, 20, seed=3) + distance * across).astype(dtype)
    right = linear_gaussian.log_likelihood(exact, x.astype(np.float64))
    found = importance.estimate(model, x, 1000, progress=False)
    low, high = found.interval(0.999).T
    assert ((low <= right) & (right <= high)).all()
    assert found.mean_interval(0.999)[0] <= right.mean() <= found.mean_interval(0.999)[1]
    assert (high - low).max() < 0.1 or (dtype, distance) == ("float32", 3000)


@pytest.mark.parametrize("weights", [lognormal(2, 2000, 500), pareto(0.6, 2000, 500)])
def test_the_interval_holds_where_the_delta_method_fails(weights):
    right = 0.0 if weights.mean() < -1 else math.log(1 + 1 / 0.4)
    groups = [estimate(page) for page in weights.reshape(80, 25, -1)]
    held = np.mean([one.mean_interval()[0] <= right <= one.mean_interval()[1] for one in groups])
    errors = np.array([one.summary()["sampling_error"] for one in groups])
    before = np.mean([abs(one.log_likelihood.mean() - right) for one in groups] <= 1.96 * errors)
    assert before < 0.9
    assert held > 0.93
    each = np.concatenate([one.interval() for one in groups])
    assert np.mean((each[:, 0] <= right) & (right <= each[:, 1])) > 0.93


def test_the_interval_of_light_weights_is_that_of_the_delta_method():
    found = estimate(lognormal(0.2, 400, 2000))
    low, high = found.mean_interval()
    error = found.summary()["sampling_error"]
    mean = found.log_likelihood.mean()
    assert mean - low == pytest.approx(1.96 * error, rel=1e-4)
    assert 1.96 * error <= high - mean < 0.001
    assert found.mean_interval(0.5)[1] < high


def test_the_calibration_of_a_trained_model():
    """Against quadrature, eight seeds: the interval holds, and the delta method's does not."""
    model, test = calibration.pinwheel(1)
    x = test[:40]
    exact = calibration.quadrature(model, x, 9, 0.004)
    np.testing.assert_allclose(calibration.quadrature(model, x, 9, 0.008), exact, atol=1e-6)
    found = list(calibration.measure(model, x, exact, 1000, 12, progress=False))
    _, _, delta, interval = calibration.coverage(found, 0.8)
    assert interval.sum() >= 10
    assert delta.sum() <= 8


def test_too_few_draws_for_k_hat_say_so():
    assert tails.tail_length(95) == 0
    assert tails.tail_length(96) == tails.LEAST
    for count in (1, 2, 3, 95):
        found = estimate(lognormal(1, 3, count))
        assert np.isnan(found.k_hat).all()
        assert found.mean_interval() is None
        assert found.unreliable is None
        summary = found.summary()
        assert f"{count} draws are too few for k-hat" in summary["warning"]
        assert summary["k_hat"] is summary["interval_95"] is summary["unreliable_examples"] is None
        json.dumps(summary, allow_nan=False)
    assert estimate(lognormal(1, 3, 96)).mean_interval() is not None


def test_the_rise_is_that_from_half_to_all_draws():
    log_weight = lognormal(1, 5, 101)
    odd = importance.rise_from_half(log_weight)
    np.testing.assert_array_equal(odd, importance.rise_from_half(log_weight[:, :100]))
    halves = [np.log(np.exp(part).mean(axis=1)) for part in (log_weight[:, :50], log_weight[:, 50:100])]
    np.testing.assert_allclose(odd, np.log(np.exp(log_weight[:, :100]).mean(axis=1)) - sum(halves) / 2, rtol=1e-9)
    assert (odd > 0).all()
    assert np.isnan(importance.rise_from_half(log_weight[:, :1])).all()


@pytest.mark.parametrize("value", [0.0, -87.3, 1e5])
def test_equal_weights_have_no_tail(value):
    rounding = np.random.default_rng(0).integers(-2, 3, (3, 200)) * np.finfo("float32").eps * abs(value)
    found = importance.of_log_weights([value + rounding], 200, "float32")
    np.testing.assert_array_equal(found.k_hat, -np.inf)
    assert found.warning is None
    assert found.mean_interval() == pytest.approx((value, value), abs=1e-6 * (1 + abs(value)))
    assert found.summary()["k_hat"] is None


def test_equal_weights_beside_weights_that_no_float_holds():
    found = estimate(np.stack([np.zeros(200), 1e5 * lognormal(1, 1, 200)[0]]))
    np.testing.assert_array_equal(found.k_hat, [-np.inf, np.inf])
    assert found.summary()["k_hat"] is None
    assert "1 of 2 examples" in found.warning


def test_an_example_that_no_draw_explains():
    log_weight = lognormal(0.5, 4, 200)
    log_weight[1] = -np.inf
    log_weight[2, :100] = -np.inf
    found = estimate(log_weight)
    assert found.log_likelihood[1] == -np.inf
    assert (found.standard_error[1], found.effective_samples[1], found.k_hat[1]) == (np.inf, 0, np.inf)
    np.testing.assert_array_equal(found.interval()[1], [-np.inf, np.inf])
    assert found.interval()[2, 1] == np.inf
    assert np.isfinite(found.interval()[[0, 3]]).all()
    assert "2 of 4 examples have weights of 0" in found.warning
    assert found.mean_interval() is None
    assert found.summary()["log_likelihood"] == -np.inf


@pytest.mark.parametrize("spread", [1e4, 1e7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_that_span_more_than_floats_hold(spread, dtype):
    found = importance.of_log_weights([spread * lognormal(1, 3, 500) - 1e6], 500, dtype)
    np.testing.assert_array_equal(found.k_hat, np.inf)
    assert "3 of 3 examples" in found.warning
    assert np.isfinite(found.interval()).all()


def test_a_model_whose_posterior_is_far_too_narrow_warns():
    model = mv.VAE(3, 2, (4,), likelihood="gaussian", observation_sigma=0.05, seed=1, backend="numpy")
    found = importance.estimate(model, np.random.default_rng(0).standard_normal((5, 3)), samples=200)
    assert re.search(r"[1-5] of 5 examples have a k-hat above 0.57 and make up [0-9]+% of its interval", found.warning)


@pytest.mark.parametrize("level", [0, 1, True, "0.95", float("nan")])
def test_levels_that_are_none(level):
    with pytest.raises(ValueError, match="level: got"):
        estimate(lognormal(1, 2, 100)).interval(level)


def test_the_command_line_says_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = [
        "--data",
        "pinwheel",
        "--size",
        "300",
        "--hidden",
        "8",
        "--latent",
        "1",
        "--epochs",
        "1",
        "--no-pictures",
    ]
    assert main(["train", *options, "--backend", "numpy", "--out", "run"]) == 0
    warned = {}
    for samples in ("50", "500"):
        capsys.readouterr()
        assert main(["evaluate", "run", "--backend", "numpy", "--samples", samples, "--examples", "20"]) == 0
        said = capsys.readouterr().out
        result = json.loads((tmp_path / "run" / "evaluation.json").read_text())
        warned[samples] = result["warning"]
        assert (f"warning: {result['warning']}" in said) == (result["warning"] is not None)
        assert ("k-hat " in said and "95 % interval over the draws" in said) == (samples == "500") or samples == "50"
    assert "50 draws are too few" in warned["50"]
    low, high = result["interval_95"]
    assert low < result["log_likelihood"] < high
    assert f"95 % interval over the draws: {low:.3f} to {high:.3f}" in said
    assert f"above {result['k_hat_threshold']:.2f} for {result['unreliable_examples']} of 20 examples" in said
    assert main(["verify", "run"]) == 0


def test_the_laboratory_writes_the_calibration(tmp_path, monkeypatch):
    for name, value in {"SEEDS": 3, "EXAMPLES": 40, "SAMPLES": 100, "GRIDS": {1: (9, 0.004)}}.items():
        monkeypatch.setattr(calibration, name, value)
    (line,) = calibration.run(tmp_path, progress=False)
    assert "1 latent, K = 100, 3 seeds" in line
    assert (tmp_path / "calibration.png").stat().st_size > 20_000
    with open(tmp_path / "calibration.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["level"]) for row in rows] == list(calibration.LEVELS)
    assert all(float(row["each_interval"]) >= float(row["each_delta"]) for row in rows)


ROOT = Path(__file__).parents[3]


def test_the_table_of_the_docs_is_that_of_the_results_and_keeps_what_it_promises():
    rows = json.loads((ROOT / "benchmarks" / "results" / "coverage.json").read_text())["rows"]
    assert "\n".join(coverage.table(rows)) in (ROOT / "docs" / "log-likelihood.md").read_text()
    assert {row["seeds"] for row in rows} == {100}
    for row in rows:
        assert row["grid_error"] < 0.003
        assert row["warned"] == 1 or row["covered_without_warning"] >= 0.9
    assert any(row["warned"] < 0.5 for row in rows)
    assert any(row["covered_by_delta_method"] < 0.7 for row in rows)
