"""The shape of the noise, what coordinates share, and what is used again from one draw to the next.

All work on residuals standardized by the moments sampled, so that a wrong mean or standard deviation does not show, and
turned from Student's t into normal scores. Dependence is looked for in these and in the scores of their size: noise
may be uncorrelated and share a radius.
"""

import math

import numpy as np

from .significance import (
    END,
    STEP,
    Independence,
    Test,
    correlation,
    counted,
    kurtosis,
    limit,
    normal_table,
    place,
    skewness,
    squares,
    student,
)

BLOCK = 128  # coordinates that are Fourier transformed at once
FEW = 20.0  # draws that are left at least, however often noise was used again
SHORTEST = 64  # draws that a lag leaves to compare
DIRECTIONS, LAGS = 32, 8  # across coordinates and draws at once


def residuals(z, m, v):
    """Normal scores of (coordinates, draws), with the skewness and kurtosis of each coordinate. Deviations from the
    mean are Student's t once each is left out of its own variance.
    """
    draws = z.shape[1]
    r = (z - m[:, None]) / np.sqrt(v * (1.0 - 1.0 / draws))[:, None]
    square = r * r
    third, fourth = (np.einsum("ij,ij->i", square, other) / draws for other in (r, square))
    score = student(r * np.sqrt((draws - 2.0) / np.maximum(draws - 1.0 - square, 1e-12)), draws - 2.0)
    return unit(score), third, fourth


def test_shape(report, z, third, fourth, shape, kept, noise):
    """Kolmogorov-Smirnov, skewness, kurtosis and tails, pooled over all residuals, and the worst coordinate. Returns
    how much larger the variance of a sampled variance is than for normal samples, 1 unless another shape was found.
    """
    size, draws = len(z), noise.draws
    total, once = size * draws, limit(report.level)
    index = np.clip((z.ravel() + END) / STEP, 0.0, 2.0 * END / STEP - 1.0).astype(np.int32)
    below = np.cumsum(np.bincount(index, minlength=int(2 * END / STEP)))
    _, normal = normal_table()
    distance = float(np.max(np.abs(below / z.size - normal[1 : len(below) + 1]))) * math.sqrt(total)
    ks = math.sqrt(0.5) * math.sqrt(-math.log(math.erfc(once / math.sqrt(2.0)) / 2.0))
    skews, flats = skewness(third, draws), kurtosis(fourth, draws)
    skew, flat = skewness(third.mean(), draws, size), kurtosis(fourth.mean(), draws, size)
    fourth = fourth - 3.0
    tails = []
    for edge in (3.0, 4.0, 5.0):
        outside = int(below[int((END - edge) / STEP) - 1] + z.size - below[int((END + edge) / STEP) - 1])
        expected = math.erfc(edge / math.sqrt(2.0)) * z.size
        score = counted(outside * total / z.size, expected * total / z.size)
        tails.append((score, edge, outside, expected))
    tail = max(tails, key=lambda row: abs(row[0]))
    text = "the samples are not normal: the noise has another shape: "
    heavy = "tails too heavy" if flat > 0 else "tails too light"
    far = (
        f"{tail[2]:,} samples are further than {tail[1]:.0f} standard deviations from the mean, {tail[3]:,.0f} expected"
    )
    both = np.maximum(np.abs(skews), np.abs(flats))
    worst, most = int(np.argmax(both)), limit(report.level, 2 * size)
    odd = f"skewness {third[worst]:.2g}, excess kurtosis {fourth[worst]:.2g} at {place(kept[worst], shape)}"
    single = Test("normal shape: worst coordinate", both[worst], most, text + odd)
    pooled = [
        ("fourth moment", abs(flat), once, f"excess kurtosis {fourth.mean():.2g}, {heavy}"),
        ("third moment", abs(skew), once, f"skewness {third.mean():.2g}"),
        ("tails", abs(tail[0]), once, far),
        ("Kolmogorov-Smirnov", distance, ks, "the distribution function is off between the tails"),
    ]
    by = math.sqrt(noise.coordinates)
    tests = [Test("normal shape: " + what, float(score) / by, end, text + said) for what, score, end, said in pooled]
    few = np.median(both) < 0.5 * most < 0.5 * both[worst]
    passed = report.family(*([single, *tests] if few else [*tests, single]))
    return 1.0 if passed else 1.0 + 0.5 * max(0.0, float(fourth.mean()))


def unit(z):
    """Rows with mean 0 and mean square 1."""
    z = z - z.mean(1, keepdims=True)
    return z / np.sqrt(np.mean(z * z, axis=1, keepdims=True))


def shared_noise(level, z, size, shape, kept, hint):
    """Tests of the correlations of all pairs of coordinates: of the residuals, of their sizes, of one with the other.
    In the order in which they are told, and what the correlations do to the variance of sums over coordinates.
    """
    count, draws = z.shape
    if count < 2:
        return [], 1.0
    rows = np.concatenate([z, size]).astype(np.float32)
    r = (rows @ rows.T) / np.float32(draws)
    upper, others = np.triu_indices(count, 1), np.nonzero(~np.eye(count, dtype=bool))
    blocks = (
        ("correlation between coordinates", "noise", r[:count, :count], upper),
        ("correlation between |z| of coordinates", "|z|", r[count:, count:], upper),
        ("correlation of coordinates with |z| of others", "z and |z|", r[:count, count:], others),
    )
    singles, pooled = [], []
    for kind, (what, subject, block, (i, j)) in enumerate(blocks):
        values = block[i, j]
        most = limit(level, len(values))
        worst = int(np.argmax(np.abs(values)))
        largest = abs(float(correlation(float(values[worst]), draws)))

        def named(values=values, i=i, j=j, most=most, kind=kind, worst=worst):
            found = np.abs(correlation(values.astype(np.float64), draws)) > most
            text = f"coordinates {place(kept[i[worst]], shape)} and {place(kept[j[worst]], shape)} share "
            text += SHARED[kind].format(f"{values[worst]:.2f}")
            text += ": one draw is used for both" if kind == 0 and abs(values[worst]) > 0.95 else ""
            return (
                text
                + _structure(kept[i[found]], kept[j[found]], len(values), kind, shape)
                + (hint if kind == 0 else "")
            )

        mean = math.sqrt(max(0.0, float(np.mean(np.square(values), dtype=np.float64)) - 1.0 / draws))
        spread = f"coordinates share noise: {subject} of all {len(values):,} pairs correlated by {mean:.2g} "
        spread += "(root mean square)"
        singles.append(Test(what + ", largest", largest, most, named))
        pooled.append(Test(what + ", squares pooled", squares(values, draws), limit(level), spread))
    sums = (float(np.sum(blocks[k][2][upper] ** p, dtype=np.float64)) for k in (0, 1) for p in (1, 2))
    excess = max(2.0 / count * (total - count * (count - 1) / (2.0 * draws)) for total in sums)
    return [*singles[:2], *pooled[:2], singles[2], pooled[2]], 1.0 + max(0.0, excess)


SHARED = (
    "noise (correlation {})",
    "the size of their noise (correlation of |z| {}): uncorrelated and yet dependent, as with one radius for both",
    "noise in part (correlation of z with |z| {}): the size of one depends on the other",
)


def _structure(i, j, pairs, kind, shape):
    """What the pairs found have in common, as the end of a sentence."""
    if len(i) < 2:
        return ""
    text = f"; {'all' if len(i) == pairs else format(len(i), ',')} pairs do"
    steps = np.array(np.unravel_index(j, shape)) - np.array(np.unravel_index(i, shape))
    axes = np.nonzero(np.any(steps, axis=1))[0]
    if len(axes) != 1:
        return text
    axis, apart = axes[0], np.unique(np.abs(steps[axes[0]]))
    if len(apart) == 1 and shape[axis] > 2:
        half = shape[axis] == 2 * apart[0]
        what = "|z|" if kind == 1 else "the noise"
        return text + (
            f": the second half of axis {axis} reuses {what} of the first"
            if half
            else f", each {apart[0]} apart along axis {axis}"
        )
    return text + f": {'|z|' if kind == 1 else 'noise'} is shared within axis {axis}"


def noise_again(level, z, size, shape, kept, repeats, common):
    """Tests of draws against later ones: exact copies, and correlations at every lag that leaves enough to compare; and
    what they do to the variance of means over draws. `common` is what coordinates share.
    """
    count, draws = z.shape
    again, first = repeats
    copies = (
        f"noise is used again: {again:,} of {draws:,} draws are copies of earlier ones, the first after {_draws(first)}"
    )
    tests = [Test("copies of earlier draws", again, max(4.0, 0.02 * draws), copies)]
    more = draws / (draws - again) if again > tests[0].limit else 1.0
    lags = np.arange(1, draws - SHORTEST + 1)
    left = (draws - lags).astype(np.float64)
    most = limit(level, len(lags))
    for rows, subject in ((z, ""), (size, " of |z|")):
        largest, where = np.zeros(len(lags)), np.zeros(len(lags), dtype=int)
        pooled, heads, tails = (np.zeros(len(lags)) for _ in range(3))
        for start in range(0, count, BLOCK):
            x = rows[start : start + BLOCK]
            wave = np.fft.rfft(x, 2 * draws, axis=1)
            c = np.fft.irfft(wave.real**2 + wave.imag**2, axis=1)[:, 1 : len(lags) + 1]
            run = np.cumsum(x * x, axis=1)
            head, tail = run[:, ::-1][:, 1 : len(lags) + 1], run[:, -1:] - run[:, : len(lags)]
            r = np.abs(c) / np.sqrt(head * tail)
            best = np.argmax(r, axis=0)
            value = r[best, np.arange(len(lags))]
            where = np.where(value > largest, start + best, where)
            largest = np.maximum(largest, value)
            pooled, heads, tails = pooled + c.sum(0), heads + head.sum(0), tails + tail.sum(0)
        # Two different draws of a coordinate have mean -1 / (draws - 1), as its residuals sum to zero.
        r = (pooled + count * left / (draws - 1.0)) / np.sqrt(heads * tails)
        whole = np.abs(correlation(r, count * left + 1.0)) / math.sqrt(common)
        scores = np.abs(correlation(largest, left + 1.0))
        p, k = int(np.argmax(whole)), int(np.argmax(scores))
        text = f"noise is used again after {_draws(lags[p])}: correlation{subject} {r[p]:.2g} in all of {count:,} "
        text += "coordinates, pooled"
        one = f"noise is used again after {_draws(lags[k])}: correlation{subject} {largest[k]:.2f} at "
        one += place(kept[where[k]], shape)
        what = f"correlation{subject} with later draws"
        pair = [Test(f"{what}, largest", scores[k], limit(level, len(lags) * count), one)]
        if count > 1:
            pair.insert(int(scores[k] > whole[p]), Test(f"{what}, all coordinates", whole[p], most, text))
        tests += pair
        more = max(more, 1.0 + 2.0 * float(np.sum(np.abs(r * left / draws)[whole > most])))
    moved = _moved(level, z, common)
    same = any(t.statistic > t.limit for t in tests if "largest" in t.what)
    return [*tests, moved] if same else [tests[0], moved, *tests[1:]], more


def test_dependence(report, z, size, shape, kept, hint, repeats):
    """What coordinates share and what later draws use again. Where one is found the other's limits would not hold:
    scores are divided by what it does to their spread.
    """
    shared, common = shared_noise(report.level, z, size, shape, kept, hint)
    common = common if any(not t.statistic <= t.limit for t in shared) else 1.0
    again, more = noise_again(report.level, z, size, shape, kept, repeats, common)
    draws = z.shape[1]
    if not report.family(*again):  # the squares add up to more then; single ones are smaller than they look
        shared = [t._replace(statistic=t.statistic / math.sqrt(more)) for t in shared if "pooled" not in t.what]
        draws = max(FEW, draws / more)
    return Independence(draws, common if not report.family(*shared) else 1.0)


def _moved(level, z, common):
    """Noise used again in other coordinates of the draws that follow, along random directions."""
    count, draws = z.shape
    if count > DIRECTIONS:
        axes = np.linalg.qr(np.random.default_rng(0).standard_normal((count, DIRECTIONS)))[0]
        z = unit(axes.T @ z)
    worst, after, where = -math.inf, 1, ""
    for lag in range(1, LAGS + 1):
        r = z[:, :-lag] @ z[:, lag:].T
        norms = (np.sum(side**2, axis=1) for side in (z[:, :-lag], z[:, lag:]))
        r = r / np.sqrt(np.outer(*norms))
        score = squares(r, draws - lag + 1)
        if score > worst:
            excess, own = (float(np.sum(part**2)) - part.size / (draws - lag) for part in (r, np.diagonal(r)))
            same = own > 0.5 * excess
            where = f"in the same coordinates (correlation {np.trace(r) / len(r):.2g} on average)"
            where = where if same else "in other coordinates (along random directions)"
            worst, after = score, lag
    text = f"noise is used again after {_draws(after)}, {where}"
    return Test("correlation with later draws, other coordinates", worst / common, limit(level, LAGS), text)


def _draws(number):
    return f"{number} draw{'s' if number > 1 else ''}"
