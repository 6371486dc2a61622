"""The derivations: the page prints what the code computes, and what is derived is what is computed."""

import re
from pathlib import Path

import numpy as np
import pytest

from minivae.lab import derivations, graphs

PAGE = Path(__file__).parents[3] / "docs" / "derivations.md"


@pytest.fixture(scope="module")
def checks():
    return {check.__name__: check() for check in derivations.CHECKS}


def test_the_page_prints_the_numbers_of_the_code(checks):
    printed = re.findall(r"```text\n(.*?)\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert printed == list(checks.values())


def test_what_is_derived_is_what_is_computed(checks):
    exact = ("jensen", "gap", "gaussian_kl", "bernoulli", "iwae_gradient", "doubly")
    assert set(checks) == {*exact, "exchange", "monotone", "rates"}
    for name, text in checks.items():
        for derived, code in re.findall(r"derived (\S+?), code (-?\d+\.\d+)", text):
            assert float(code) == pytest.approx(float(derived), rel=1e-12 if name in exact else 0.01), name
    assert sum(text.count("derived") for text in checks.values()) == 17


def test_what_is_unequal_is_said_to_be():
    """The bias of sticking the landing with two draws, the path across a jump, the order of the bounds."""
    bounds = [derivations.mean_bound(samples)[0] for samples in derivations.KS]
    assert (np.diff([*bounds, derivations.log_p()]) > 0.01).all()
    unbiased, dropped = (derivations.mean_bound(2, name)[1] for name in ("dreg", "stl"))
    assert (np.abs(unbiased - dropped) > 0.1).all()
    np.testing.assert_allclose(derivations.mean_bound(2)[1], unbiased, atol=1e-5)
    assert derivations.exchange().endswith("jump, pathwise: 0.00, wrong")


def test_the_graphs_show_the_gradients_of_the_layer(tmp_path):
    """f = z^2 at mu = 1, sigma = 0.5, noise 0.6: by hand, and by the closed form of E[f] = mu^2 + sigma^2."""
    rows = graphs.measure()
    assert [rows[name]["value"] for name in ("z", "f")] == pytest.approx([1.3, 1.69])
    assert [rows[name]["gradient"] for name in ("z", "mu", "sigma")] == pytest.approx([2.6, 2.6, 1.56])
    for name, exact in (("mu", 2.0), ("sigma", 1.0)):
        assert rows[name]["exact_gradient"] == exact
        assert rows[name]["mean_gradient"] == pytest.approx(exact, abs=0.02)
    assert len(graphs.run(tmp_path)) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"graphs.csv", "graphs.png"}
