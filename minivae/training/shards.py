"""A step whose batch is cut into shards, minibatches of their own, computed by one process or by several."""

from typing import Any

import numpy as np

from ..losses import Tally
from .non_finite import first_non_finite
from .replay import Replay, overrides
from .step import TrainingStep

TERMS, LOSSES = slice(0, 6), slice(6, 12)
PASSES = "forward", "backward", "pass_down", "pass_up", "elbo_terms"


class ShardedStep(TrainingStep):
    """A `TrainingStep` as S shards.

    Shard s of step t has the rows s B/S .. (s + 1) B/S - 1 of the batch and the clock t S + s, of which its pixels and
    its noise are functions, whoever computes it. Its gradient is that of its part of the mean over the whole batch;
    `Team` says in which order gradients are added. Last come sums of the loss and flags, in float64: each rank has all
    of them in the same step.

    Parameters
    ----------
    shards : S, a power of two that divides batch_size, and that the ranks divide
    team : a `Team`
    """

    def __init__(self, model, data, batch_size, optimizer, pixels, seed, beta, shards, team):
        self.shards, self.team = shards, team
        self._rows_of_shard = batch_size // shards
        self._shard_clock = model.backend.zeros((1,), "int64")
        self.part = Tally(model, self._shard_clock)
        self._sum: Any = None  # of this rank's shards, an array
        self._sums, self._where = [], None
        self._agreed = [False] * 12
        super().__init__(model, data, batch_size, optimizer, pixels, seed, beta)
        # as many places as whole batches have, so that a shard's clock leads to its rows
        if self._unseen is None or self._unseen.order is None:
            self._order = model.backend.from_host(np.resize(np.arange(len(data)), self.batches * batch_size))
        self._table = np.zeros((shards + 1, 12))
        self._met = set()

    def _make_replays(self):
        self.replay = Replay(self, self._shard, self._beta)
        self._replayed_update = Replay(self, lambda _: self._update(), self._beta)
        self.replays = [self.replay, self._replayed_update]

    def arrays(self):
        return [*super().arrays(), self.part.terms, self.part.losses]

    def _put_order(self, order):
        super()._put_order(np.resize(order, self._order.shape))

    def __exit__(self, *exception):
        super().__exit__(*exception)
        del self._replayed_update

    def __call__(self, step):
        team, backend, rows = self.team, self.model.backend, self._begin(step)
        in_turn = _now if rows in self._met else team.in_turn
        self._table[...] = 0.0
        try:
            in_turn(lambda: self._own_shards(step, rows))
            self._table[-1, : len(self.flags)] = [flag() for flag in self.flags]
            self._agreed = (team.merge(self._table)[-1] > 0).tolist()
            team.total(self._sum)
            if not backend.on_host:
                backend.assign(self.model.store.flat_gradients, self._sum)
            self._add_up(step)
            in_turn(lambda: self._replayed(self._replayed_update, 0, step))
        except BaseException:
            self.model.revert()
            raise
        self._met.add(rows)
        self.made += 1
        return rows

    def raised(self, flag):
        return self._agreed[flag] if self.team.size > 1 else super().raised(flag)

    def first_non_finite(self):
        return next(filter(None, self.team.gather(self._where)), None)

    def _own_shards(self, step, rows):
        """`_sum`, in host memory: that over this rank's shards, in whose tree pairs meet as in a binary counter."""
        store, backend, sums = self.model.store, self.model.backend, self._sums
        own = range(self.team.rank, self.shards, self.team.size)
        if len(sums) < len(own).bit_length() - 1 or (sums and sums[0].shape != tuple(store.flat.shape)):
            sums[:] = [np.empty(tuple(store.flat.shape), self.model.dtype) for _ in range(len(own).bit_length() - 1)]
        depth = 0
        for i in range(len(own)):
            self._one(step, own[_reversed(i, len(own))], rows)
            total, last, pairs = backend.to_host(store.flat_gradients), i + 1 == len(own), i + 1
            while pairs % 2 == 0:
                depth, pairs = depth - 1, pairs // 2
                total = np.add(sums[depth], total, out=total if last else sums[depth])
            if pairs == i + 1 and not last:
                np.copyto(sums[depth], total)
            depth += 1
        self._sum = total

    def _one(self, step, shard, rows):
        model, backend = self.model, self.model.backend
        own = min(max(rows - shard * self._rows_of_shard, 0), self._rows_of_shard)
        if not own:
            backend.assign(model.store.flat_gradients, 0.0)
            return
        backend.assign(self._shard_clock, step * self.shards + shard)
        self.part.reset()
        own_mean = overrides(model, *PASSES)  # which know of no other rows than their own
        model.batch_rows = None if own_mean else rows
        try:
            self._replayed(self.replay, (own, rows), step)
        finally:
            model.batch_rows = None
        self._table[shard, TERMS], self._table[shard, LOSSES] = self.part.capture()
        if self._table[shard, [4, 10]].any() and self._where is None:
            self._where = first_non_finite(model)
        if own_mean:
            gradients = backend.to_host(model.store.flat_gradients) * np.asarray(own / rows, model.dtype)
            backend.assign(model.store.flat_gradients, gradients)

    def _shard(self, rows):
        """rows : those of the shard, and of its batch, which the weights of a recorded pass depend on."""
        self._pass(rows[0], self._shard_clock, self._rows_of_shard, self.part)

    def _add_up(self, step):
        """Adds the shards' sums to the epoch's, as one batch."""
        totals = self.tally.capture()
        for sums, shards in zip(totals, (self._table[:-1, TERMS], self._table[:-1, LOSSES]), strict=True):
            batch = shards.sum(axis=0)
            if not batch[2]:
                continue
            loss = batch[5] / batch[2]
            sums[[0, 1, 2, 5]] += batch[[0, 1, 2, 5]]
            sums[3] = loss
            if not np.isfinite(loss) and not sums[4]:
                sums[4] = step + 1
        self.tally.restore(totals)


def _now(work):
    work()


def _reversed(i, count):
    """The place of leaf i of a tree of `count` leaves whose pairs lie half of all apart: its bits in reverse."""
    bits = count.bit_length() - 1
    return int(f"{i:0{bits}b}"[::-1], 2) if bits else 0
