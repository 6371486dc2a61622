"""Layers whose answer depends on the batch, the mode or a draw: normalization and dropout."""

import numpy as np

from .registry import family

MODE = "evaluation|eval mode|eval\\b|training ?= ?False"


@family(
    x="eps_outside unbiased no_mean_term gain_not_in_dx centre_only", gain="gain_of_first_row", bias="bias_averaged"
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


@family(x="not_halved scale_constant cubed")
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


class BatchNorm:
    def __init__(self, data, bug=None, training=True):
        self.bug, self.training = bug, training
        self.parameters = {"gamma": 1 + data.normal(4, scale=0.2), "beta": data.normal(4)}
        self.gradients = {name: np.zeros_like(value) for name, value in self.parameters.items()}
        self.mean, self.variance = np.zeros(4, data.dtype), np.full(4, 2, data.dtype)

    def forward(self, x):
        mean, variance = self.mean, self.variance
        if self.training:
            mean, variance = x.mean(0), x.var(0)
            self.mean = 0.9 * self.mean + 0.1 * mean
            self.variance *= 0.9  # in place
            self.variance += 0.1 * variance
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
        if self.bug == "first_rows_kept":
            rows = self.rows = getattr(self, "rows", rows)
        if self.bug == "running_variance":
            scale = 1 / np.sqrt(self.variance + 1e-5)
        if self.bug == "variance_constant":
            return scale * (dnormal - dnormal.mean(0))
        along = (dnormal * normal).sum(0) / (max(rows - 1, 1) if self.bug == "unbiased" else rows)
        return scale * (dnormal - dnormal.mean(0) - normal * along)


@family(
    x="statistics_constant variance_constant unbiased",
    said={
        r"\bx\b|state|statistic": "running_variance",
        MODE: "evaluation_as_training",
        r"with \d+ rows?": "first_rows_kept",
    },
)
def batch_norm(data, bug):
    return BatchNorm(data, bug), 1 + data.normal(7, 4, scale=2.0)


@family(x="evaluation_as_training")
def batch_norm_in_evaluation(data, bug):
    return BatchNorm(data, bug, training=False), 1 + data.normal(7, 4, scale=2.0)


class Dropout:
    def __init__(self, seed=7, bug=None):
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
    said={
        "fresh|another (draw|mask)|random": "drawn_again",
        r"factor 0\.6": "scale_forgotten",
        r"factor 1\.66667": "scaled_twice",
        "draw|mask|first call|noise|generator|earlier": "first_mask_kept",
        MODE: "mask_in_evaluation scaled_in_evaluation",
    }
)
def dropout(data, bug):
    layer = Dropout(bug=bug)
    return layer, data.normal(5, 6), {"generator": layer.rng}
