"""The laboratory: its slopes against theory, its mistakes against what they are said to do, its files."""

import csv
import math
import re
from pathlib import Path

import numpy as np
import pytest

from minivae.command.main import main
from minivae.lab import collapse, exercises, linear_gaussian, sigma, variance
from minivae.lab import signal_to_noise as bounds


def test_signal_to_noise_slopes_are_those_of_theory():
    """+1/2 in M; in K +1/2 for theta, -1/2 for phi under iwae (Rainforth et al., theorem 1), no fall for dreg."""
    rows = bounds.measure(seed=1, progress=False, rows=1_000_000)
    fitted = bounds.slopes(rows)
    expected = {("K", "theta"): 0.5, ("K", "phi_iwae"): -0.5, ("K", "phi_dreg"): 0.5}
    expected |= {("M", curve): 0.5 for curve in bounds.CURVES}
    for key, slope in expected.items():
        assert fitted[key] == pytest.approx(slope, abs=0.05), key
    # ten settings of two components: 3.9 is exceeded once in 500 runs if dreg is unbiased
    assert max(row["bias_z"] for row in rows) < 3.9


def test_the_bound_curve_ends_at_the_exact_log_likelihood():
    curve = bounds.curve_rows(examples=200)
    values = [row["bound"] for row in curve]
    assert (np.diff(values) > 0).all()
    assert values[-1] == pytest.approx(curve[0]["log_likelihood"], abs=0.01)


def test_the_closed_form_of_principal_components():
    """log p(x) against a numerical integral over one latent, and the posterior against Bayes' rule."""
    model = linear_gaussian.make(3, 1, backend="numpy")
    x = linear_gaussian.draw(model, 2)
    w, b, variance_ = linear_gaussian.matrices(model)
    z = np.linspace(-12, 12, 20_001)[:, None]
    prior = -0.5 * z[:, 0] ** 2 - 0.5 * math.log(2 * math.pi)
    for row, exact in zip(x, linear_gaussian.log_likelihood(model, x), strict=True):
        joint = prior - 0.5 * ((row - z @ w - b) ** 2).sum(1) / variance_ - 1.5 * math.log(2 * math.pi * variance_)
        density = np.exp(joint)
        total = density.sum() * (z[1, 0] - z[0, 0])
        assert math.log(total) == pytest.approx(exact, rel=1e-9)
        mu, s = model.encode(row[None])
        mean = density @ z[:, 0] / density.sum()
        assert mu[0, 0] == pytest.approx(mean, rel=1e-9)
        assert s[0, 0] ** 2 == pytest.approx(density @ (z[:, 0] - mean) ** 2 / density.sum(), rel=1e-9)


@pytest.fixture(scope="module")
def last_epochs():
    """The last row of each variant, trained on two kinds of rows of 784 noisy pixels: a bit's worth of information."""
    rng = np.random.default_rng(0)
    kind = rng.random((600, 1)) < 0.5
    data = np.where(rng.random((600, 784)) < np.where(kind, 0.9, 0.1), 255, 0).astype(np.uint8)
    return {
        variant: collapse.train(variant, data[:500], data[500:], seed=0, epochs=15)[-1] for variant in collapse.VARIANTS
    }


def test_each_mistake_does_what_is_said_of_it(last_epochs):
    for row in last_epochs.values():
        assert row["minus_elbo"] == pytest.approx(row["nll"] + row["kl"], rel=1e-6)
    assert last_epochs["right"]["active_units"] >= 1
    assert last_epochs["mean"]["active_units"] == 0
    assert last_epochs["mean"]["kl"] < 0.1
    assert last_epochs["softplus-exp"]["median_sigma"] > 1
    assert last_epochs["no-kl"]["kl"] > 3 * last_epochs["right"]["kl"]
    # the one gradient that sigma gets without the reconstruction's is the KL's, whose optimum is 1
    assert last_epochs["fresh-noise"]["median_sigma"] > 0.8


def test_softplus_and_exp_at_both_ends():
    rho = np.array([-90.0, -5.0, 0.0, 5.0, 60.0])
    soft, exp = (sigma.evaluate(rho, scale) for scale in ("softplus", "exp"))
    assert soft["sigma"][-1] == pytest.approx(60)
    assert exp["sigma"][-1] == pytest.approx(math.exp(60), rel=1e-5)
    assert np.isinf(exp["dkl"][-1])
    assert np.isfinite(soft["dkl"]).all()
    np.testing.assert_allclose(soft["dkl"][:2], [-1, -1], atol=0.01)
    assert sigma.descend("softplus", 30.0)[-1] == pytest.approx(1, abs=1e-3)
    assert sigma.descend("exp", 0.01)[-1] == pytest.approx(1, abs=1e-3)
    assert sigma.descend("exp", 30.0)[1] < 1e-30


def test_the_table_of_variances_holds_exact_and_measured_values(monkeypatch):
    monkeypatch.setattr(variance, "DRAWS", 4000)
    from minivae import estimators
    from minivae.estimators.functions import Quadratic

    rows = list(variance.rows_for("k", Quadratic(2.0), estimators.Normal(1.0, 1.0), 2.0, np.random.default_rng(0)))
    assert len(rows) == 8
    for row in rows:
        cost = 2 if row["estimator"] == "measure_valued" else 1
        assert row["variance_at_equal_cost"] == cost * row["exact_variance"]
        assert abs(row["measured_variance"] - row["exact_variance"]) < 5 * row["standard_error"]


def test_pathwise_against_measure_valued_at_equal_cost():
    """f = (z - k)^2: for mu they cross at crossing() sigma; for sigma one wins by draw, the other by cost."""
    from minivae import estimators
    from minivae.estimators.functions import Quadratic

    for d, scale in ((0.0, 1.0), (1.3, 1.0), (1.4, 1.0), (-2.0, 0.6), (0.7, 0.5)):
        exact = Quadratic(0.0).variances(estimators.Normal(d, scale))
        path, measure = exact["pathwise"], exact["measure_valued"]
        assert (path[0] > 2 * measure[0]) == (abs(d) < variance.crossing(2) * scale)
        assert (path[0] > measure[0]) == (abs(d) < variance.crossing() * scale)
        assert measure[1] < path[1] <= 2 * measure[1]


def test_the_command_writes_tables_and_figures(tmp_path, capsys, monkeypatch):
    out = tmp_path / "new" / "lab"
    assert main(["lab", "sigma", "--out", str(out)]) == 0
    assert (out / "sigma.png").stat().st_size > 20_000
    with open(out / "sigma.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["scale"] for row in rows} == {"softplus", "exp"}
    printed = capsys.readouterr().out
    assert "exp, float32: sigma is 0 up to rho = -104; dKL/drho is infinite from 45" in printed
    assert "softplus, float32: sigma is 0 up to rho = -104; dKL/drho is finite everywhere" in printed
    monkeypatch.setattr(exercises, "ANSWERS", exercises.ANSWERS[:2])
    assert main(["lab", "exercises", "--out", str(out)]) == 0
    assert "|mu - k| = 1.9131 per draw, 1.3527 at equal evaluations" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["lab", "alchemy"])
    capsys.readouterr()
    assert main(["lab", "sigma", "--out", str(out / "sigma.csv")]) == 2
    assert "--out: cannot make" in capsys.readouterr().err


LESSON = Path(__file__).parents[3] / "docs" / "backprop-through-sampling.md"


def test_the_lesson_gives_the_answers_that_the_laboratory_computes():
    text = LESSON.read_text(encoding="utf-8")
    for answer in exercises.ANSWERS:
        assert answer() in text, answer.__name__


def test_the_pictures_of_the_lesson_are_there():
    for picture in re.findall(r"\]\((images/\S+)\)", LESSON.read_text(encoding="utf-8")):
        assert (LESSON.parent / picture).stat().st_size > 10_000
