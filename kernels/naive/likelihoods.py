"""The negative log-likelihoods and their gradients."""

import math

import numpy as np

from .tools import ELEMENTARY, eps, matrix, output, sigmoid, softplus

LARGEST_BYTE = 255
# How far from 0 what a decoder puts out counts: log alpha and log beta, the mean, the log scale.
LOG_LIMIT, MEAN_LIMIT, LOG_SCALE_LIMIT = 30.0, 1e30, 8.0


def bernoulli_nll(x, logits, weight, nll, dlogits):
    """nll_r = sum_f softplus(l_rf) - x_if * l_rf, in nats; dlogits_rf = weight_r * (sigmoid(l_rf) - x_if).

    x (n, features) in [0, 1]; logits, dlogits (n * samples, features); weight, nll (n * samples,); row r of the logits
    belongs to row i = r // samples of x. nll may be None, or dlogits and weight may be None: that part is then left
    out.
    """
    samples = logits.shape[0] // x.shape[0]
    for row in range(logits.shape[0]):
        total = 0.0
        for f in range(x.shape[1]):
            logit, pixel = float(logits[row, f]), float(x[row // samples, f])
            total += softplus(logit) - pixel * logit
            if dlogits is not None:
                dlogits[row, f] = float(weight[row]) * (sigmoid(logit) - pixel)
        if nll is not None:
            nll[row] = total


def gaussian_nll(x, mean, log_sigma, weight, nll, dmean, dlog_sigma):
    """nll_r = sum_f (x_if - m_rf)^2 / (2 s_f^2) + log s_f + log(2 pi) / 2 in nats, with s_f = exp(log_sigma_f).

    dmean_rf = weight_r * (m_rf - x_if) / s_f^2; dlog_sigma_f = sum_r weight_r * (1 - (x_if - m_rf)^2 / s_f^2).
    x (n, features); mean, dmean (n * samples, features); weight, nll (n * samples,); log_sigma, dlog_sigma (features,),
    or (1,) for one s of all features, whose dlog_sigma is summed over them. nll may be None; dmean and weight may be
    None; dlog_sigma may be None: that part is then left out.
    """
    samples, features = mean.shape[0] // x.shape[0], x.shape[1]
    slopes = [0.0] * log_sigma.size
    for row in range(mean.shape[0]):
        total = 0.0
        for f in range(features):
            which = f if log_sigma.size > 1 else 0
            s = math.exp(float(log_sigma[which]))
            difference = float(mean[row, f]) - float(x[row // samples, f])
            square = (difference / s) ** 2
            total += 0.5 * square + math.log(s) + 0.5 * math.log(2.0 * math.pi)
            if dmean is not None:
                dmean[row, f] = float(weight[row]) * difference / (s * s)
            if dlog_sigma is not None:
                slopes[which] += float(weight[row]) * (1.0 - square)
        if nll is not None:
            nll[row] = total
    if dlog_sigma is not None:
        dlog_sigma[:] = slopes


def _limited(value, limit):
    """What counts of a decoder's output, and its derivative."""
    value = float(value)
    if math.isnan(value):
        return value, 1.0
    return min(max(value, -limit), limit), 1.0 if abs(value) <= limit else 0.0


def _by_bytes(of_byte, x, output, weight, nll, doutput):
    """nll and gradient of a likelihood of bytes from of_byte(k, first, second) -> nll, dnll/dfirst, dnll/dsecond, first
    and second being what the decoder puts out for a feature.
    """
    samples, features = output.shape[0] // x.shape[0], x.shape[1]
    for row in range(output.shape[0]):
        total = 0.0
        for f in range(features):
            k = round(LARGEST_BYTE * float(x[row // samples, f]))
            value, *slopes = of_byte(k, output[row, f], output[row, features + f])
            total += value
            if doutput is not None:
                for column, slope in zip((f, features + f), slopes, strict=True):
                    doutput[row, column] = float(weight[row]) * slope
        if nll is not None:
            nll[row] = total


def beta_binomial_nll(x, output, weight, nll, doutput):
    """nll_r = sum_f -log P(k_if) in nats, of the bytes k = round(255 x) and the beta-binomial of 255 trials, with
    alpha = exp(output_rf) and beta = exp(output_r,features+f): k of 255 balls drawn are white if an urn holds alpha
    white and beta black ones and each ball drawn goes back with another of its colour (Polya's urn),

        P(k) = C(255, k) prod_{i < k} (alpha + i) prod_{i < 255 - k} (beta + i) / prod_{i < 255} (alpha + beta + i)
             = C(255, k) B(k + alpha, 255 - k + beta) / B(alpha, beta)
        dnll/dlog alpha = alpha (sum_{i < 255} 1 / (alpha + beta + i) - sum_{i < k} 1 / (alpha + i)),

    and the same for beta with 255 - k; times weight_r that is doutput. Both logarithms are limited to [-30, 30], with a
    gradient of 0 outside.

    x (n, features); output, doutput (n * samples, 2 * features); weight, nll (n * samples,). nll may be None, or
    doutput and weight may be None: that part is then left out. Source: Townsend, Bird and Barber (arXiv:1901.04866),
    section 3.
    """
    n = LARGEST_BYTE

    def of_byte(k, log_alpha, log_beta):
        (log_alpha, open_alpha), (log_beta, open_beta) = _limited(log_alpha, LOG_LIMIT), _limited(log_beta, LOG_LIMIT)
        a, b = math.exp(log_alpha), math.exp(log_beta)
        logs = [math.log((a + i) / (a + b + i)) for i in range(k)]
        logs += [math.log((b + i) / (a + b + k + i)) for i in range(n - k)]
        log_p = math.fsum([math.log(math.comb(n, k)), *logs])
        rise = math.fsum(1.0 / (a + b + i) for i in range(n))
        dlog_alpha = a * (rise - math.fsum(1.0 / (a + i) for i in range(k)))
        dlog_beta = b * (rise - math.fsum(1.0 / (b + i) for i in range(n - k)))
        return -log_p, open_alpha * dlog_alpha, open_beta * dlog_beta

    _by_bytes(of_byte, x, output, weight, nll, doutput)


def logistic_nll(x, output, weight, nll, doutput):
    """nll_r = sum_f -log P(k_if) in nats, of the bytes k = round(255 x) and a logistic distribution in units of x that
    is cut into bins of width 1/255, the outer two open. With mean m = 1/2 + output_rf, scale s =
    exp(output_r,features+f) / 8 and the bin's ends u = (x + 1/510 - m) / s and l = (x - 1/510 - m) / s,

        P(k) = sigmoid(u) - sigmoid(l), where u = inf for k = 255 and l = -inf for k = 0
        -log P = softplus(-u) + softplus(l) - log(1 - exp(l - u))
        dnll/dm = (sigmoid(-u) - sigmoid(l)) / s
        dnll/dlog s = sigmoid(-u) u - sigmoid(l) l + (u - l) / (exp(u - l) - 1);

    times weight_r that is doutput. The mean's output is limited to [-1e30, 1e30], the log scale's to [-8, 8], with a
    gradient of 0 outside.

    x (n, features); output, doutput (n * samples, 2 * features); weight, nll (n * samples,). nll may be None, or
    doutput and weight may be None: that part is then left out. Source: Kingma et al. (arXiv:1606.04934); the open bins:
    Salimans et al. (arXiv:1701.05517), section 2.1.
    """

    def of_byte(k, mean, log_scale):
        (mean, open_mean), (log_scale, open_scale) = _limited(mean, MEAN_LIMIT), _limited(log_scale, LOG_SCALE_LIMIT)
        s = math.exp(log_scale) / 8.0
        distance = k / LARGEST_BYTE - (0.5 + mean)
        up, low = (distance + 0.5 / LARGEST_BYTE) / s, (distance - 0.5 / LARGEST_BYTE) / s
        width = 1.0 / (LARGEST_BYTE * s)
        value = dmean = dlog_scale = 0.0
        if k < LARGEST_BYTE:
            value += softplus(-up)
            dmean += sigmoid(-up) / s
            dlog_scale += sigmoid(-up) * up
        if k > 0:
            value += softplus(low)
            dmean -= sigmoid(low) / s
            dlog_scale -= sigmoid(low) * low
        if 0 < k < LARGEST_BYTE:
            value -= math.log(-math.expm1(-width))
            dlog_scale += width / math.expm1(width)
        return value, open_mean * dmean, open_scale * dlog_scale

    _by_bytes(of_byte, x, output, weight, nll, doutput)


def _outputs(dtype, rng, n, features, samples, parts="both"):
    """x, what the decoder puts out, weight, nll and gradient; `parts` says which of the last two are wanted."""
    rows = n * samples
    return (
        rng.random((n, features)).astype(dtype),
        matrix(rng, (rows, features), dtype, 4.0),
        None if parts == "nll" else np.abs(matrix(rng, rows, dtype)),
        None if parts == "gradient" else output(rows, dtype),
        None if parts == "nll" else output((rows, features), dtype),
    )


def _sizes():
    for n, features, samples in ((1, 1, 1), (3, 2, 1), (2, 9, 3), (5, 31, 1), (16, 33, 2), (3, 70, 3)):
        for parts in ("both", "nll", "gradient"):
            yield n, features, samples, parts


def bernoulli_nll_case(dtype, rng, *size, far=90.0):
    x, logits, weight, nll, dlogits = _outputs(dtype, rng, *size)
    x[0, 0], x[-1, -1] = 0, 1
    logits[0, 0], logits[-1, -1] = -far, far
    wide = np.repeat(x, len(logits) // len(x), 0)
    terms = (np.logaddexp(0, logits.astype(np.float64)) + wide * np.abs(logits)).sum(1)
    bounds = {}
    if nll is not None:
        bounds["nll"] = eps(dtype) * (x.shape[1] + ELEMENTARY) * (terms + 1)
    if weight is not None:
        bounds["dlogits"] = eps(dtype) * ELEMENTARY * weight[:, None] * np.ones_like(logits)
    return [x, logits, weight, nll, dlogits], bounds


def bernoulli_nll_cases(dtype, rng):
    for size in _sizes():
        yield bernoulli_nll_case(dtype, rng, *size)
        yield bernoulli_nll_case(dtype, rng, *size, far=-1000.0)  # where exp overflows, in float64 too


def gaussian_nll_cases(dtype, rng):
    for number, size in enumerate(_sizes()):
        x, mean, weight, nll, dmean = _outputs(dtype, rng, *size)
        features = x.shape[1]
        for many in sorted({1, features}):
            log_sigma = np.full(many, (-1.0, 0.0, 0.7)[number % 3], dtype) + matrix(rng, many, dtype) * (many > 1)
            precision = np.exp(-2.0 * log_sigma.astype(np.float64))
            difference = np.abs(mean - np.repeat(x, len(mean) // len(x), 0)) + eps(dtype) * np.abs(mean)
            squares = precision * difference.astype(np.float64) ** 2
            constants = 2 * features + np.abs(log_sigma).sum() * features / many
            bounds = {}
            if nll is not None:
                bounds["nll"] = eps(dtype) * (features + ELEMENTARY) * (squares.sum(1) + constants)
            dlog_sigma = None
            if weight is not None:
                bounds["dmean"] = eps(dtype) * ELEMENTARY * weight[:, None] * precision * (difference + 1)
                if number % 2:
                    dlog_sigma = output(many, dtype)
                    terms = (weight[:, None] * (squares + 1)).sum(0)
                    terms = terms.sum() if many == 1 else terms
                    bounds["dlog_sigma"] = eps(dtype) * (features + len(mean) + ELEMENTARY) * terms
            copies = (None if a is None else a.copy() for a in (weight, nll, dmean))
            yield [x, mean, log_sigma, *copies, dlog_sigma], bounds


def _byte_outputs(dtype, rng, size, centre, spread, extremes):
    """`_outputs` for bytes: the two outputs of a feature normal about `centre`, some pairs of them from `extremes`.

    Then k, the two outputs and the weights in float64, each (n * samples, features) or (n * samples, 1).
    """
    n, features, samples, _ = size
    _, _, weight, nll, _ = _outputs(dtype, rng, *size)
    k = rng.integers(0, LARGEST_BYTE + 1, (n, features))
    k[rng.random(k.shape) < 0.3], k[rng.random(k.shape) < 0.2] = 0, LARGEST_BYTE
    pair = spread * rng.standard_normal((2, n * samples, features)) + np.reshape(centre, (2, 1, 1))
    taken = rng.random(pair[0].shape) < 0.3
    pair[:, taken] = rng.choice(extremes, taken.sum()).T
    values = np.concatenate(list(pair), axis=1).astype(dtype)
    given = [(k / LARGEST_BYTE).astype(dtype), values, weight, nll]
    given.append(None if weight is None else output(values.shape, dtype))
    wide = np.repeat(k, samples, 0), *np.split(values.astype(np.float64), 2, axis=1)
    return given, *wide, None if weight is None else weight[:, None].astype(np.float64)


def _byte_bounds(dtype, nll, weight, value, *slopes):
    """Bounds from the sizes of what an element's nll and its slopes are added up of."""
    bounds = {}
    if nll is not None:
        bounds["nll"] = eps(dtype) * ((value.shape[1] + ELEMENTARY) * value).sum(1)
    if weight is not None:
        bounds["doutput"] = eps(dtype) * ELEMENTARY * np.concatenate([weight * slope for slope in slopes], axis=1)
    return bounds


def beta_binomial_nll_cases(dtype, rng):
    extremes = [(one, other) for one in (-1e4, -30, -12, 12, 30, 1e20) for other in (-31, -29, 0, 9, 29, 3e38)]
    for size in _sizes():
        given, k, o1, o2, weight = _byte_outputs(dtype, rng, size, centre=(0, 0), spread=2.0, extremes=extremes)
        a, b = (np.exp(np.clip(o, -LOG_LIMIT, LOG_LIMIT)) for o in (o1, o2))
        s, n = a + b, LARGEST_BYTE
        shares = -k * np.log((a + k + 1) / (s + n)) - (n - k) * np.log((b + n - k + 1) / (s + n))
        value = n + np.abs(shares) + 2 * LOG_LIMIT
        slopes = (
            c * (np.log1p(n / s) + 1 / s + np.log1p(count / c)) + (count > 0) for c, count in ((a, k), (b, n - k))
        )
        yield given, _byte_bounds(dtype, given[3], weight, value, *slopes)


def logistic_nll_cases(dtype, rng):
    extremes = [(one, other) for one in (-1e20, -0.5, 0.1, 3, 1e31) for other in (-30, -8, -3, 0, 8, 9)]
    for size in _sizes():
        given, k, o1, o2, weight = _byte_outputs(dtype, rng, size, centre=(0, -1), spread=0.7, extremes=extremes)
        m, s = 0.5 + np.clip(o1, -MEAN_LIMIT, MEAN_LIMIT), np.exp(np.clip(o2, -LOG_SCALE_LIMIT, LOG_SCALE_LIMIT)) / 8
        width = 1 / (LARGEST_BYTE * s)
        up, low = (k / LARGEST_BYTE - m) / s + width / 2, m / s - k / LARGEST_BYTE / s + width / 2
        off = (2 + np.abs(m)) / s  # the roundings of up and of low
        value, by_mean, by_scale = np.abs(np.log(-np.expm1(-width))) + 1, 0.0, 1.0
        for end in (up, low):
            slope = np.exp(-np.logaddexp(0, end))
            bend = slope * np.exp(-np.logaddexp(0, -end))
            value = value + np.logaddexp(0, -end) + slope * off
            by_mean = by_mean + slope / s + bend * off / s
            by_scale = by_scale + slope * (np.abs(end) + off) + bend * np.abs(end) * off
        yield given, _byte_bounds(dtype, given[3], weight, value, by_mean, by_scale)


class Likelihoods:
    bernoulli_nll = staticmethod(bernoulli_nll)
    gaussian_nll = staticmethod(gaussian_nll)
    beta_binomial_nll = staticmethod(beta_binomial_nll)
    logistic_nll = staticmethod(logistic_nll)
