"""The shape of the noise, what coordinates share, and what is used again from one draw to the next.

All work on residuals standardized by the moments sampled, so that a wrong mean or standard deviation does not show here,
and turned from Student's t into normal scores. Dependence is looked for in these and in the scores of their size: noise
may be uncorrelated and share a radius.
"""

import math

import numpy as np

from .significance import (
    END,
    STEP,
    Test,
    correlation,
    counted,
    limit,
    normal_table,
    place,
    size_score,
    skewed,
    squares,
    student,
)

BLOCK = 128  # coordinates that are Fourier transformed at once
SHORTEST = 64  # draws that a lag leaves to compare
DIRECTIONS, LAGS = 32, 8  # across coordinates and draws at once


def residuals(z, m, v):
    """Normal scores of (coordinates, draws): deviations from the mean are Student's t once each is left out of its own
    variance.
    """
    draws = z.shape[1]
    r = (z - m[:, None]) / np.sqrt(v * (1.0 - 1.0 / draws))[:, None]
    return student(r * np.sqrt((draws - 2.0) / np.maximum(draws - 1.0 - r * r, 1e-12)), draws - 2.0)


def test_shape(report, z, shape, kept, of):
    """Kolmogorov-Smirnov, skewness, kurtosis and tails, pooled over all residuals, and the worst coordinate."""
    size, draws = z.shape
    total, once = z.size, limit(report.level)
    index = np.clip((z.ravel() + END) / STEP, 0.0, 2.0 * END / STEP - 1.0).astype(np.int32)
    below = np.cumsum(np.bincount(index, minlength=int(2 * END / STEP)))
    _, normal = normal_table()
    distance = float(np.max(np.abs(below / total - normal[1 : len(below) + 1]))) * math.sqrt(total)
    ks = math.sqrt(0.5) * math.sqrt(-math.log(math.erfc(once / math.sqrt(2.0)) / 2.0))
    third = np.einsum("ij,ij,ij->i", z, z, z) / draws
    square = z * z
    fourth = np.einsum("ij,ij->i", square, square) / draws - 6.0 * square.mean(1) + 3.0
    skews = student(third * math.sqrt(draws / 6.0) * math.sqrt(_df(draws) / (_df(draws) - 2.0)), _df(draws))
    flats = skewed(fourth * math.sqrt(draws / 24.0), 14.7 / math.sqrt(draws))
    skew = student(third.mean() * math.sqrt(total / 6.0), _df(total))
    flat = float(skewed(fourth.mean() * math.sqrt(total / 24.0), 14.7 / math.sqrt(total)))
    tails = []
    for edge in (3.0, 4.0, 5.0):
        outside = int(below[int((END - edge) / STEP) - 1] + total - below[int((END + edge) / STEP) - 1])
        expected = math.erfc(edge / math.sqrt(2.0)) * total
        tails.append((counted(outside, expected), edge, outside, expected))
    tail = max(tails, key=lambda row: abs(row[0]))
    text = f"the samples are not normal: the noise{of} has another shape: "
    heavy = "tails too heavy" if flat > 0 else "tails too light"
    far = f"{tail[2]:,} samples are further than {tail[1]:.0f} standard deviations from the mean, {tail[3]:,.0f} expected"
    both = np.maximum(np.abs(skews), np.abs(flats))
    worst = int(np.argmax(both))
    odd = f"skewness {third[worst]:.2g}, excess kurtosis {fourth[worst]:.2g} at {place(kept[worst], shape)}"
    report.family(
        Test("normal shape: fourth moment", abs(flat), once, text + f"excess kurtosis {fourth.mean():.2g}, {heavy}"),
        Test("normal shape: third moment", abs(skew), once, text + f"skewness {third.mean():.2g}"),
        Test("normal shape: tails", abs(tail[0]), once, text + far),
        Test("normal shape: Kolmogorov-Smirnov", distance, ks, text + "see its histogram"),
        Test("normal shape: worst coordinate", both[worst], limit(report.level, 2 * size), text + odd),
    )


def _df(n):
    return 4.0 + n / 6.0  # Student's t with the kurtosis that the skewness of n samples has


def unit(z):
    """Rows with mean 0 and mean square 1."""
    z = z - z.mean(1, keepdims=True)
    return z / np.sqrt(np.mean(z * z, axis=1, keepdims=True))


def test_shared(report, z, size, shape, kept, of, hint):
    """Correlations of all pairs of coordinates: of the residuals, of their sizes, and of one with the other."""
    count, draws = z.shape
    if count < 2:
        return
    rows = np.concatenate([z, size]).astype(np.float32)
    r = (rows @ rows.T) / np.float32(draws)
    upper = np.triu_indices(count, 1)
    blocks = {
        "correlation between coordinates": r[:count, :count][upper],
        "correlation between sizes of coordinates": r[count:, count:][upper],
        "correlation of coordinates with sizes of others": r[:count, count:][~np.eye(count, dtype=bool)],
    }
    pairs = (upper, upper, np.nonzero(~np.eye(count, dtype=bool)))
    tests = []
    for kind, ((what, values), (i, j)) in enumerate(zip(blocks.items(), pairs, strict=True)):
        once, most = limit(report.level), limit(report.level, len(values))
        worst = int(np.argmax(np.abs(values)))

        def named(values=values, i=i, j=j, most=most, kind=kind, worst=worst):
            found = np.nonzero(np.abs(correlation(values.astype(np.float64), draws)) > most)[0]
            found = found if len(found) else np.array([worst])
            text = _shared(kept[i[found]], kept[j[found]], float(values[worst]), kind, shape, worst=(i[worst], j[worst]))
            return text.format(of=of, pair=_pair(kept[i[worst]], kept[j[worst]], shape)) + (hint if kind == 0 else "")

        def spread(values=values, kind=kind):
            subject = ("noise", "|z|", "z and |z|")[kind]
            mean = math.sqrt(max(0.0, float(np.mean(np.square(values), dtype=np.float64)) - 1.0 / draws))
            text = f"coordinates{of} share noise: {subject} of all {len(values):,} pairs correlated by {mean:.2g} "
            return text + "(root mean square)" + (hint if kind == 0 else "")

        largest = abs(float(correlation(float(values[worst]), draws)))
        tests.append(Test(what + ", largest", largest, most, named))
        tests.append(Test(what + ", squares pooled", squares(values, draws), once, spread))
    report.family(*tests)


def _pair(i, j, shape):
    return f"{place(i, shape)} and {place(j, shape)}"


def _shared(i, j, r, kind, shape, worst):
    """Who shares what with whom, from all pairs found."""
    what = ("noise", "the size of their noise", "noise in part")[kind]
    tail = f"(correlation {r:.2f}): one draw is used for both"
    if kind == 1:
        tail = f"(correlation of |z| {r:.2f}): uncorrelated and yet dependent, as with one radius for both"
    elif kind == 2:
        tail = f"(correlation of z with |z| {r:.2f}): the size of one depends on the other"
    text = "coordinates{of} {pair} share " + f"{what} {tail}"
    if len(i) < 2:
        return text
    steps = np.array(np.unravel_index(j, shape)) - np.array(np.unravel_index(i, shape))
    alike = [axis for axis in range(len(shape)) if np.any(steps[axis])]
    text += f"; {len(i):,} pairs do"
    if len(alike) == 1:
        axis = alike[0]
        apart = np.unique(np.abs(steps[axis]))
        if len(apart) == 1 and shape[axis] == 2 * apart[0] and apart[0] > 1:
            return text + f": the second half of axis {axis} reuses the noise of the first"
        if len(apart) == 1 and apart[0] > 1:
            return text + f", each {apart[0]} apart along axis {axis}"
        subject = "|z| is" if kind == 1 else "noise is"
        return text + f": {subject} shared along axis {axis}"
    return text


def test_repeated(report, z, size, shape, kept, repeats):
    """Draws against later ones: exact copies, and correlations at every lag that leaves enough to compare."""
    count, draws = z.shape
    again, first = repeats
    copies = f"noise is used again: {again:,} of {draws:,} draws are copies of earlier ones, the first after {first} draws"
    tests = [Test("copies of earlier draws", again, max(4.0, 0.02 * draws), copies)]
    lags = np.arange(1, draws - SHORTEST + 1)
    left = (draws - lags).astype(np.float64)
    if not len(lags):
        report.family(*tests)
        return
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
        scores = np.abs(correlation(largest, left + 1.0))
        k = int(np.argmax(scores))
        text = f"noise is used again after {lags[k]} draw{_s(lags[k])}: correlation{subject} {largest[k]:.2f} at "
        text += place(kept[where[k]], shape)
        # Each pair of different draws has mean -1 / (draws - 1), as the residuals of a coordinate sum to zero.
        r = (pooled + count * left / (draws - 1.0)) / np.sqrt(heads * tails)
        whole = np.abs(correlation(r, count * left + 1.0))
        p = int(np.argmax(whole))
        all_ = f"noise is used again after {lags[p]} draw{_s(lags[p])}: correlation{subject} {r[p]:.2g} in all of "
        all_ += f"{count:,} coordinates, pooled"
        most = limit(report.level, len(lags))
        tests.append(Test(f"correlation{subject} with later draws, all coordinates", whole[p], most, all_))
        single = f"correlation{subject} with later draws, largest"
        tests.append(Test(single, scores[k], limit(report.level, len(lags) * count), text))
    tests.append(_moved(report, z))
    report.family(*tests)


def _moved(report, z):
    """Noise used again in other coordinates of the draws that follow, along random directions."""
    count, draws = z.shape
    if count > DIRECTIONS:
        axes = np.linalg.qr(np.random.default_rng(0).standard_normal((count, DIRECTIONS)))[0]
        z = unit(axes.T @ z)
    worst, after = -math.inf, 1
    for lag in range(1, LAGS + 1):
        r = z[:, :-lag] @ z[:, lag:].T
        norms = (np.sum(side**2, axis=1) for side in (z[:, :-lag], z[:, lag:]))
        score = squares(r / np.sqrt(np.outer(*norms)), draws - lag + 1)
        worst, after = (score, lag) if score > worst else (worst, after)
    text = f"noise is used again after {after} draw{_s(after)}, in other coordinates (along random directions)"
    return Test("correlation with later draws, other coordinates", worst, limit(report.level, LAGS), text)


def _s(number):
    return "s" if number > 1 else ""
