"""Losses: scalar functions with their gradients, and pairs that take the gradient of the loss."""

import numpy as np

from .registry import family, one_hot, sigmoid, softmax

NO_UPSTREAM = "upstream|ignor|does not (use|depend)|whatever"
A_MEAN = "factor 7"
NEARLY = "nearly|small (term|constant)|eps|one factor for each"


@family(
    logits="temperature probability_cut probabilities_only",
    said={
        NEARLY: "log_eps smoothing",
        r"logits.*(index|row) 2|logits.*axis 0": "ignored_labels_kept",
        A_MEAN: "sum_not_mean",
        NO_UPSTREAM: "ignores_upstream",
        r"batch|rows?\b": "always_one_row",
    },
)
def softmax_cross_entropy(data, bug):
    labels = data.rng.integers(5, size=7)
    if bug == "ignored_labels_kept":
        labels[2] = -1

    def forward(logits, labels):
        p = softmax(logits / 2.0 if bug == "temperature" else logits)
        kept = labels >= 0
        q = p[np.arange(len(labels)), labels]
        if bug == "probability_cut":
            q = np.maximum(q, 0.05)
        if bug == "log_eps":
            q = q + 1e-6
        return -(np.log(q) * kept).sum() / int(kept.sum()), (p, labels, kept)

    def backward(dloss, cache):
        p, labels, kept = cache
        if bug == "smoothing":
            dlogits = p - 0.999 * one_hot(labels, p) - 0.001 / p.shape[1]
        elif bug == "probabilities_only":
            dlogits = p.copy()
        else:
            dlogits = p - one_hot(labels, p)
        if bug != "ignored_labels_kept":
            dlogits[~kept] = 0
        if bug == "sum_not_mean":
            return dloss * dlogits
        dlogits /= 7 if bug == "always_one_row" else int(kept.sum())
        return dlogits if bug == "ignores_upstream" else dloss * dlogits

    return (forward, backward), (data.normal(7, 5, scale=2.0), labels)


@family(
    logits="target_forgotten of_probabilities",
    said={
        "sign": "sign",
        r"factor 3|\blogits\b": "mean_of_rows_only",
        r"region|scale|larger|other|elsewhere|times": "clipped_logits",
    },
)
def binary_cross_entropy(data, bug):
    labels = data.rng.integers(2, size=(4, 3)).astype(data.dtype)

    def loss(logits, labels):
        return np.mean(np.logaddexp(0, logits) - labels * logits)

    def gradient(logits, labels):
        p = sigmoid(logits)
        if bug == "target_forgotten":
            return p / p.size
        if bug == "of_probabilities":
            return (p - labels) / (p * (1 - p)) / p.size
        if bug == "sign":
            return (labels - p) / p.size
        if bug == "mean_of_rows_only":
            return (p - labels) / len(p)
        if bug == "clipped_logits":
            return (p - labels) / p.size * (np.abs(logits) < 8)
        return (p - labels) / p.size

    return loss, np.clip(data.normal(4, 3), -3, 3), {"gradient": gradient, "fixed": [labels]}


@family(x="no_sign inside_only not_clipped")
def huber(data, bug):
    def loss(x):
        return np.sum(np.where(np.abs(x) < 1, 0.5 * x * x, np.abs(x) - 0.5))

    def gradient(x):
        if bug == "no_sign":
            return np.where(np.abs(x) < 1, x, 1.0)
        if bug == "inside_only":
            return np.where(np.abs(x) < 1, x, 0.0)
        return x.copy() if bug == "not_clipped" else np.clip(x, -1, 1)

    return loss, data.normal(40, scale=3.0), {"gradient": gradient}


@family(a="norm_constant", b="only_first squared_norm", said={"exchanged|belong": "exchanged"})
def cosine_similarity(data, bug):
    def forward(a, b):
        na, nb = (np.sqrt((v * v).sum(1, keepdims=True)) for v in (a, b))
        cosine = (a * b).sum(1, keepdims=True) / (na * nb)
        return cosine[:, 0], (a, b, na, nb, cosine)

    def backward(dy, cache):
        a, b, na, nb, cosine = cache
        dy = dy[:, None]
        da = dy * (b / (na * nb) - (0 if bug == "norm_constant" else cosine * a / na**2))
        db = dy * (a / (na * nb) - cosine * b / (nb if bug == "squared_norm" else nb**2))
        if bug == "exchanged":
            return db, da
        return da, (np.zeros_like(b) if bug == "only_first" else db)

    return (forward, backward), (data.normal(5, 4), data.normal(5, 4))


@family(
    log_sigma2="mean_term",
    said={r"mu2.*sign|sign.*mu2": "sign_of_mu2", r"mu1\b": "half_forgotten", r"sigma1\b": "variance"},
)
def kl_of_gaussians(data, bug):
    def kl(mu1, log_sigma1, mu2, log_sigma2):
        weight = np.exp(-2 * log_sigma2)
        return np.sum(
            log_sigma2 - log_sigma1 + 0.5 * (np.exp(2 * log_sigma1) + (mu1 - mu2) ** 2) * weight - 0.5,
        )

    def gradient(mu1, log_sigma1, mu2, log_sigma2):
        weight, distance = np.exp(-2 * log_sigma2), mu1 - mu2
        variance = np.exp(log_sigma1 if bug == "variance" else 2 * log_sigma1)
        dmu = distance * weight
        squares = np.exp(2 * log_sigma1) + (0 if bug == "mean_term" else distance**2)
        dmu1 = 2 * dmu if bug == "half_forgotten" else dmu
        return dmu1, variance * weight - 1, dmu if bug == "sign_of_mu2" else -dmu, 1 - squares * weight

    return kl, tuple(data.normal(4, 3) for _ in range(4)), {"gradient": gradient}
