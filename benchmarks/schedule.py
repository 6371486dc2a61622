"""The messages of all ranks of a sum, played in one process by the code that each of them runs."""

from collections import Counter
from types import SimpleNamespace

import numpy as np

from minivae.kernels import load_backend
from minivae.training.shards import ShardedStep
from minivae.training.team import exchanges


def play(arrays):
    """arrays[r] = the sum over r, in place, by the exchanges of a rank for each; what each sent: (messages, bytes).

    In each round every rank makes its next exchange. RuntimeError where two do not meet, for which MPI would wait for
    ever, or one puts what comes where it sends from.
    """
    ranks = len(arrays)
    programs = [exchanges(array, np.zeros_like(array), rank, ranks) for rank, array in enumerate(arrays)]
    messages, sent = Counter(), Counter()
    while True:
        now = [next(program, None) for program in programs]
        if all(step is None for step in now):
            return [(messages[rank], sent[rank]) for rank in range(ranks)]
        for rank, step in enumerate(now):
            part, partner, _ = step or (None, None, None)
            met = now[partner] if partner is not None else None
            if met is None or met[1] != rank or met[2].size != part.size or np.may_share_memory(part, step[2]):
                raise RuntimeError(f"rank {rank} and rank {partner} do not fit each other")
            messages[rank] += 1
            sent[rank] += part.nbytes
        posted = [part.copy() for part, _, _ in now]
        for _, partner, into in now:
            into[...] = posted[partner]


class Folding(ShardedStep):
    """What a rank does with the gradients of its own shards, which are given here and not computed."""

    def __init__(self, leaves, rank, ranks):
        store = SimpleNamespace(flat=leaves[0], flat_gradients=np.empty_like(leaves[0]))
        self.model = SimpleNamespace(store=store, backend=load_backend("numpy"), dtype=leaves.dtype)
        self.team, self.shards = SimpleNamespace(rank=rank, size=ranks), len(leaves)
        self._leaves, self._sums = leaves, []

    def _one(self, step, shard, rows):
        np.copyto(self.model.store.flat_gradients, self._leaves[shard])

    def folded(self):
        self._own_shards(0, 0)
        return self._sum.copy()


def tree(leaves):
    """The definition: s and s + S/2 first, 0 and 1 last."""
    while len(leaves) > 1:
        half = len(leaves) // 2
        leaves = leaves[:half] + leaves[half:]
    return leaves[0]


def neighbours(leaves):
    """Another tree: 0 and 1 first, as recursive doubling goes whose nearest partner comes first."""
    while len(leaves) > 1:
        leaves = leaves[::2] + leaves[1::2]
    return leaves[0]


def in_line(leaves):
    """One after the other."""
    total = leaves[0].copy()
    for leaf in leaves[1:]:
        total += leaf
    return total


def ring(leaves):
    """As a ring of ranks adds: piece p begins at rank p + 1."""
    pieces = [np.array_split(leaf, len(leaves)) for leaf in leaves]
    count = range(len(leaves))
    return np.concatenate([in_line([pieces[(p + 1 + i) % len(leaves)][p] for i in count]) for p in count])


OTHERS = {"one after the other": in_line, "nearest partner first": neighbours, "a ring": ring}


def gradients(shards, size, seed=0):
    """Numbers whose sums round differently in every order."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((shards, size)) * np.exp(rng.standard_normal((shards, 1)))).astype(np.float32)


def simulate(ranks, shards, size):
    """Plays one sum and returns lines on it; AssertionError where a rank ends with other bits than the tree."""
    leaves = gradients(shards, size)
    arrays = [Folding(leaves, rank, ranks).folded() for rank in range(ranks)]
    sent = play(arrays)
    expected = tree(leaves)
    assert all(array.tobytes() == expected.tobytes() for array in arrays)
    levels, most = ranks.bit_length() - 1, max(count for _, count in sent)
    yield f"{ranks} ranks, {shards} shards, {size} floats: all ranks have the bits of the tree over all shards"
    for name, order in OTHERS.items():
        other = np.count_nonzero(order(leaves) != expected)
        yield f"  {name}: {other} of {size} numbers have other bits ({other / size:.0%})"
    yield f"  messages a rank: {min(sent)[0]} to {max(sent)[0]}, the formula's {2 * levels}"
    yield (
        f"  bytes a rank: at most {most}, on average {sum(count for _, count in sent) / ranks:.1f},"
        f" the formula's {2 * 4 * size * (ranks - 1) / ranks:.1f}"
    )
