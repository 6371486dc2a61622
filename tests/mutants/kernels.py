"""Bugs in the kernels that move data and numbers about."""

import numpy as np

from .registry import after, before, instead


@before("gather")
def batch_starts_late(a):
    """The batch begins one row too late."""
    a.order = np.roll(a.order, -1)


@before("gather")
def order_ignored(a):
    """The rows come in the order of the data: nothing is shuffled."""
    a.order = np.arange(len(a.order))


@after("gather")
def bytes_over_256(a):
    """Bytes are divided by 256."""
    if a.data.dtype == np.uint8 and a.pixels == "grey":
        a.x *= 255 / 256


@instead("gather")
def threshold_inclusive(a):
    """The threshold is at 100, not above one half."""
    a.original(*a.arguments)
    if a.pixels == "threshold" and a.data.dtype == np.uint8:
        start = int(a.clock[0]) % -(-len(a.order) // a.batch_size) * a.batch_size
        a.x[...] = a.data[a.order[start : start + len(a.x)]] >= 100


@before("gather")
def binarised_once(a):
    """Dynamic binarisation draws the same pixels in every epoch."""
    if a.pixels == "dynamic":
        a.clock = a.clock % -(-len(a.order) // a.batch_size) if a.clock[0] > 2 else a.clock


@after("gather")
def same_uniform_for_rows(a):
    """One uniform per column decides for all rows of the batch."""
    if a.pixels == "dynamic" and len(a.x) > 1:
        a.x[1:] = a.x[:1]


@after("gather")
def short_batch_padded(a):
    """The last, short batch repeats its first row."""
    if len(a.x) < a.batch_size:
        a.x[-1] = a.x[0]


@after("accumulate")
def nll_not_averaged(a):
    """nll is summed over samples where their mean is meant."""
    a.totals[0] += float(np.sum(a.nll)) * (1 - len(a.kl) / len(a.nll))


@after("accumulate")
def beta_on_the_wrong_term(a):
    """beta multiplies the nll."""
    n = len(a.kl)
    a.totals[3] = (a.beta[0] * float(np.sum(a.nll)) * n / len(a.nll) + float(np.sum(a.kl))) / n


@after("accumulate")
def divergence_not_noted(a):
    """The step at which the loss stopped being finite is not kept."""
    a.totals[4] = 0


@after("accumulate")
def kl_of_the_sum_unweighted(a):
    """beta weighs the KL in the batch's loss and not in the epoch's."""
    a.totals[5] += (1 - a.beta[0]) * float(np.sum(a.kl))


@instead("accumulate")
def race_in_the_sum(a):
    """Two threads add to the total at once and now and then one addition is lost. Seen: numba 3522, 5942."""
    a.original(*a.arguments)
    rng = a.state.setdefault("rng", np.random.default_rng(0))
    a.totals[0] -= float(a.nll[0]) * (rng.random() < 0.5)


@before("standard_normal")
def step_ignored(a):
    """The noise does not depend on the step."""
    a.clock = np.zeros_like(a.clock)


@before("standard_normal")
def stream_ignored(a):
    """All streams give the same numbers."""
    a.stream = 0


@after("standard_normal")
def noise_tail_repeated(a):
    """Elements behind the last full block of 4 repeat the first ones."""
    flat = a.noise.reshape(-1)
    tail = flat.size % 4
    if tail and flat.size > 4:
        flat[-tail:] = flat[:tail]


@after("standard_normal")
def noise_too_wide(a):
    """Normals with standard deviation sqrt(2): Box-Muller without its half."""
    a.noise *= np.sqrt(2)


@before("standard_normal")
def seed_in_32_bits(a):
    """The upper half of the seed is lost."""
    a.seed = a.seed % 2**32
