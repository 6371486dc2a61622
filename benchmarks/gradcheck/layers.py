"""Layers of networks that see data once: dense, normalization, convolution, pooling, gathering, dropout."""

import numpy as np

from .registry import family

LINEAR = r"linear|proportional|clip|scale|larger dy"
ROWS = r"batch|rows?\b"


@family(
    W="last_row_dropped",
    b="bias_of_one_row",
    x="input_gradient_transposed",
    said={
        r"W.*factor.* (1\.0000001|1 \+ 1e-0?7)": "one_part_in_ten_million",
        r"W.*factor.* (1\.001|1 \+ (1e-0?3|0?\.001))": "one_part_in_a_thousand_float32",
        LINEAR: "clipped_by_norm clipped_at_1 clipped_at_5 small_ones_dropped normalized_dy absolute_dy square_of_dy",
        r"W.*0\.0001 \* W": "weight_decay",
        r"\bW\b.*1/6": "averaged",
        r"dy|linear|ignor|upstream": "fixed_dy",
        LINEAR + "|zero|constant": "constant_added",
        ROWS: "one_row_halved made_for_six_rows odd_row_dropped bias_averaged_over_six",
    },
)
def dense(data, bug):
    def forward(x, W, b):
        return x @ W + b, (x, W)

    def backward(dy, cache):
        x, W = cache
        dy = changed_dy(dy, bug)
        dx, dW, db = dy @ W.T, x.T @ dy, dy.sum(0)
        rows, without_last = len(dy), x[:-1].T @ dy[:-1]
        if bug == "clipped_at_5":
            dx, dW, db = (np.clip(g, -5, 5) for g in (dx, dW, db))
        dW = {
            "last_row_dropped": without_last,
            "one_part_in_ten_million": dW * (1 + 1e-7),
            "one_part_in_a_thousand_float32": dW * dW.dtype.type(1.001),
            "clipped_by_norm": dW * min(1, 100 / max(np.sqrt((dW**2).sum()), 1)),
            "clipped_at_1": np.clip(dW, -1, 1),
            "weight_decay": dW + 1e-4 * W,
            "averaged": dW / max(rows, 1),
            "one_row_halved": dW * (0.5 if rows == 1 else 1),
            "made_for_six_rows": dW * rows / 6,
            "odd_row_dropped": without_last if rows % 2 else dW,
        }.get(bug, dW)
        db = {
            "averaged": db / max(rows, 1),
            "bias_of_one_row": dy[:1].sum(0),
            "constant_added": db + 1e-3,
            "bias_averaged_over_six": 6 * db / max(rows, 1),
        }.get(bug, db)
        return dx.T.reshape(dx.shape) if bug == "input_gradient_transposed" else dx, dW, db

    return (forward, backward), (data.normal(6, 5), data.normal(5, 4), data.normal(4))


def changed_dy(dy, bug):
    return {
        "small_ones_dropped": np.where(np.abs(dy) < 1e-3, 0, dy),
        "fixed_dy": np.ones_like(dy),
        "normalized_dy": dy / max(1.0, np.sqrt((dy**2).sum()) / 50),
        "absolute_dy": np.abs(dy),
        "square_of_dy": dy * np.abs(dy),
    }.get(bug, dy)


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
    x="one_axis_flipped overlap_assigned last_tap_forgotten corner_halved cut_at_one_end",
    b="first_place_not_in_bias",
    said={r"K.*(revers|flip|wrong places)": "kernel_flipped"},
)
def conv2d(data, bug):
    inputs = data.normal(2, 1, 4, 5), data.normal(2, 1, 3, 3), data.normal(2)
    return convolution(3, 2, 1, bug), inputs


@family(x="overlap_assigned spread_evenly first_entry")
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

    return (forward, backward), data.normal(1, 2, 7, 5)


@family(table="assigned added_once", said={r"table.*(index|row).*7": "padding_row_zero"})
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


@family(x="not_reversed wrong_axis", said={r"x.*shift|\bx\b": "shifted"})
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


@family(a="sum_of_all", said={r"\ba\b.*1/5": "averaged", r"\bb\b.*shape": "not_summed axis_lost"})
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
