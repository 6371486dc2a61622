"""Recurrent layers, attention, and whole small networks."""

import math
from itertools import pairwise

import numpy as np

from .registry import family, sigmoid, softmax


@family(
    c0="last_cell_ignored cell_not_forgotten",
    Wx="output_gate_of_cell forget_gate_of_new_cell",
    h0="truncated",
    x="hidden_of_one_step",
    said={"linear|clip|scale|larger dy": "gates_clipped", r"\bc0\b.*(zero|None|no gradient)": "first_cell_zero"},
)
def lstm(data, bug):
    def forward(x, Wx, Wh, b, h0, c0):
        hidden, cells, gates = [h0], [c0], []
        for t in range(x.shape[1]):
            i, f, o, g = np.split(x[:, t] @ Wx + hidden[-1] @ Wh + b, 4, axis=1)
            i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
            cells.append(f * cells[-1] + i * g)
            hidden.append(o * np.tanh(cells[-1]))
            gates.append((i, f, o, g))
        return (np.stack(hidden[1:], 1), cells[-1]), (x, Wx, Wh, hidden, cells, gates)

    def backward(dhidden, dcell, cache):
        x, Wx, Wh, hidden, cells, gates = cache
        dx, dWx, dWh, db = np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wx.shape[1], x.dtype)
        dh, dc = np.zeros_like(hidden[0]), dcell.copy()
        if bug == "last_cell_ignored":
            dc[:] = 0
        for t in range(x.shape[1] - 1, -1, -1):
            i, f, o, g = gates[t]
            dh = dh + dhidden[:, t]
            shown = np.tanh(cells[t + 1])
            dc = dc + dh * o * (1 - shown**2)
            do = dh * (cells[t + 1] if bug == "output_gate_of_cell" else shown)
            df = dc * cells[t + 1 if bug == "forget_gate_of_new_cell" else t]
            parts = [dc * g * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dc * i * (1 - g * g)]
            da = np.concatenate(parts, axis=1)
            if bug == "gates_clipped":
                da = np.clip(da, -5, 5)
            dx[:, t] = da @ Wx.T
            dWx += x[:, t].T @ da
            dWh += hidden[t].T @ da
            db += da.sum(0)
            dh = da @ Wh.T
            if (bug == "truncated" and t == 2) or (bug == "hidden_of_one_step" and t != 1):
                dh = dh * 0
            dc = dc if bug == "cell_not_forgotten" else dc * f
        return dx, dWx, dWh, db, dh, dc * 0 if bug == "first_cell_zero" else dc

    weights = data.normal(3, 8), data.normal(2, 8), data.normal(8)
    return (forward, backward), (data.normal(2, 3, 3), *weights, data.normal(2, 2), data.normal(2, 2))


@family(
    q="sum_over_queries softmax_diagonal first_query_shifted",
    v="heads_not_joined",
    said={
        r"\bk\b.*factor 1\.732": "scale_missing_in_keys",
        "exchanged|belong": "queries_and_keys_exchanged",
        r"\bq\b|\bk\b|\bv\b": "mask_ignored",
    },
)
def attention(data, bug):
    heads = 2

    def split(x):
        return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)

    def join(x):
        return x.swapaxes(1, 2).reshape(len(x), x.shape[2], -1)

    def forward(q, k, v):
        Q, K, V = split(q), split(k), split(v)
        past = np.tril(np.ones((q.shape[1], k.shape[1]), bool))
        scores = Q @ K.swapaxes(2, 3) / math.sqrt(Q.shape[-1])
        p = softmax(np.where(past, scores, -np.inf))
        return join(p @ V), (Q, K, V, p)

    def backward(dy, cache):
        Q, K, V, p = cache
        dy = split(dy)
        dp = dy @ V.swapaxes(2, 3)
        ds = p * (dp - (dp * p).sum(-2 if bug == "sum_over_queries" else -1, keepdims=True))
        if bug == "softmax_diagonal":
            ds = dp * p * (1 - p)
        if bug == "mask_ignored":
            ds = ds + np.triu(np.ones(ds.shape[2:]), 1)
        if bug == "first_query_shifted":
            ds[:, :, 0] += 0.1
        root = math.sqrt(Q.shape[-1])
        dq, dk, dv = ds @ K / root, ds.swapaxes(2, 3) @ Q / root, p.swapaxes(2, 3) @ dy
        if bug == "scale_missing_in_keys":
            dk = dk * root
        if bug == "queries_and_keys_exchanged":
            dq, dk = dk, dq
        return join(dq), join(dk), dv.reshape(len(dv), dv.shape[2], -1) if bug == "heads_not_joined" else join(dv)

    return (forward, backward), tuple(data.normal(2, 4, 6) for _ in range(3))


@family(x="shortcut_missing shortcut_twice", V="second_weight_of_input", W="relu_after")
def residual(data, bug):
    def forward(x, W, V):
        hidden = x @ W
        active = np.maximum(hidden, 0)
        return x + active @ V, (x, W, V, hidden, active)

    def backward(dy, cache):
        x, W, V, hidden, active = cache
        dhidden = dy @ V.T
        if bug != "relu_after":
            dhidden = dhidden * (hidden > 0)
        shortcut = {"shortcut_missing": 0, "shortcut_twice": 2}.get(bug, 1)
        dV = (hidden if bug == "second_weight_of_input" else active).T @ dy
        return shortcut * dy + dhidden @ W.T, x.T @ dhidden, dV

    return (forward, backward), (data.normal(5, 4), data.normal(4, 6), data.normal(6, 4))


def relu_network(bug=None):
    """(forward, backward) of any number of relu layers, the inputs x, W0, b0, W1, b1, ..."""

    def forward(x, *weights):
        layers = [x]
        for W, b in zip(weights[::2], weights[1::2], strict=True):
            layers.append(np.maximum(layers[-1] @ W + b, 0))
        return layers[-1], (layers, weights)

    def backward(dy, cache):
        layers, weights = cache
        gradients = []
        for k in range(len(layers) - 2, -1, -1):
            if bug != "first_mask_missing" or k:
                dy = dy * (layers[k + 1] > 0)
            db = dy.mean(0) if bug == "bias_averaged" else dy.sum(0)
            source = layers[k + 1][:, : layers[k].shape[1]] if bug == "output_for_input" and k == 1 else layers[k]
            gradients = [source.T @ dy, db, *gradients]
            dy = dy @ weights[2 * k].T
        return dy, *gradients

    return forward, backward


@family(said={"input1|W0": "first_mask_missing", "factor 0.2|1/5": "bias_averaged", "input3|W1": "output_for_input"})
def relu_layers(data, bug):
    depth = 2 if bug == "output_for_input" else 1 + int(data.rng.integers(4))
    widths = [5] * (depth + 1)
    weights = [(data.normal(a, b, scale=0.6), data.normal(b)) for a, b in pairwise(widths)]
    return relu_network(bug), (data.normal(5, 5), *(array for pair in weights for array in pair))


class Tied:
    """An autoencoder that uses one matrix twice: 0.5 |x - tanh(x W) W'|^2."""

    def __init__(self, W, bug):
        self.W, self.bug, self.parameters, self.gradients = W, bug, {"W": W}, {}

    def forward(self, x):
        self.x, self.hidden = x, np.tanh(x @ self.W)
        self.error = self.hidden @ self.W.T - x
        return 0.5 * np.sum(self.error**2)

    def backward(self, dloss):
        dhidden = self.error @ self.W * (1 - self.hidden**2)
        encoder, decoder = dloss * (self.x.T @ dhidden), dloss * (self.error.T @ self.hidden)
        whole = {"decoder_only": decoder, "encoder_only": encoder}.get(self.bug, encoder + decoder)
        self.gradients = {"W": whole}
        return dloss * (dhidden @ self.W.T - self.error)


@family(W="decoder_only encoder_only")
def tied_autoencoder(data, bug):
    return Tied(data.normal(6, 3, scale=0.5), bug), data.normal(5, 6)


@family(
    x="one_zero one_sign one_thousandth_more two_that_cancel last_block",
    said={r"x.*factor.* (1\.000001|1 \+ 1e-0?6)": "all_one_part_in_a_million"},
)
def many_entries(data, bug):
    size, at = 2_000, 1_234
    weight = data.normal(size)

    def value(x):
        return np.sum(weight * np.sin(x))

    def gradient(x):
        claim = weight * np.cos(x)
        if bug in ("one_zero", "one_sign"):
            claim[at] *= 0 if bug == "one_zero" else -1
        if bug == "one_thousandth_more":
            claim[at] += 1e-3
        if bug == "two_that_cancel":
            claim[at : at + 2] += [0.5, -0.5]
        if bug == "last_block":
            claim[-208:] *= 1.01
        return claim * (1 + 1e-6) if bug == "all_one_part_in_a_million" else claim

    x = data.normal(size)
    x[at], weight[at] = 0.5, 1.0
    return value, x, {"gradient": gradient}


@family(
    W="one_zero_float32", said={r"\bW\b.*(last|axis 1)": "last_column_float32", r"W.*factor": "one_part_in_500_float32"}
)
def large_dense(data, bug):
    def forward(x, W, b):
        y = np.tanh(x @ W + b)
        return y, (x, W, y)

    def backward(dy, cache):
        x, W, y = cache
        da = dy * (1 - y * y)
        dW = x.T @ da
        if bug == "one_zero_float32":
            dW.flat[np.abs(dW).argmax()] = 0
        if bug == "last_column_float32":
            dW[:, -1] = 0
        if bug == "one_part_in_500_float32":
            dW = dW * np.float32(1.002)
        return da @ W.T, dW, da.sum(0)

    return (forward, backward), (data.normal(4, 48), data.normal(48, 40, scale=0.1), data.normal(40, scale=0.1))
