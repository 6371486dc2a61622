"""Losses: scalar functions with their gradients, and pairs that take the gradient of the loss."""

import math

import numpy as np

from .registry import family, one_hot, sigmoid, softmax

NO_UPSTREAM = "upstream|ignor|does not (use|depend)|whatever"
A_MEAN = "factor 7"
NEARLY = r"nearly|small term|eps|constant inside"


@family(
    temperature=r"\blogits\b",
    probability_cut=r"\blogits\b",
    log_eps=NEARLY,
    smoothing=NEARLY,
    ignored_labels_kept=r"logits.*(index|row) 2|logits.*axis 0",
    sum_not_mean=A_MEAN,
    ignores_upstream=NO_UPSTREAM,
    always_one_row=r"batch|rows",
    probabilities_only=r"\blogits\b",
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
    target_forgotten=r"\blogits\b",
    of_probabilities=r"\blogits\b",
    sign="sign",
    mean_of_rows_only=r"factor 3|\blogits\b",
    clipped_logits=r"region|scale|larger|other|elsewhere|times",
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


@family(no_sign=r"\bx\b", inside_only=r"\bx\b", not_clipped=r"\bx\b")
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


@family(norm_constant=r"\ba\b", only_first=r"\bb\b", exchanged="exchanged|belong", squared_norm=r"\bb\b")
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


@family(counts_all=r"\bscores\b", own_row_forgotten=r"\bscores\b", margin_sign=r"\bscores\b")
def multiclass_hinge(data, bug):
    labels = data.rng.integers(5, size=6)

    def forward(scores, labels):
        own = scores[np.arange(len(labels)), labels][:, None]
        margins = scores - own + 1
        margins[np.arange(len(labels)), labels] = 0
        return np.maximum(margins, 0).sum(), (margins, labels)

    def backward(dloss, cache):
        margins, labels = cache
        over = (margins > 0).astype(margins.dtype)
        if bug == "counts_all":
            over[:] = 1
        if bug == "margin_sign":
            over = (margins < 0).astype(margins.dtype)
        if bug != "own_row_forgotten":
            over[np.arange(len(labels)), labels] = -over.sum(1)
        return dloss * over

    return (forward, backward), (data.normal(6, 5), labels)


@family(mean_term=r"\blog_sigma2\b", sign_of_mu2=r"mu2.*sign|sign.*mu2", half_forgotten=r"mu1\b", variance=r"sigma1\b")
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


@family(one_minus_forgotten=r"\bp\b", sign=r"p.*sign")
def bernoulli_entropy(data, bug):
    def entropy(p):
        return -np.sum(p * np.log(p) + (1 - p) * np.log(1 - p))

    def gradient(p):
        if bug == "one_minus_forgotten":
            return -np.log(p) - 1
        return np.log(p / (1 - p)) if bug == "sign" else np.log((1 - p) / p)

    return entropy, data.uniform(0.05, 0.95, 4, 5), {"gradient": gradient}


def digamma(x):
    shift = sum(1 / (x + k) for k in range(8))
    x = x + 8
    series = 1 / (12 * x**2) - 1 / (120 * x**4) + 1 / (252 * x**6) - 1 / (240 * x**8) + 5 / (660 * x**10)
    return np.log(x) - 0.5 / x - series - shift


@family(("float64",), last_term=r"\bnu\b", digamma_not_halved=r"\bnu\b", x_of_normal=r"\bx\b")
def student_t(data, bug):
    gammaln = np.vectorize(math.lgamma, otypes=[np.float64])

    def log_density(x, nu):
        normaliser = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * math.pi)
        return np.sum(normaliser - (nu + 1) / 2 * np.log1p(x * x / nu))

    def gradient(x, nu):
        q = x * x / nu
        half = 1.0 if bug == "digamma_not_halved" else 0.5
        dnu = half * (digamma((nu + 1) / 2) - digamma(nu / 2)) - 0.5 / nu - 0.5 * np.log1p(q)
        if bug != "last_term":
            dnu = dnu + (nu + 1) / 2 * q / nu / (1 + q)
        dx = -x if bug == "x_of_normal" else -(nu + 1) * x / nu / (1 + q)
        return dx, dnu

    return log_density, (data.normal(8), data.uniform(1, 6, 8)), {"gradient": gradient}


@family(half="half|factor 0.5", both_ways=r"\blogits\b", rows_for_columns=r"\blogits\b|transposed")
def contrastive(data, bug):
    """Cross-entropy of matching pairs, over the rows and over the columns of a square table of similarities."""

    def forward(logits):
        rows, columns = softmax(logits), softmax(logits.T).T
        picked = np.log(np.diagonal(rows)) + np.log(np.diagonal(columns))
        return -0.5 * picked.mean(), (rows, columns)

    def backward(dloss, cache):
        rows, columns = cache
        both = rows.T + columns.T if bug == "rows_for_columns" else rows + columns
        both = both - 2 * np.eye(len(rows), dtype=rows.dtype)
        if bug == "both_ways":
            both = 2 * (rows - np.eye(len(rows), dtype=rows.dtype))
        return dloss * (0.25 if bug == "half" else 0.5) * both / len(rows)

    return (forward, backward), data.normal(5, 5)
