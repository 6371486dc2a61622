"""Bits back: pixels onto a stack at the price of the negative ELBO, or of the bound with K draws.

To push an image x, K draws of z are popped from q(z|x): the bits on the stack choose them, and are not lost. One of
them, c, is popped with its importance weight w_c = p(x, z_c) / q(z_c|x) as its probability. The others are pushed back
as draws from q, then x given z_c, then z_c under the prior, then c, each of K as likely. The decoder pops in reverse,
and pushes what was popped: the bits come back. The net price of an image is on average

    -log2 p(x, z_c) - sum_(k != c) log2 q(z_k|x) - log2(1/K) + sum_k log2 q(z_k|x) + log2(w_c / sum_k w_k)
        = -log2 (1/K) sum_k w_k,

the bound L_K of `bounds.py` in bits, for K = 1 the negative ELBO.

Images are pushed in groups that grow: first the number of draws, from 1 to K, then the number of images. A group takes
the bits for its draws from what those before it left, so what must be there at the start are the bits for one draw,
while the networks see many rows.

Source: Townsend, Bird and Barber (arXiv:1901.04866), K = 1; Ruan et al. (arXiv:2102.11086), section 3.3.
"""

from functools import cached_property

import numpy as np

from ..errors import expect
from ..kernels import coder, load_coder
from ..parameters.memory import expect_room
from . import tables
from .networks import Networks
from .tables import ONE

BUCKET_BITS = 12  # z takes 2^12 values a latent, all as likely under the prior
MOST_ROWS = 512  # of z in a group
TRIED = 32  # images by which the growth of groups is chosen
GROWTH_BITS = 16
SLOWEST, FASTEST = 1 << GROWTH_BITS >> 10, 4 << GROWTH_BITS  # so that a million images are ten thousand groups at most
FEW = 64  # initial words that need no second try
INDEX_BITS = 24  # of the index of a draw


class Stack:
    """Symbols as one number: a state and 32-bit words (`kernels/coder.py`)."""

    def __init__(self, words=()):
        self.code = load_coder()
        self.state = np.array([coder.LOW, 0, 0, 0], np.int64)
        self._words = np.zeros(64, np.uint32)
        if len(words):
            low, high = (int(word) for word in words[-2:])
            expect(high < coder.LOW and (high or low >= coder.LOW), "data", "a damaged state", "words of a file")
            self._words = np.concatenate([words[:-2].astype(np.uint32), self._words])
            self.state[:2] = high << 32 | low, len(words) - 2

    def words(self):
        """All there is, as uint32: the stack and, last, the state."""
        x, top = (int(value) for value in self.state[:2])
        return np.append(self._words[:top], np.array([x & coder.WORD, x >> 32], np.uint32))

    @property
    def bits(self):
        """What the symbols pushed so far take, less what was there at the start: the same float64 everywhere, for how
        fast groups grow follows from it.
        """
        x, top, drawn = (int(value) for value in self.state[:3])
        return tables.log2_ratio(x, coder.LOW) + 32 * (top - drawn)

    @property
    def drawn(self):
        """Initial words that were taken."""
        return int(self.state[coder.DRAWN])

    def reserve(self, bits):
        """Makes room for so many bits more."""
        needed = int(self.state[coder.TOP]) + bits // 32 + 64
        if needed > self._words.size:
            self._words = np.concatenate([self._words, np.zeros(max(needed, self._words.size), np.uint32)])

    def push(self, kind, *arguments):
        """What is pushed must have been popped from the same masses, or have some: ValueError where it has none."""
        getattr(self.code, f"push_{kind}")(self.state, self._words, *arguments)
        expect(not self.state[coder.FULL], "data", "damaged words", "what was compressed with this model")

    def pop(self, kind, *arguments):
        getattr(self.code, f"pop_{kind}")(self.state, self._words, *arguments)

    def expect_whole(self):
        """ValueError where words were popped that nobody pushed: only encoding takes initial words."""
        expect(not self.drawn, "data", "too few words", "what was compressed with this model")

    def expect_start(self):
        """ValueError unless the stack is as at the start: its words, in reverse, are the initial ones."""
        x, top = (int(value) for value in self.state[:2])
        back = [self.code.initial_word(top - 1 - i) for i in range(top)]
        same = x == coder.LOW and self._words[:top].tolist() == back
        expect(same, "data", "words that do not end as they began", "what was compressed with this model")


class Codec:
    """Codes pixels (n, features) uint8 with a model's `Networks`: 0 and 1, or bytes.

    samples : K. buckets : 2^bits values of each z.
    """

    def __init__(self, networks: Networks, samples: int = 1, bucket_bits: int = BUCKET_BITS) -> None:
        self.networks, self.samples, self._bucket_bits = networks, samples, bucket_bits
        self._head, self._outputs = networks.head(), networks.outputs()
        self._edges, centres = tables.prior_buckets(1 << bucket_bits)
        self._centres = np.rint(centres * ONE)
        self._sigmas, self._phi = tables.sigmas(networks.scale), tables.normal_distribution()
        self._code = load_coder()
        self._pixels = "bytes" if networks.of_bytes else "bernoulli"
        # what a layer puts out is looked at by numbers of eight bytes, five of which may be there at once
        widest = max(layer.weight.shape[1] for layer in (*networks.encoder, *networks.decoder))
        expect_room("samples", samples, 40 * max(MOST_ROWS, samples) * widest)

    # What the networks say

    def _posterior(self, x):
        head, latent = self._head(x.astype(np.float64)), self.networks.latent
        rho = tables.on_grid(head[:, latent:], tables.RHO_STEPS, tables.RHO_LIMIT)
        return np.ascontiguousarray(head[:, :latent] * (1 / ONE)), self._sigmas[rho]

    def _likelihood(self, z):
        """The arguments of the coder's functions that follow the pixels, a row for each row of z."""
        output, features = self._outputs(self._centres[z]), self.networks.features
        if not self.networks.of_bytes:
            return tables.on_grid(output, tables.LOGIT_STEPS, tables.LOGIT_LIMIT), tables.pixel_masses()
        first, second = output[:, :features], output[:, features:]
        if self.networks.likelihood == "beta_binomial":
            grid = tables.LOG_STEPS, tables.LOG_LIMIT
            alpha, beta = (tables.exponentials(*grid)[tables.on_grid(part, *grid)] for part in (first, second))
            return 0, alpha, beta, self._sigmoid
        grid = tables.SCALE_STEPS, tables.SCALE_LIMIT
        scale = tables.exponentials(*grid)[tables.on_grid(second, *grid)] * (255 / 8)
        return 1, 127.5 + first * (255 / ONE), scale, self._sigmoid

    @cached_property
    def _sigmoid(self):
        return tables.logistic_distribution()

    def _rows(self, likelihood, rows):
        """The likelihood of some rows of z alone."""
        return tuple(part[rows] if getattr(part, "ndim", 0) == 2 else part for part in likelihood)

    def _choice(self, x, z, draws, posterior, likelihood):
        """The masses below each of K draws, (n, K + 1)."""
        starts = np.zeros((len(x), draws + 1), np.int64)
        starts[:, -1] = 1 << coder.CHOICE_BITS
        if draws > 1:
            ours, theirs = np.zeros(len(z), np.int64), np.zeros(len(z), np.int64)
            logs = tables.logarithms()
            getattr(self._code, f"log2_{self._pixels}")(x, *likelihood, logs, ours)
            self._code.log2_normal(z, *posterior, self._edges, self._phi, logs, theirs)
            # the buckets are as likely under the prior, so that it does not matter
            self._code.choice_starts((ours - theirs).reshape(len(x), -1), tables.powers(), starts)
        return starts

    # Pushing and popping images

    def _room(self, n, draws):
        """Bits that n images take at most."""
        pixel = coder.BYTE_BITS if self.networks.of_bytes else coder.PIXEL_BITS
        posterior = draws * self.networks.latent * coder.NORMAL_BITS
        choice = coder.CHOICE_BITS + INDEX_BITS + self.networks.latent * self._bucket_bits
        return n * (self.networks.features * pixel + posterior + choice)

    def push(self, stack, x, draws):
        """One group; returns the bits that its draws of z were made of."""
        n, latent = len(x), self.networks.latent
        stack.reserve(self._room(n, draws))
        before = stack.bits
        posterior = self._posterior(x)
        repeated = tuple(np.repeat(part, draws, axis=0) for part in posterior)
        z, chosen = np.empty((n * draws, latent), np.int64), np.empty(n, np.int64)
        stack.pop("normal", z, *repeated, self._edges, self._phi)
        taken = before - stack.bits
        likelihood = self._likelihood(z)
        starts = self._choice(x, z, draws, posterior, likelihood)
        stack.pop("choice", chosen, starts)
        ours = np.arange(n) * draws + chosen
        others = np.delete(np.arange(n * draws), ours)
        stack.push("normal", z[others], *(part[others] for part in repeated), self._edges, self._phi)
        stack.push(self._pixels, x, *self._rows(likelihood, ours))
        stack.push("uniform", z[ours], 1 << self._bucket_bits, self._bucket_bits)
        stack.push("uniform", chosen, draws, INDEX_BITS)
        return taken

    def pop(self, stack, x, draws):
        """The inverse: fills x (n, features) with the group that was pushed last."""
        n, latent = len(x), self.networks.latent
        stack.reserve(self._room(n, draws))
        chosen, own = np.empty(n, np.int64), np.empty((n, latent), np.int64)
        stack.pop("uniform", chosen, draws, INDEX_BITS)
        stack.pop("uniform", own, 1 << self._bucket_bits, self._bucket_bits)
        stack.pop(self._pixels, x, *self._likelihood(own))
        stack.expect_whole()
        posterior = self._posterior(x)
        repeated = tuple(np.repeat(part, draws, axis=0) for part in posterior)
        ours = np.arange(n) * draws + chosen
        others = np.delete(np.arange(n * draws), ours)
        z, rest = np.empty((n * draws, latent), np.int64), np.empty((len(others), latent), np.int64)
        stack.pop("normal", rest, *(part[others] for part in repeated), self._edges, self._phi)
        z[ours], z[others] = own, rest
        likelihood = self._likelihood(z) if draws > 1 else ()
        stack.push("choice", chosen, self._choice(x, z, draws, posterior, likelihood))
        stack.push("normal", z, *repeated, self._edges, self._phi)
        stack.expect_whole()

    def growth(self, x):
        """How fast groups may grow, of 2^GROWTH_BITS: what an image leaves on the stack over what one draw takes."""
        stack, taken = Stack(), 0.0
        for i in range(min(TRIED, len(x))):
            taken += self.push(stack, x[i : i + 1], 1)
        if taken <= 0:  # a sigma of nothing: the draws are free
            return FASTEST
        return min(max(int(0.7 * stack.bits / taken * (1 << GROWTH_BITS)), SLOWEST), FASTEST)

    def groups(self, n, growth):
        """(groups, images of each, draws) of n images, in the order in which they are pushed: few, whatever n is."""
        done = 0
        while done < n:
            rows = max(1, growth * done >> GROWTH_BITS)
            draws = min(self.samples, rows)
            size = min(max(1, min(rows, MOST_ROWS) // draws), n - done)
            times = (n - done) // size if rows >= max(MOST_ROWS, self.samples) else 1
            done += times * size
            yield times, size, draws

    def push_all(self, stack, x, growth, tell=int):
        """Pixels (n, features) in groups."""
        done = 0
        for times, size, draws in self.groups(len(x), growth):
            for _ in range(times):
                self.push(stack, x[done : done + size], draws)
                done += size
                tell(size)

    def encode(self, x, growth, tell=int):
        """(words, initial words that they hold) of pixels (n, features). tell : called with the rows of each group."""
        stack = Stack()
        self.push_all(stack, x, growth, tell)
        return stack.words(), stack.drawn

    def encode_parts(self, parts, growth, tell=int, again=int):
        """(words of each part, growth): less of it where the first images left more than those that come after, so that
        groups would take many initial words. again : called before another try
        """
        while True:
            coded = [self.encode(part, growth, tell) for part in parts]
            drawn = sum(drawn for _, drawn in coded)
            few = drawn <= max(FEW * len(parts), sum(len(words) for words, _ in coded) // 8)
            if growth <= SLOWEST or few:
                return [words for words, _ in coded], growth
            growth = max(growth // 4, SLOWEST)
            again()

    def decode(self, words, n, growth, tell=int):
        """Pixels (n, features) from words; ValueError where they are not those of n images."""
        stack, x = Stack(words), np.empty((n, self.networks.features), np.uint8)
        first = n
        for times, size, draws in reversed(list(self.groups(n, growth))):
            for _ in range(times):
                first -= size
                self.pop(stack, x[first : first + size], draws)
                tell(size)
        stack.expect_start()
        return x
