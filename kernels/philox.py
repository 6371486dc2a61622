"""Counter-based random numbers: Philox4x32-10, and standard normals that have the same bits on every machine.

A number is a function of (seed, stream, step, element) and of nothing else, so noise does not depend on the thread
count, the backend or what was drawn before, and a run can be continued from its step number alone.

* key = the two halves of the 64-bit seed; counter = (element // 4, step low, step high, stream). Each block of the
  cipher gives four words, for elements 4b .. 4b + 3.
* A uniform is the upper 24 bits of a word times 2^-24, in [0, 1).
* Normals come in pairs by Box-Muller from two words. Logarithm, sine and cosine are polynomials after an exact
  integer range reduction, and only float32 multiplication, addition and square root appear, each rounded once: no
  libm, no fused multiply-add, so IEEE arithmetic leaves no freedom. Maximum absolute error 6e-7 against exact
  arithmetic.

`build` makes the scalar functions for a target (plain Python, Numba, CUDA) from one source. The NumPy functions below
it do the same arithmetic on arrays and are tested to be equal bit for bit.

Sources: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), for Philox; Box and
Muller, "A note on the generation of random normal deviates" (1958); polynomial coefficients of logf, sinf and cosf
from S. Moshier's Cephes library.
"""

import operator
import threading
from types import SimpleNamespace

import numpy as np

# The streams: one for each use of randomness, so that no two uses share numbers whatever their seeds and steps. NOISE
# and PIXELS are training's; EVALUATION and EVALUATION_PIXELS those of `Evaluator`; FORWARD is `VAE.forward` without
# noise, ELBO `VAE.elbo`, IMPORTANCE the draws behind log p(x), SAMPLE `VAE.sample`. The numbers stay: runs resume.
INIT, SHUFFLE, NOISE, SAMPLE, PIXELS, EVALUATION, FORWARD, ELBO, IMPORTANCE, EVALUATION_PIXELS = range(10)

_U = np.uint64
_F = np.float32
ROUNDS = 10
MULTIPLIERS = _U(0xD2511F53), _U(0xCD9E8D57)
WEYL = _U(0x9E3779B9), _U(0xBB67AE85)
LOW_HALF = _U(0xFFFFFFFF)
HALF_BITS = _U(32)

LOG_COEFFICIENTS = tuple(
    _F(c)
    for c in (
        7.0376836292e-2,
        -1.1514610310e-1,
        1.1676998740e-1,
        -1.2420140846e-1,
        1.4249322787e-1,
        -1.6668057665e-1,
        2.0000714765e-1,
        -2.4999993993e-1,
        3.3333331174e-1,
    )
)
LN2_HIGH, LN2_LOW = _F(0.693359375), _F(-2.12194440e-4)
SIN_COEFFICIENTS = _F(-1.9515295891e-4), _F(8.3321608736e-3), _F(-1.6666654611e-1)
COS_COEFFICIENTS = _F(2.443315711809948e-5), _F(-1.388731625493765e-3), _F(4.166664568298827e-2)
ONE, TWO, HALF, MINUS_HALF = _F(1), _F(2), _F(0.5), _F(-0.5)
UNIT_24, UNIT_23 = _F(2.0**-24), _F(2.0**-23)
TURN_24 = _F(2 * np.pi * 2.0**-24)
SQRT2_24 = _U(int(2**23 * 2**0.5))  # a 24-bit mantissa above this is taken relative to the next power of two


def build(jit, multiply, add, sqrt):
    """The scalar functions for one target.

    Parameters
    ----------
    jit : the target's decorator for an inlinable function
    multiply, add, sqrt : float32 operations of the target that round once and are never contracted

    Returns a namespace of `philox(c0, c1, c2, c3, k0, k1)` (uint64 words below 2^32 in and out), `normal_pair(word0,
    word1)` and the two functions it is made of.
    """
    m0, m1 = MULTIPLIERS
    w0, w1 = WEYL
    l0, l1, l2, l3, l4, l5, l6, l7, l8 = LOG_COEFFICIENTS
    s0, s1, s2 = SIN_COEFFICIENTS
    c0_, c1_, c2_ = COS_COEFFICIENTS
    zero_bits, one_bit, three, shift8, shift22 = _U(0), _U(1), _U(3), _U(8), _U(22)
    top = _U(1 << 23)
    half_quadrant = _U(1 << 21)

    @jit
    def philox(c0, c1, c2, c3, k0, k1):
        for _ in range(ROUNDS):
            p0 = m0 * c0
            p1 = m1 * c2
            c0 = (p1 >> HALF_BITS) ^ c1 ^ k0
            c1 = p1 & LOW_HALF
            c2 = (p0 >> HALF_BITS) ^ c3 ^ k1
            c3 = p0 & LOW_HALF
            k0 = (k0 + w0) & LOW_HALF
            k1 = (k1 + w1) & LOW_HALF
        return c0, c1, c2, c3

    @jit
    def minus_log(m):
        """-ln(m 2^-24) for an integer m in 1 .. 2^24: m = (1 + t) 2^(24 + e), 1 + t in [sqrt(1/2), sqrt(2)]."""
        e = 0
        while m < top:
            m = m << one_bit
            e -= 1
        if m > SQRT2_24:
            t = add(multiply(_F(m), UNIT_24), -ONE)
        else:
            t = add(multiply(_F(m), UNIT_23), -ONE)
            e -= 1
        p = add(multiply(l0, t), l1)
        p = add(multiply(p, t), l2)
        p = add(multiply(p, t), l3)
        p = add(multiply(p, t), l4)
        p = add(multiply(p, t), l5)
        p = add(multiply(p, t), l6)
        p = add(multiply(p, t), l7)
        p = add(multiply(p, t), l8)
        t2 = multiply(t, t)
        exponent = _F(e)
        p = multiply(multiply(p, t), t2)
        p = add(p, multiply(exponent, LN2_LOW))
        p = add(p, multiply(MINUS_HALF, t2))
        p = add(t, p)
        return -add(p, multiply(exponent, LN2_HIGH))

    @jit
    def sine_cosine(n):
        """sin and cos of 2 pi (n + 1/2) 2^-24 for an integer n in 0 .. 2^24 - 1; the quadrant is exact."""
        quadrant = (n + half_quadrant) >> shift22
        offset = _F(np.int64(n) - np.int64(quadrant << shift22))
        a = multiply(add(offset, HALF), TURN_24)
        a2 = multiply(a, a)
        p = add(multiply(s0, a2), s1)
        p = add(multiply(p, a2), s2)
        sine = add(multiply(multiply(p, a2), a), a)
        q = add(multiply(c0_, a2), c1_)
        q = add(multiply(q, a2), c2_)
        q = multiply(q, multiply(a2, a2))
        cosine = add(add(q, multiply(MINUS_HALF, a2)), ONE)
        quadrant = quadrant & three
        if quadrant == zero_bits:
            return sine, cosine
        if quadrant == one_bit:
            return cosine, -sine
        if quadrant == three:
            return -cosine, sine
        return -sine, -cosine

    @jit
    def normal_pair(word0, word1):
        radius = sqrt(multiply(TWO, minus_log((word0 >> shift8) + one_bit)))
        sine, cosine = sine_cosine(word1 >> shift8)
        return multiply(radius, cosine), multiply(radius, sine)

    return SimpleNamespace(philox=philox, minus_log=minus_log, sine_cosine=sine_cosine, normal_pair=normal_pair)


scalar = build(lambda function: function, operator.mul, operator.add, np.sqrt)


def counter_and_key(seed, stream, step):
    """The cipher's inputs besides the block number: (step low, step high, stream), (seed low, seed high), as uint64
    words.
    """
    seed, step = int(seed), int(step)
    return (
        (_U(step & 0xFFFFFFFF), _U(step >> 32 & 0xFFFFFFFF), _U(stream)),
        (_U(seed & 0xFFFFFFFF), _U(seed >> 32 & 0xFFFFFFFF)),
    )


def scalar_word(seed, stream, step, element):
    """The 32-bit word of one element, as an int."""
    counter, key = counter_and_key(seed, stream, step)
    return int(scalar.philox(_U(element // 4), *counter, *key)[element % 4])


def scalar_normal(seed, stream, step, element):
    """The standard normal of one element, as a float32."""
    counter, key = counter_and_key(seed, stream, step)
    words = scalar.philox(_U(element // 4), *counter, *key)
    pair = element % 4 // 2
    return scalar.normal_pair(words[2 * pair], words[2 * pair + 1])[element % 2]


class _Blocks:
    """Philox on arrays for a fixed number of blocks, in memory that is allocated once.

    The words of a block are held as `even` = (c0, c2) and `odd` = (c1, c3), each (2, blocks), so that one round is
    five array operations; for normals `even` are the radius words and `odd` the angle words.
    """

    def __init__(self, blocks):
        shape = (2, blocks)
        self.index = np.arange(blocks, dtype=np.uint64)
        self.even, self.odd, self.product = (np.empty(shape, np.uint64) for _ in range(3))
        self.swapped = self.product[::-1]
        self.multipliers = np.array(MULTIPLIERS, np.uint64)[:, None]
        self.keys = np.empty((ROUNDS, 2, 1), np.uint64)
        self.weyl = np.arange(ROUNDS, dtype=np.uint64)[:, None] * np.array(WEYL, np.uint64)
        self.exponent = np.empty(shape, np.int32)
        self.flag = np.empty(shape, bool)
        self.t, self.t2, self.p, self.q, self.radius = (np.empty(shape, np.float32) for _ in range(5))
        self.normals = np.empty((blocks, 4), np.float32)

    def draw_words(self, seed, stream, step, first):
        """Fills `even` and `odd` with the words of the blocks from `first` on."""
        (step_low, step_high, stream), key = counter_and_key(seed, stream, step)
        even, odd = self.even, self.odd
        np.add(self.index, _U(first), out=even[0])
        even[1], odd[0], odd[1] = step_high, step_low, stream
        np.add(self.weyl, key, out=self.keys[:, :, 0])
        np.bitwise_and(self.keys, LOW_HALF, out=self.keys)
        for round_key in self.keys:
            np.multiply(even, self.multipliers, out=self.product)
            np.right_shift(self.swapped, HALF_BITS, out=even)
            np.bitwise_xor(even, odd, out=even)
            np.bitwise_xor(even, round_key, out=even)
            np.bitwise_and(self.swapped, LOW_HALF, out=odd)

    def draw_normals(self, seed, stream, step, first):
        """The normals as (4 * blocks,), a view of memory that the next draw overwrites."""
        self.draw_words(seed, stream, step, first)
        np.right_shift(self.even, _U(8), out=self.even)
        np.right_shift(self.odd, _U(8), out=self.odd)
        self._radius()
        self._sine_cosine()
        sine, cosine = self.p, self.q
        np.multiply(self.radius, cosine, out=self.normals.T[0::2])
        np.multiply(self.radius, sine, out=self.normals.T[1::2])
        return self.normals.reshape(-1)

    def _radius(self):
        t, t2, p, exponent, flag = self.t, self.t2, self.p, self.exponent, self.flag
        np.add(self.even, _U(1), out=self.even)
        np.copyto(t, self.even, casting="same_kind")  # exact: at most 2^24
        np.frexp(t, out=(t, exponent))  # t in [1/2, 1)
        np.less_equal(t, _F(SQRT2_24) * UNIT_24, out=flag)
        np.multiply(t, TWO, out=t, where=flag)
        np.subtract(exponent, 24, out=exponent)
        np.subtract(exponent, 1, out=exponent, where=flag)
        np.subtract(t, ONE, out=t)
        _horner(LOG_COEFFICIENTS, t, p)
        np.multiply(t, t, out=t2)
        np.multiply(p, t, out=p)
        np.multiply(p, t2, out=p)
        e = self.q
        np.copyto(e, exponent, casting="same_kind")
        np.multiply(e, LN2_LOW, out=self.radius)
        np.add(p, self.radius, out=p)
        np.multiply(t2, MINUS_HALF, out=t2)
        np.add(p, t2, out=p)
        np.add(t, p, out=p)
        np.multiply(e, LN2_HIGH, out=e)
        np.add(p, e, out=p)
        np.multiply(p, -TWO, out=p)  # the same as 2 * -p: both are exact
        np.sqrt(p, out=self.radius)

    def _sine_cosine(self):
        """Sine into p, cosine into q."""
        n, quadrant, flag = self.odd, self.even, self.flag
        a, a2, sine, cosine = self.t, self.t2, self.p, self.q
        np.add(n, _U(1 << 21), out=quadrant)
        np.right_shift(quadrant, _U(22), out=quadrant)
        np.left_shift(quadrant, _U(22), out=self.product)
        np.subtract(n.view(np.int64), self.product.view(np.int64), out=self.product.view(np.int64))
        np.copyto(a, self.product.view(np.int64), casting="same_kind")
        np.add(a, HALF, out=a)
        np.multiply(a, TURN_24, out=a)
        np.multiply(a, a, out=a2)
        _horner(SIN_COEFFICIENTS, a2, sine)
        np.multiply(sine, a2, out=sine)
        np.multiply(sine, a, out=sine)
        np.add(sine, a, out=sine)
        _horner(COS_COEFFICIENTS, a2, cosine)
        np.multiply(a2, a2, out=a)
        np.multiply(cosine, a, out=cosine)
        np.multiply(a2, MINUS_HALF, out=a2)
        np.add(cosine, a2, out=cosine)
        np.add(cosine, ONE, out=cosine)
        # quadrant 0: (s, c), 1: (c, -s), 2: (-s, -c), 3: (-c, s)
        np.bitwise_and(quadrant, _U(1), out=self.product)
        np.equal(self.product, _U(1), out=flag)
        np.copyto(a, sine)
        np.copyto(sine, cosine, where=flag)
        np.copyto(cosine, a, where=flag)
        np.bitwise_and(quadrant, _U(2), out=self.product)
        np.equal(self.product, _U(2), out=flag)
        np.negative(sine, out=sine, where=flag)
        np.add(quadrant, _U(1), out=quadrant)
        np.bitwise_and(quadrant, _U(2), out=self.product)
        np.equal(self.product, _U(2), out=flag)
        np.negative(cosine, out=cosine, where=flag)


def _horner(coefficients, t, p):
    np.multiply(t, coefficients[0], out=p)
    np.add(p, coefficients[1], out=p)
    for c in coefficients[2:]:
        np.multiply(p, t, out=p)
        np.add(p, c, out=p)


# Blocks at a time: their arrays stay in the second-level cache through all the passes.
PIECE = 4096
_CACHED_SIZES = 8
_local = threading.local()


def _pieces(size):
    """(blocks object, first block, slice of elements) for each piece of `size` elements; the objects are kept by this
    thread.
    """
    cache = _local.__dict__.setdefault("blocks", {})
    count = min(-(-size // 4), PIECE)
    if count not in cache:
        if len(cache) == _CACHED_SIZES:
            cache.pop(next(iter(cache)))
        cache[count] = _Blocks(count)
    for start in range(0, size, 4 * PIECE):
        yield cache[count], start // 4, slice(start, min(start + 4 * PIECE, size))


def fill_words(seed, stream, step, out):
    """out (uint32, any shape, C-contiguous) = the 32-bit words of elements 0 .. out.size - 1."""
    flat = out.reshape(-1)
    for blocks, first, piece in _pieces(flat.size):
        blocks.draw_words(seed, stream, step, first)
        part = flat[piece]
        for position, row in enumerate((blocks.even[0], blocks.odd[0], blocks.even[1], blocks.odd[1])):
            target = part[position::4]
            np.copyto(target, row[: target.size], casting="same_kind")


def fill_normals(seed, stream, step, out):
    """out (float32 or float64, any shape, C-contiguous) = the standard normals of elements 0 .. out.size - 1."""
    flat = out.reshape(-1)
    for blocks, first, piece in _pieces(flat.size):
        part = flat[piece]
        part[:] = blocks.draw_normals(seed, stream, step, first)[: part.size]


def uniforms(seed, stream, step, size):
    """Uniforms in [0, 1) with 24 bits, as a new float32 array (size,)."""
    words = np.empty(size, np.uint32)
    fill_words(seed, stream, step, words)
    return (words >> np.uint32(8)).astype(np.float32) * UNIT_24


def permutation(seed, stream, step, size):
    """A random order of 0 .. size - 1 as int64: the order that sorts 64-bit words (little-endian pairs); ties (rarer
    than 1e-9 for 1e5) keep their order.
    """
    words = np.empty(2 * size, np.uint32)
    fill_words(seed, stream, step, words)
    return np.argsort(words.view(np.uint64), kind="stable")
