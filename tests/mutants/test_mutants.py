"""The checks are checked: every planted bug is seen, and the code without it passes."""

import pytest

from minivae import kernels
from minivae.selfcheck.catalog import gradient_checks, minivae_parts
from minivae.selfcheck.conduct_checks import conduct_checks
from minivae.selfcheck.kernel_checks import kernel_checks

from . import MUTANTS
from .judge import refused, rival_verdicts, seen_by

BACKENDS = [name for name in kernels.available_backends() if kernels.load_backend(name).on_host]
CHECKS = [c for c in gradient_checks() + conduct_checks() + kernel_checks() if "float64" in c.dtypes]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.section}, {check.name}, {check.what}")
def test_right_code_passes(check, backend):
    assert refused(check, minivae_parts(backend)) is None


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_seen(name):
    found = seen_by(MUTANTS[name], first=True)
    assert found, f"{name} survives: {MUTANTS[name].breaks}"


def test_there_are_enough_of_them_and_each_says_what_it_breaks():
    assert len(MUTANTS) >= 60
    assert all(len(mutant.breaks) > 10 for mutant in MUTANTS.values())
    assert sum(bool(mutant.seen) for mutant in MUTANTS.values()) >= 25


def test_consistent_samplers_pass_every_difference_and_fail_the_distribution():
    """Why differences are not enough: forward and backward agree, and the samples are not from q."""
    mutant = MUTANTS["VarianceAsStandardDeviation"]
    found = seen_by(mutant)
    assert "gradient" not in found
    assert "samples against q" in found
    assert "a variance taken for a standard deviation" in found["samples against q"]
    parts = mutant.plant(minivae_parts())
    assert not rival_verdicts(parts, mutant.target)["torch settings"]


def test_rivals_pass_the_right_layers_that_do_not_sample():
    for target in ("Dense", "Bernoulli"):
        assert not any(rival_verdicts(minivae_parts(), target).values())
    # a fresh draw refuses every sampler, the right one too
    right = {"torch settings": False, "one coordinate": False, "fresh draw": True}
    assert rival_verdicts(minivae_parts(), "Reparameterize") == right
