"""The corpus of benchmarks/gradcheck in small: every bug is seen and told of, right code passes."""

import pytest

from benchmarks.gradcheck import awkward, verify
from benchmarks.gradcheck.corpus import FAMILIES, judged
from minivae.gradcheck import check_gradients


def assert_answered(cases):
    answers = [(case, *judged(case, check_gradients)) for case in cases]
    bad = [f"{verdict}: {c.name}, to be said: {c.says!r}\n{text}" for c, verdict, text in answers if verdict != "ok"]
    assert not bad, f"{len(bad)} of {len(answers)}\n" + "\n\n".join(bad)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_right_code_passes(dtype):
    families = [family for family in FAMILIES.values() if dtype in family.dtypes]
    assert len(families) >= 30
    assert_answered(family.right(seed, dtype) for seed, family in enumerate(families))


def test_every_bug_is_seen_and_told_of():
    cases = [family.wrong(bug) for family in FAMILIES.values() for bug in family.bugs]
    assert len(cases) >= 179 + 60
    assert_answered(cases)


def test_awkward_dress():
    assert_answered(awkward.cases())


def test_the_corpus_is_what_it_says():
    """Plain differences that share no code with the checker: right code is right, bugs are bugs."""
    assert not list(verify.mistakes())
