"""The messages of a sum over many ranks, all played in one process: bits, counts, and what the model of time says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import scaling, schedule

LEVELS = st.integers(0, 6)


def played(ranks, shards, size):
    """(what each rank has at the end, what each sent, the sum that all should have)."""
    leaves = schedule.gradients(shards, size)
    arrays = [schedule.Folding(leaves, rank, ranks).folded() for rank in range(ranks)]
    return arrays, schedule.play(arrays), schedule.tree(leaves)


@given(LEVELS, st.integers(0, 2), st.integers(1, 300))
def test_every_rank_has_the_bits_of_one_tree_over_all_shards(levels, more, size):
    """Also of sums with fewer elements than there are ranks, where some messages are empty."""
    ranks = 2**levels
    arrays, sent, expected = played(ranks, ranks * 2**more, size)
    assert {array.tobytes() for array in arrays} == {expected.tobytes()}
    assert {messages for messages, _ in sent} == {2 * levels}
    assert sum(count for _, count in sent) == 2 * 4 * size * (ranks - 1)
    share = 2 * 4 * size * (ranks - 1) / ranks
    assert all(abs(count - share) <= 8 * levels for _, count in sent)


def test_512_ranks():
    assert "all ranks have the bits" in next(schedule.simulate(512, 512, 1001))


def test_other_orders_have_other_bits():
    leaves = schedule.gradients(64, 1000)
    for name, order in schedule.OTHERS.items():
        np.testing.assert_allclose(order(leaves), schedule.tree(leaves), rtol=0, atol=1e-3)
        assert np.count_nonzero(order(leaves) != schedule.tree(leaves)) > 500, name
        np.testing.assert_array_equal(order(leaves[:2]), schedule.tree(leaves[:2]), name)


def wrong_partner(array, other, rank, size):
    for part, partner, into in EXCHANGES(array, other, rank, size):
        yield part, partner ^ (rank == 3), into


def early_end(array, other, rank, size):
    yield from list(EXCHANGES(array, other, rank, size))[: 1 if rank == 3 else None]


def other_half(array, other, rank, size):
    for part, partner, into in EXCHANGES(array, other, rank, size):
        yield part[: -1 if rank == 3 else None], partner, into


def onto_itself(array, other, rank, size):
    for part, partner, _ in EXCHANGES(array, other, rank, size):
        yield part, partner, part


EXCHANGES = schedule.exchanges


@pytest.mark.parametrize("fault", [wrong_partner, early_end, other_half, onto_itself])
def test_ranks_that_do_not_fit_each_other_are_told_of(fault, monkeypatch):
    monkeypatch.setattr(schedule, "exchanges", fault)
    with pytest.raises(RuntimeError, match="do not fit each other"):
        played(8, 8, 64)


def test_the_model_by_hand():
    network = scaling.Network("one", 1e-6, 1e9, "", "")
    assert math.isclose(scaling.seconds(8e6, 2, network, 4e9), 2e-6 + 8e-3 + 1e-3)
    assert math.isclose(scaling.seconds(8e6, 8, network, 4e9), 6e-6 + 14e-3 + 1.75e-3)
    assert scaling.seconds(8e6, 1, network, 4e9) == 0


def test_the_page_has_the_tables_of_the_model():
    page = scaling.PAGE.read_text(encoding="utf-8")
    between = page.split(scaling.BEGIN)[1].split(scaling.END)[0]
    assert between.strip() == "\n".join(scaling.tables(scaling.COMPUTES, scaling.ADDING)).strip(), (
        "run python -m benchmarks.scaling model --write"
    )
