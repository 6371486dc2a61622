"""The entropy coder: compiled and as it stands it writes the same words, and what was pushed comes back."""

import decimal
import hashlib
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivae.compression import tables
from minivae.kernels import coder, load_coder
from minivae.kernels.coder import specification

PHI, SIGMOID = tables.normal_distribution(), tables.logistic_distribution()


def empty(room=4096):
    return np.array([coder.LOW, 0, 0, 0], np.int64), np.zeros(room, np.uint32)


def whole(rng, n, features, latent):
    """Every kind of symbol, with its masses."""
    mu, sigma = rng.normal(size=(n, latent)) * 3, np.exp(rng.normal(size=(n, latent)) * 4)
    edges, _ = tables.prior_buckets(64)
    draws = 3
    starts = np.zeros((n, draws + 1), np.int64)
    code = load_coder()
    code.choice_starts(rng.integers(-1 << 18, 1 << 18, (n, draws)), tables.powers(), starts)
    masses = tables.pixel_masses()
    index = rng.integers(0, len(masses), (n, features)).astype(np.int32)
    alpha, beta = np.exp(rng.normal(size=(2, n, features)) * 6)
    mean, scale = 255 * rng.random((n, features)), np.exp(rng.normal(size=(n, features)) * 3)
    return {
        "normal": (mu, sigma, edges, PHI),
        "choice": (starts,),
        "bernoulli": (index, masses),
        "bytes": (0, alpha, beta, SIGMOID),
        "bytes of a logistic": (1, mean, scale, SIGMOID),
        "uniform": (37, 16),
    }


def symbols(kind, n, features, latent):
    if kind in ("normal", "uniform"):
        return np.empty((n, latent), np.int64)
    return np.empty(n, np.int64) if kind == "choice" else np.empty((n, features), np.uint8)


@given(seed=st.integers(0, 2**32), n=st.integers(1, 4), features=st.integers(1, 9), latent=st.integers(1, 3))
def test_draws_of_every_kind_go_back_to_the_bits_they_were_made_of(seed, n, features, latent):
    """Popped from an empty stack and pushed again, symbols of all kinds leave the initial words, by both codes."""
    given_ = whole(np.random.default_rng(seed), n, features, latent)
    ends = []
    for code in (load_coder(), specification):
        state, words = empty()
        popped = []
        for kind, arguments in given_.items():
            x = symbols(kind, n, features, latent)
            getattr(code, f"pop_{kind.split()[0]}")(state, words, x, *arguments)
            popped.append(x)
        middle = int(state[0])
        for (kind, arguments), x in reversed(list(zip(given_.items(), popped, strict=True))):
            getattr(code, f"push_{kind.split()[0]}")(state, words, x, *arguments)
        x, top, drawn, full = state.tolist()
        assert (x, top, full) == (coder.LOW, drawn, 0)
        assert words[:top].tolist() == [code.initial_word(drawn - 1 - i) for i in range(drawn)]
        ends.append([middle, drawn, *popped])
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_array_equal(ours, theirs)


EXTREMES = {
    "normal": lambda pick, n: (
        pick([-1024.0, -9.0, 0.0, 1e-9, 3.5, 1024.0], (n, 2)),
        pick([math.exp(-16), 1e-3, 1.0, 16.0, math.exp(16)], (n, 2)),
        pick([tables.prior_buckets(1 << bits)[0] for bits in (1, 12, 16)]),
        PHI,
    ),
    "choice": lambda pick, n: (
        pick([np.array([0, mass, 1 << 24], np.int64) for mass in (0, 1, 5, (1 << 24) - 1, 1 << 24)], n),
    ),
    "bernoulli": lambda pick, n: (pick(np.array([0, 1, 704, 1407, 1408], np.int32), (n, 3)), tables.pixel_masses()),
    "bytes": lambda pick, n: (0, *pick([math.exp(-12), 1e-3, 1.0, 255.0, math.exp(12)], (2, n, 3)), SIGMOID),
    "bytes of a logistic": lambda pick, n: (
        1,
        pick([-261_000.0, -1.0, 0.0, 127.5, 255.5, 261_000.0], (n, 3)),
        pick([255 / 8 * math.exp(-8), 1.0, 255 / 8 * math.exp(8)], (n, 3)),
        SIGMOID,
    ),
    "uniform": lambda pick, n: pick(np.array([(1, 24), (3, 24), (4096, 24), (2, 1), (1 << 16, 16)])).tolist(),
}


@given(
    kind=st.sampled_from(sorted(EXTREMES)),
    x=st.sampled_from([coder.LOW, coder.LOW + 1, (1 << 63) - 1, (1 << 63) - (1 << 32)])
    | st.integers(31, 62).map(lambda bits: 1 << bits)
    | st.integers(coder.LOW, (1 << 63) - 1),
    top=st.integers(0, 9),
    n=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_states_and_masses_at_their_bounds(kind, x, top, n, seed):
    """Symbols of masses 1 and all, onto states of 2^31 and 2^63 - 1: both codes push the same words, into room for just
    these and no fewer, and pop what was there.
    """
    rng = np.random.default_rng(seed)

    def pick(values, shape=None):
        chosen = np.asarray(values)[rng.integers(0, len(values), shape)] if shape else values[rng.integers(len(values))]
        return np.ascontiguousarray(chosen)

    arguments = EXTREMES[kind](pick, n)
    words = rng.integers(0, 1 << 32, 64, dtype=np.uint32)
    verb, ends = kind.split()[0], []
    likely, other = (symbols(kind, n, 3, 2) for _ in range(2))
    load = getattr(load_coder(), f"pop_{verb}")  # of a random state: symbols that have a mass
    load(np.array([rng.integers(coder.LOW, (1 << 63) - 1), 9, 0, 0]), words.copy(), likely, *arguments)
    if kind in ("bernoulli", "bytes", "bytes of a logistic"):  # all have a mass: the unlikely ones as well
        unlikely = rng.integers(0, 2 if kind == "bernoulli" else 256, likely.shape).astype(np.uint8)
        likely = np.where(rng.random(likely.shape) < 0.5, unlikely, likely)
    for code in (load_coder(), specification):
        state, stack = np.array([x, top, 0, 0], np.int64), words.copy()
        getattr(code, f"push_{verb}")(state, stack, likely, *arguments)
        assert state[coder.X] >= coder.LOW
        assert not state[coder.FULL]
        peak = int(state[coder.TOP])
        for room in {peak, max(peak - 1, top)}:
            tight = np.array([x, top, 0, 0], np.int64)
            getattr(code, f"push_{verb}")(tight, words[:room].copy(), likely, *arguments)
            assert tight[coder.FULL] == (room < peak)
        ends.append([*state.tolist(), *stack[:peak].tolist()])
        getattr(code, f"pop_{verb}")(state, stack, other, *arguments)
        np.testing.assert_array_equal(other, likely)
        assert (state[:2].tolist(), stack[:top].tolist()) == ([x, top], words[:top].tolist())
    assert ends[0] == ends[1]


def test_the_price_of_symbols_is_their_information():
    """10,000 pixels of masses p cost -sum log2 p bits, to a hundredth of a bit each hundred."""
    rng = np.random.default_rng(0)
    masses = tables.pixel_masses()
    index = rng.integers(300, 1100, (10, 1000)).astype(np.int32)
    p = masses[index] / (1 << coder.PIXEL_BITS)
    pixels = (rng.random(p.shape) < p).astype(np.uint8)
    state, words = empty()
    load_coder().push_bernoulli(state, words, pixels, index, masses)
    bits = math.log2(int(state[0]) / coder.LOW) + 32 * int(state[1])
    assert bits == pytest.approx(-np.log2(np.where(pixels, p, 1 - p)).sum(), abs=1)


def test_masses_of_bytes_are_those_of_their_distributions():
    """Both kinds against sums in floating point; every byte has a mass."""
    k = np.arange(256)
    for alpha, beta in ((0.3, 2.0), (5.0, 1e5), (1e-4, 1e-5), (1.0, 1.0), (1e5, 1e-5)):
        logs = [math.lgamma(256) - math.lgamma(i + 1) - math.lgamma(256 - i) for i in k]
        logs += np.array([math.lgamma(i + alpha) + math.lgamma(255 - i + beta) for i in k])
        expected = np.exp(logs - np.max(logs))
        _close(0, alpha, beta, expected / expected.sum())
    for mean, scale in ((100.0, 5.0), (-30.0, 40.0), (255.0, 0.02), (1e6, 1.0)):
        edges = np.clip((k[1:] - 0.5 - mean) / scale, -500, 500)
        below = np.concatenate([[0], 1 / (1 + np.exp(-edges)), [1]])
        _close(1, mean, scale, np.diff(below))


def _close(kind, first, second, expected):
    """The frequencies by their price: of a byte on a stack that holds much."""
    code = load_coder()
    for byte in (0, 1, 7, 128, 254, 255):
        state, words = empty()
        state[0] = 1 << 61
        pixels, ones = np.full((1, 1), byte, np.uint8), np.ones((1, 1))
        code.push_bytes(state, words, pixels, kind, first * ones, second * ones, SIGMOID)
        mass = 2.0 ** (61 - math.log2(int(state[0])) - 32 * int(state[1]))
        floor = 1 / (1 << coder.BYTE_BITS)
        assert mass == pytest.approx(expected[byte] * (1 - 256 * floor) + floor, rel=1e-3, abs=1.5 * floor)


def test_a_bucket_without_mass_and_a_full_stack_are_told():
    code = load_coder()
    state, words = empty()
    edges, _ = tables.prior_buckets(64)
    far = np.full((1, 1), 9.0), np.full((1, 1), 1e-3)
    code.push_normal(state, words, np.zeros((1, 1), np.int64), *far, edges, PHI)
    assert state[coder.FULL]
    state, words = empty(room=2)
    code.push_uniform(state, words, np.zeros(8, np.int64), 1 << 16, 16)
    assert state[coder.FULL]


def test_the_tables_are_right():
    t = np.arange(-9 * 512, 9 * 512 + 1) / 512
    exact = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in t]) * 2**30
    assert np.abs(PHI - exact).max() < 0.51
    assert (np.diff(PHI) >= 0).all()
    x = np.arange(-24 * 512, 24 * 512 + 1) / 512
    assert np.abs(SIGMOID - 2**30 / (1 + np.exp(-x))).max() < 0.51
    functions = {
        "tanh": np.tanh,
        "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
        "softplus": lambda a: np.log1p(np.exp(-a)),
        "silu": lambda a: a / (1 + np.exp(a)),
    }
    for name, function in functions.items():
        table = tables.activation(name)
        a = np.arange(len(table)) / tables.ONE
        assert np.abs(table - tables.ONE * function(a)).max() < 0.501, name
        assert abs(tables.ONE * function(a[-1] + np.array([0.0, 1.0, 9.0])) - table[-1]).max() < 0.5
    a = np.arange(len(tables.gelu())) / tables.ONE
    exact = a * [0.5 * math.erfc(value / math.sqrt(2)) for value in a]
    assert np.abs(tables.gelu() - tables.ONE * exact).max() < 0.501
    assert np.abs(tables.logarithms()[1:] / 2**16 - np.log2(np.arange(1, 4096))).max() < 1e-5
    edges, centres = tables.prior_buckets(4096)
    masses = [0.5 * (math.erfc(-b / 2**0.5) - math.erfc(-a / 2**0.5)) for a, b in pairwise(edges)]
    assert np.allclose(np.array(masses) * 4096, 1, atol=1e-3)
    assert ((edges[:-1] < centres) & (centres < edges[1:])).all()


TABLES = [
    (tables.pixel_masses,),
    *((tables.sigmas, scale) for scale in ("exp", "softplus")),
    (tables.exponentials, tables.LOG_STEPS, tables.LOG_LIMIT),
    (tables.exponentials, tables.SCALE_STEPS, tables.SCALE_LIMIT),
    (tables.normal_distribution,),
    (tables.logistic_distribution,),
    (tables.prior_buckets, 1 << 12),
    (tables.logarithms,),
    (tables.powers,),
    *((tables.activation, name) for name in ("tanh", "sigmoid", "softplus", "silu")),
    (tables.gelu,),
]
TABLES_SHA256 = "671d93a872fae1661116a698e75cebd6c16833c5e0c40532dee8a6466fe35a2a"


@pytest.mark.parametrize("rounding", [decimal.ROUND_HALF_EVEN, decimal.ROUND_UP])
def test_the_tables_have_the_same_bits_in_every_program(rounding, monkeypatch):
    """Whatever it has set decimal to, and `DefaultContext`, of which other contexts are made: files that are made there
    are decoded everywhere.
    """
    monkeypatch.setattr(decimal.DefaultContext, "rounding", rounding)
    theirs = decimal.Context(5, rounding, -3, 9, traps=[decimal.Inexact, decimal.Overflow])
    state = hashlib.sha256()
    with decimal.localcontext(theirs):
        for table, *arguments in TABLES:
            made = table.__wrapped__(*arguments)  # not the one that is kept
            for part in made if isinstance(made, tuple) else (made,):
                state.update(part.astype(f"<{part.dtype.kind}8").tobytes())
    assert state.hexdigest() == TABLES_SHA256
