"""Random numbers: known answers, one source for all, and the distribution."""

import numpy as np
import pytest

from minivae.kernels import philox


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers_of_random123(counter, key, answer):
    """From the file kat_vectors of the Random123 library, philox 4x32, 10 rounds."""
    assert tuple(int(w) for w in philox.scalar.philox(*map(np.uint64, counter), *map(np.uint64, key))) == answer


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 257, 4 * philox.PIECE, 4 * philox.PIECE + 3])
def test_arrays_have_the_bits_of_the_scalar_source(size):
    seed, stream, step = 2**63 + 12345, 3, 2**33 + 7
    noise, words = np.full(size, np.nan, np.float32), np.zeros(size, np.uint32)
    philox.fill_normals(seed, stream, step, noise)
    philox.fill_words(seed, stream, step, words)
    elements = {0, 1, 2, 3, size // 2, size - 4, size - 3, size - 2, size - 1} & set(range(size))
    for e in elements | set(range(0, size, 997)):
        assert noise[e] == philox.scalar_normal(seed, stream, step, e)
        assert words[e] == philox.scalar_word(seed, stream, step, e)


def test_every_branch_of_the_normals_matches_exact_arithmetic():
    """Extreme and quadrant-edge words against float64: at most 6e-7 away."""
    top = 0xFFFFFFFF
    edges = [0, 0xFF, 0x100, 0x3FFFFFFF, 0x40000000, 0x5A827999, 0xB504F333, 0xB504F400, 0xB5050000, 0xC0000000, top]
    for w0 in edges:
        for w1 in [*edges, 0x1FFFFF00, 0x20000000, 0x60000000, 0xA0000000, 0xE0000000]:
            got = philox.scalar.normal_pair(np.uint64(w0), np.uint64(w1))
            radius = np.sqrt(-2 * np.log(((w0 >> 8) + 1) * 2.0**-24))
            angle = 2 * np.pi * ((w1 >> 8) + 0.5) * 2.0**-24
            np.testing.assert_allclose(got, (radius * np.cos(angle), radius * np.sin(angle)), rtol=0, atol=6e-7)


def test_normals_have_the_moments_of_a_normal():
    noise = np.empty(1_000_000, np.float32)
    philox.fill_normals(1, philox.NOISE, 0, noise)
    z = noise.astype(np.float64)
    # five standard errors: Var(z) = 1, Var(z^2) = 2, Var(z^3) = 15, Var(z^4) = 96
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - moment) < 5 * np.sqrt(variance / z.size), power
    assert abs(np.corrcoef(z[::2], z[1::2])[0, 1]) < 5 / np.sqrt(z.size / 2)


def test_streams_steps_and_seeds_do_not_share_numbers():
    draws = []
    for seed, stream, step in ((1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (1 + 2**32, 2, 3), (1, 2, 3 + 2**32)):
        draws.append(np.empty(4096, np.float32))
        philox.fill_normals(seed, stream, step, draws[-1])
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlation).max() < 5 / np.sqrt(4096)


def test_permutation_is_one_and_changes_with_the_epoch():
    orders = [philox.permutation(7, philox.SHUFFLE, epoch, 1001) for epoch in range(3)]
    for order in orders:
        assert np.array_equal(np.sort(order), np.arange(1001))
    assert not np.array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(orders[2], philox.permutation(7, philox.SHUFFLE, 2, 1001))


def test_float64_gets_the_float32_values():
    single, double = np.empty(10, np.float32), np.empty(10)
    philox.fill_normals(3, 1, 4, single)
    philox.fill_normals(3, 1, 4, double)
    np.testing.assert_array_equal(double, single)
