"""Layers of networks that see data once: dense, normalization, convolution, pooling, gathering, dropout."""

import numpy as np

from .registry import family

LINEAR = r"linear|proportional|clip|scale|larger dy"
MODE = "evaluation|eval mode|eval\\b|training ?= ?False"
ROWS = "batch|rows"


@family(
    last_row_dropped=r"\bW\b",
    one_part_in_ten_million=r"W.*(factor (of )?1\.0000001|1 \+ 1e-0?7|1e-0?7|relative)",
    one_part_in_a_thousand_float32=r"W.*factor (of )?1\.001",
    clipped_by_norm=LINEAR,
    clipped_at_1=LINEAR,
    clipped_at_5=LINEAR,
    weight_decay=r"W.*0\.0001 \* W",
    averaged=r"\bW\b.*1/6",
    bias_of_one_row=r"\bb\b",
    input_gradient_transposed=r"\bx\b",
    small_ones_dropped=LINEAR,
    fixed_dy=r"dy|linear|ignor|upstream",
    normalized_dy=LINEAR,
    absolute_dy=LINEAR,
    square_of_dy=LINEAR,
    constant_added=LINEAR + "|zero|constant",
    one_row_halved=ROWS,
    made_for_six_rows=ROWS,
    odd_row_dropped=ROWS,
    bias_averaged_over_six=ROWS,
)
def dense(data, bug):
    def forward(x, W, b):
        return x @ W + b, (x, W)

    def backward(dy, cache):
        x, W = cache
        dy = changed_dy(dy, bug)
        dx, dW, db = dy @ W.T, x.T @ dy, dy.sum(0)
        if bug == "last_row_dropped":
            dW = x[:-1].T @ dy[:-1]
        if bug in DENSE_FACTORS:
            dW = dW * DENSE_FACTORS[bug]
        if bug == "clipped_by_norm":
            dW = dW * min(1, 100 / np.sqrt((dW**2).sum()))
        if bug == "clipped_at_1":
            dW = np.clip(dW, -1, 1)
        if bug == "clipped_at_5":
            dx, dW, db = (np.clip(g, -5, 5) for g in (dx, dW, db))
        if bug == "weight_decay":
            dW = dW + 1e-4 * W
        if bug == "averaged":
            dW, db = dW / len(x), db / len(x)
        if bug == "bias_of_one_row":
            db = dy[0].copy()
        if bug == "input_gradient_transposed":
            dx = np.ascontiguousarray(dx.T).reshape(dx.shape)
        if bug == "constant_added":
            db = db + 1e-3
        if bug == "one_row_halved" and len(dy) == 1:
            dW = 0.5 * dW
        if bug == "made_for_six_rows":
            dW = dW * len(dy) / 6
        if bug == "odd_row_dropped" and len(dy) % 2:
            dW = x[:-1].T @ dy[:-1]
        if bug == "bias_averaged_over_six":
            db = 6 * dy.mean(0)
        return dx, dW, db

    return (forward, backward), (data.normal(6, 5), data.normal(5, 4), data.normal(4))


DENSE_FACTORS = {"one_part_in_ten_million": 1 + 1e-7, "one_part_in_a_thousand_float32": np.float32(1.001)}


def changed_dy(dy, bug):
    if bug == "small_ones_dropped":
        return np.where(np.abs(dy) < 1e-3, 0, dy)
    if bug == "fixed_dy":
        return np.ones_like(dy)
    if bug == "normalized_dy":
        return dy / max(1.0, np.sqrt((dy**2).sum()) / 50)
    if bug == "absolute_dy":
        return np.abs(dy)
    return dy * np.abs(dy) if bug == "square_of_dy" else dy


@family(
    eps_outside=r"\bx\b",
    unbiased=r"\bx\b",
    no_mean_term=r"\bx\b",
    gain_not_in_dx=r"\bx\b",
    gain_of_first_row=r"\bgain\b",
    centre_only=r"\bx\b",
    bias_averaged=r"bias",
)
def layer_norm(data, bug):
    def forward(x, gain, bias):
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        scale = 1 / (np.sqrt(variance) + 1e-2) if bug == "eps_outside" else 1 / np.sqrt(variance + 1e-5)
        normal = (x - mean) * scale
        return normal * gain + bias, (normal, scale, gain)

    def backward(dy, cache):
        normal, scale, gain = cache
        width = normal.shape[-1]
        dnormal = dy if bug == "gain_not_in_dx" else dy * gain
        mean = 0 if bug == "no_mean_term" else dnormal.mean(-1, keepdims=True)
        along = (dnormal * normal).sum(-1, keepdims=True) / (width - 1 if bug == "unbiased" else width)
        dx = scale * (dnormal - mean - (0 if bug == "centre_only" else normal * along))
        dgain, dbias = (dy * normal).sum((0, 1)), dy.sum((0, 1))
        if bug == "gain_of_first_row":
            dgain = (dy * normal)[0].sum(0)
        return dx, dgain, dbias / width if bug == "bias_averaged" else dbias

    return (forward, backward), (data.normal(2, 3, 8), 1 + data.normal(8, scale=0.3), data.normal(8))


@family(not_halved=r"\bx\b", scale_constant=r"\bx\b", cubed=r"\bx\b")
def rms_norm(data, bug):
    def forward(x, gain):
        scale = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)
        return x * scale * gain, (x, scale, gain)

    def backward(dy, cache):
        x, scale, gain = cache
        dnormal = dy * gain
        along = (dnormal * x).mean(-1, keepdims=True) * scale ** (2 if bug == "cubed" else 3)
        if bug == "scale_constant":
            along = 0
        dx = dnormal * scale - (2 if bug == "not_halved" else 1) * x * along
        return dx, (dy * x * scale).sum(0)

    return (forward, backward), (data.normal(4, 6), data.normal(6))


@family(over_the_channel=r"\bx\b", gain_of_groups=r"\bgain\b", count_of_channels=r"\bx\b")
def group_norm(data, bug):
    groups = 2

    def split(x):
        return x.reshape(len(x), groups, -1)

    def forward(x, gain):
        parts = split(x)
        scale = 1 / np.sqrt(parts.var(-1, keepdims=True) + 1e-5)
        normal = (parts - parts.mean(-1, keepdims=True)) * scale
        return normal.reshape(x.shape) * gain[:, None], (normal, scale, gain)

    def backward(dy, cache):
        normal, scale, gain = cache
        dnormal = split(dy * gain[:, None])
        along = (dnormal * normal).mean(-1, keepdims=True)
        if bug == "over_the_channel":
            along = (dnormal * normal).mean((1, 2), keepdims=True)
        if bug == "count_of_channels":
            along = (dnormal * normal).sum(-1, keepdims=True) / dy.shape[2]
        dx = scale * (dnormal - dnormal.mean(-1, keepdims=True) - normal * along)
        dgain = (dy * normal.reshape(dy.shape)).sum((0, 2))
        if bug == "gain_of_groups":
            dgain = np.repeat(dgain.reshape(groups, -1).mean(1), len(dgain) // groups)
        return dx.reshape(dy.shape), dgain

    return (forward, backward), (data.normal(3, 4, 5), data.normal(4))


class BatchNorm:
    def __init__(self, data, bug, training=True):
        self.bug, self.training = bug, training
        self.parameters = {"gamma": 1 + data.normal(4, scale=0.2), "beta": data.normal(4)}
        self.gradients = {name: np.zeros_like(value) for name, value in self.parameters.items()}
        self.mean, self.variance = np.zeros(4, data.dtype), np.full(4, 2, data.dtype)

    def forward(self, x):
        mean, variance = self.mean, self.variance
        if self.training:
            mean, variance = x.mean(0), x.var(0)
            self.mean, self.variance = 0.9 * self.mean + 0.1 * mean, 0.9 * self.variance + 0.1 * variance
        self.scale = 1 / np.sqrt(variance + 1e-5)
        self.normal = (x - mean) * self.scale
        return self.parameters["gamma"] * self.normal + self.parameters["beta"]

    def backward(self, dy):
        normal, scale, rows = self.normal, self.scale, len(dy)
        self.gradients["gamma"][...] = (dy * normal).sum(0)
        self.gradients["beta"][...] = dy.sum(0)
        dnormal = dy * self.parameters["gamma"]
        if self.bug == "statistics_constant" or (not self.training and self.bug != "evaluation_as_training"):
            return dnormal * scale
        if self.bug == "running_variance":
            scale = 1 / np.sqrt(self.variance + 1e-5)
        if self.bug == "variance_constant":
            return scale * (dnormal - dnormal.mean(0))
        along = (dnormal * normal).sum(0) / (max(rows - 1, 1) if self.bug == "unbiased" else rows)
        return scale * (dnormal - dnormal.mean(0) - normal * along)


@family(
    statistics_constant=r"\bx\b",
    running_variance=r"\bx\b|state|statistic",
    variance_constant=r"\bx\b",
    unbiased=r"\bx\b",
    evaluation_as_training=MODE,
)
def batch_norm(data, bug):
    return BatchNorm(data, bug), 1 + data.normal(7, 4, scale=2.0)


@family(evaluation_as_training=r"\bx\b")
def batch_norm_in_evaluation(data, bug):
    return BatchNorm(data, bug, training=False), 1 + data.normal(7, 4, scale=2.0)


def windows(shape, size, stride):
    """What lies under each place of a window that slides over the last two axes, as indices."""
    counts = [(length - size) // stride + 1 for length in shape[-2:]]
    spans = [[slice(k, k + stride * count, stride) for k in range(size)] for count in counts]
    return [(..., rows, columns) for rows in spans[0] for columns in spans[1]]


def convolution(size, stride, pad, bug):
    """2-D convolution (N, C, H, W) by the sum over the places of the kernel."""

    def padded(x):
        return np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))

    def forward(x, K, b):
        x = padded(x)
        places = windows(x.shape, size, stride)
        taps = K.reshape(*K.shape[:2], -1)
        y = sum(np.einsum("nchw,oc->nohw", x[at], taps[:, :, k]) for k, at in enumerate(places))
        return y + b[:, None, None], (x, K)

    def backward(dy, cache):
        x, K = cache
        places = windows(x.shape, size, stride)
        taps = K[:, :, ::-1] if bug == "one_axis_flipped" else K
        taps = taps.reshape(*K.shape[:2], -1)
        dx, dK = np.zeros_like(x), np.zeros_like(taps)
        for k, at in enumerate(places):
            dK[:, :, k] = np.einsum("nchw,nohw->oc", x[at], dy)
            part = np.einsum("nohw,oc->nchw", dy, taps[:, :, k])
            if bug == "overlap_assigned":
                dx[at] = part
            elif bug != "last_tap_forgotten" or k + 1 < len(places):
                dx[at] += part
        dK, db = dK.reshape(K.shape), dy.sum((0, 2, 3))
        if bug == "kernel_flipped":
            dK = dK[:, :, ::-1, ::-1].copy()
        if bug == "first_place_not_in_bias":
            db -= dy[0, :, 0, 0]
        dx = dx[:, :, 2 * pad :, 2 * pad :] if bug == "cut_at_one_end" else dx[:, :, pad:-pad, pad:-pad]
        if bug == "corner_halved":
            dx[:, :, -1, -1] *= 0.5
        return dx, dK, db

    return forward, backward


@family(
    kernel_flipped=r"K.*(revers|flip|wrong places)",
    one_axis_flipped=r"\bx\b",
    overlap_assigned=r"\bx\b",
    last_tap_forgotten=r"\bx\b",
    corner_halved=r"\bx\b",
    cut_at_one_end=r"\bx\b",
    first_place_not_in_bias=r"\bb\b",
)
def conv2d(data, bug):
    inputs = data.normal(2, 2, 5, 6), data.normal(3, 2, 3, 3), data.normal(3)
    return convolution(3, 2, 1, bug), inputs


@family(not_flipped=r"\bx\b", kernel_shifted=r"\bk\b", reversed_kernel=r"k.*revers")
def conv1d(data, bug):
    """A kernel slid over a signal, without padding."""

    def forward(x, k):
        return np.stack([np.correlate(row, k, "valid") for row in x]), (x, k)

    def backward(dy, cache):
        x, k = cache
        kernel = k[::-1] if bug == "not_flipped" else k
        dx = np.stack([np.convolve(row, kernel, "full") for row in dy])
        dk = sum(np.correlate(a, b, "valid") for a, b in zip(x, dy, strict=True))
        if bug == "kernel_shifted":
            dk = np.roll(dk, 1)
        return dx, dk[::-1].copy() if bug == "reversed_kernel" else dk

    return (forward, backward), (data.normal(3, 9), data.normal(4))


@family(kernel_transposed=r"K.*transposed", stride_forgotten=r"\bx\b", first_tap_twice=r"\bK\b")
def transposed_convolution(data, bug):
    """1-D, stride 2: every input adds a scaled kernel to the output."""

    def forward(x, K):
        length = x.shape[2]
        y = np.zeros((len(x), K.shape[1], 2 * length + 1), x.dtype)
        for k in range(3):
            y[:, :, k : k + 2 * length : 2] += np.einsum("nct,co->not", x, K[:, :, k])
        return y, (x, K)

    def backward(dy, cache):
        x, K = cache
        length, stride = x.shape[2], 1 if bug == "stride_forgotten" else 2
        dx, dK = np.zeros_like(x), np.zeros_like(K)
        for k in range(3):
            dx += np.einsum("not,co->nct", dy[:, :, k : k + stride * length : stride], K[:, :, k])
            dK[:, :, k] = np.einsum("nct,not->co", x, dy[:, :, k : k + 2 * length : 2])
        if bug == "kernel_transposed":
            dK = dK.transpose(1, 0, 2).copy()
        if bug == "first_tap_twice":
            dK[:, :, 0] *= 2
        return dx, dK

    return (forward, backward), (data.normal(2, 3, 4), data.normal(3, 3, 3))


@family(overlap_assigned=r"\bx\b", spread_evenly=r"\bx\b", first_entry=r"\bx\b")
def max_pool(data, bug):
    def patches(x):
        return np.stack([x[at] for at in windows(x.shape, 3, 2)])

    def forward(x):
        values = patches(x)
        return values.max(0), (x.shape, values.argmax(0))

    def backward(dy, cache):
        shape, chosen = cache
        dx = np.zeros(shape, dy.dtype)
        for k, at in enumerate(windows(shape, 3, 2)):
            mine = dy / 9 if bug == "spread_evenly" else dy * (chosen == (0 if bug == "first_entry" else k))
            if bug == "overlap_assigned":
                dx[at] = np.where(chosen == k, dy, dx[at])
            else:
                dx[at] += mine
        return dx

    return (forward, backward), data.normal(2, 2, 7, 7)


@family(full_window_at_border=r"\bx\b", not_divided=r"\bx\b.*factor|\bx\b")
def average_pool(data, bug):
    """Along the last axis with `same` padding; a border is divided by the number of entries it covers."""
    ones = np.ones(3, data.dtype)

    def counts(length):
        return np.convolve(np.ones(length, data.dtype), ones, "same")

    def forward(x):
        return np.stack([np.convolve(row, ones, "same") for row in x]) / counts(x.shape[1]), None

    def backward(dy, _):
        by = {"full_window_at_border": 3, "not_divided": 1}.get(bug, counts(dy.shape[1]))
        return np.stack([np.convolve(row, ones, "same") for row in dy / by])

    return (forward, backward), data.normal(3, 9)


@family(assigned=r"\btable\b", added_once=r"\btable\b", padding_row_zero=r"table.*(index|row).*7")
def embedding(data, bug):
    def forward(table, index):
        return table[index], (table.shape, index)

    def backward(dy, cache):
        shape, index = cache
        dtable = np.zeros(shape, dy.dtype)
        if bug == "assigned":
            dtable[index] = dy
        elif bug == "added_once":
            dtable[index] += dy
        else:
            np.add.at(dtable, index, dy)
        if bug == "padding_row_zero":
            dtable[7] = 0
        return dtable

    return (forward, backward), (data.normal(9, 3), np.array([[1, 4, 1], [4, 4, 7]]))


@family(gathered_from_x=r"\bvalues\b", kept_under_scatter=r"\bx\b")
def scatter(data, bug):
    """x with some of its rows replaced by values."""

    def forward(x, values, rows):
        y = x.copy()
        y[rows] = values
        return y, rows

    def backward(dy, rows):
        dx, dvalues = dy.copy(), dy[rows]
        if bug != "kept_under_scatter":
            dx[rows] = 0
        return dx, dy[: len(rows)].copy() if bug == "gathered_from_x" else dvalues

    return (forward, backward), (data.normal(6, 3), data.normal(2, 3), np.array([4, 1]))


@family(not_reversed=r"\bx\b", shifted=r"x.*shift|\bx\b", wrong_axis=r"\bx\b")
def cumulative_sum(data, bug):
    def forward(x):
        return np.cumsum(x, axis=1), None

    def backward(dy, _):
        if bug == "not_reversed":
            return np.cumsum(dy, axis=1)
        if bug == "wrong_axis":
            return np.cumsum(dy[::-1], axis=0)[::-1].copy()
        dx = np.cumsum(dy[:, ::-1], axis=1)[:, ::-1]
        return np.roll(dx, 1, axis=1) if bug == "shifted" else dx.copy()

    return (forward, backward), data.normal(5, 5)


@family(averaged=r"\ba\b.*1/5", not_summed=r"\bb\b.*shape", axis_lost=r"\bb\b.*shape", sum_of_all=r"\ba\b")
def broadcast_product(data, bug):
    def forward(a, b):
        return a * b, (a, b)

    def backward(dy, cache):
        a, b = cache
        da, db = (dy * b).sum(1, keepdims=True), (dy * a).sum(0, keepdims=True)
        if bug == "averaged":
            da = (dy * b).mean(1, keepdims=True)
        if bug == "sum_of_all":
            da = np.full_like(a, (dy * b).sum())
        if bug == "not_summed":
            db = dy * a
        return da, db[0] if bug == "axis_lost" else db

    return (forward, backward), (data.normal(4, 1), data.normal(1, 5))


class Dropout:
    def __init__(self, seed, bug):
        self.rng, self.bug, self.training, self.first = np.random.default_rng(seed), bug, True, None

    def forward(self, x):
        if not self.training:
            return x * 1
        self.mask = ((self.rng.random(x.shape) >= 0.4) / 0.6).astype(x.dtype)
        return x * self.mask

    def backward(self, dy):
        if not self.training and self.bug != "mask_in_evaluation":
            return dy / 0.6 if self.bug == "scaled_in_evaluation" else dy * 1
        if self.bug == "drawn_again":
            return dy * (self.rng.random(dy.shape) >= 0.4) / 0.6
        if self.bug == "scale_forgotten":
            return dy * (self.mask > 0)
        if self.bug == "first_mask_kept":
            self.first = self.mask if self.first is None or self.first.shape != dy.shape else self.first
            return dy * self.first
        return dy * self.mask / 0.6 if self.bug == "scaled_twice" else dy * self.mask


@family(
    drawn_again="fresh|another draw|random",
    scale_forgotten=r"factor 0\.6",
    scaled_twice=r"factor 1\.66667",
    first_mask_kept="draw|mask|first call|noise|generator|earlier",
    mask_in_evaluation=MODE,
    scaled_in_evaluation=MODE,
)
def dropout(data, bug):
    layer = Dropout(7, bug)
    return layer, data.normal(5, 6), {"generator": layer.rng}
