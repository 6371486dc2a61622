"""What a derivative does not show: update rules, buffers that are used again, evaluation, randomness of the model."""

from functools import partial

import numpy as np

from ..optim import OPTIMIZERS
from .catalog import Check, Outcome, agreement, subjects
from .reference import reference_loss

STEPS = 7
# Gradients span ten orders of magnitude: eps inside or outside the root, and its size, then matter.
TRIALS: dict[str, tuple[str, dict]] = {
    "SGD": ("SGD", {"learning_rate": 0.1}),
    "SGD momentum": ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    "SGD Nesterov": ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    "SGD clipped": ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "clip_norm": 0.5}),
    "SGD schedule": ("SGD", {"learning_rate": lambda step: 0.1 / (1 + step)}),
    "Adam": ("Adam", {"learning_rate": 0.01}),
    "Adam, other constants": ("Adam", {"learning_rate": 0.01, "beta1": 0.7, "beta2": 0.8, "eps": 1e-4}),
    "AdamW": ("AdamW", {"learning_rate": 0.01, "weight_decay": 0.1}),
    "Adagrad": ("Adagrad", {"learning_rate": 0.1}),
    "Adagrad, other constants": ("Adagrad", {"learning_rate": 0.1, "eps": 1e-4, "weight_decay": 0.1}),
}
TRIALS |= {
    optimizer.__name__: (optimizer.__name__, {"learning_rate": lambda step: 0.01 / (1 + step), "clip_norm": 0.5})
    for optimizer in OPTIMIZERS.values()
    if optimizer.__name__ not in TRIALS
}


def _tiny(parts, dtype):
    return parts.VAE(3, 2, (4,), "tanh", dtype=dtype, backend=parts.backend(), seed=1)


def _trajectory(title, parts, dtype):
    """Parameters after each of a few steps against the textbook recursion in float64."""
    kind, options = TRIALS[title]
    model, optimizer = _tiny(parts, dtype), parts.optimizers[kind](**options)
    rng = np.random.default_rng(list(title.encode()))
    parameter = np.concatenate([p.ravel() for p in model.parameters.values()]).astype(np.float64)
    state: dict[str, np.ndarray] = {}
    pairs = []
    sizes = 10.0 ** rng.uniform(-9, 1, parameter.size)
    for t in range(1, STEPS + 1):
        gradient = (sizes * rng.standard_normal(parameter.size)).astype(dtype)
        start = 0
        for g in model.gradients.values():
            g[...] = gradient[start : start + g.size].reshape(g.shape)
            start += g.size
        optimizer.update(model)
        gradient = gradient.astype(np.float64)
        norm, limit = np.linalg.norm(gradient), options.get("clip_norm")
        if limit is not None and norm > limit:
            gradient *= limit / norm
        rate = options["learning_rate"](t - 1) if callable(options["learning_rate"]) else options["learning_rate"]
        parameter = OPTIMIZERS[kind.lower()].textbook(state, parameter, gradient, t, rate, options)
        got = np.concatenate([p.ravel() for p in model.parameters.values()])
        pairs.append((f"parameters after step {t}", got, parameter))
    return agreement(title, pairs, dtype)


def _gradients(model, x, noise):
    terms = model.forward(x, noise)
    model.backward()
    return [np.array(terms, dtype=np.float64)] + [g.copy() for g in model.gradients.values()]


def _reuse(make, name, parts, dtype):
    """A model that has seen other batches, of more and of fewer rows, against one that has not."""
    subject = make(parts, dtype, name=name)
    x, noise = subject.inputs["x"], subject.options["fixed"]["noise"]
    samples = len(noise) // len(x)
    used = subject.target
    rng = np.random.default_rng(3)
    pairs = []
    for rows in (len(x), 2, len(x) + 3, 1, 3):
        batch = x[rng.integers(0, len(x), rows)]
        draw = rng.standard_normal((rows * samples, noise.shape[1])).astype(dtype)
        fresh = make(parts, dtype, name=name).target
        if rows == 1:
            used.encode(batch)  # writes into the same buffers
        got = _gradients(used, batch, draw)
        wanted = _gradients(fresh, batch, draw)
        titles = ["loss terms", *used.gradients]
        pairs += [(f"{t} with {rows} rows", g, w) for t, g, w in zip(titles, got, wanted, strict=True)]
    return agreement(name, pairs, dtype)


def _public(parts, dtype):
    """encode, decode and elbo against the formulas, and the noise that forward draws by itself."""
    model = parts.VAE(7, 3, (6,), "tanh", dtype=dtype, backend=parts.backend(), seed=2)
    rng = np.random.default_rng(4)
    x = rng.random((40, 7)).astype(dtype)
    mu, sigma = model.encode(x)
    zero = np.zeros((len(x), 3), dtype)
    # With sigma + shift for noise 1 and mu for noise 0, the reference gives both through the decoder's input.
    kl = 0.5 * np.sum(mu.astype(float) ** 2 + sigma.astype(float) ** 2 - 1 - 2 * np.log(sigma.astype(float)), axis=1)
    pairs = [("KL of encode's mu and sigma", kl.mean(), reference_loss(model, x, zero)[2])]
    draws = np.array([[model.forward(x).loss, -float(np.mean(model.elbo(x, seed=k)))] for k in range(64)])
    noisy = np.array([reference_loss(model, x, rng.standard_normal((len(x), 3)))[0] for _ in range(256)])
    outcome = agreement("VAE methods", pairs, dtype)
    if not outcome.passed:
        return outcome
    for values, what in ((draws[:, 0], "forward without noise"), (draws[:, 1], "elbo")):
        if np.ptp(values) == 0.0:
            return Outcome(False, np.inf, 6.0, f"{what} gives the same value every time: it does not sample")
        error = np.sqrt(values.var() / len(values) + noisy.var() / len(noisy))
        off = abs(values.mean() - noisy.mean()) / error
        ratio = abs(np.log(values.var() / noisy.var())) / np.sqrt(2 / len(values) + 2 / len(noisy))
        worst = max(off, ratio)
        text = f"{what}: mean {values.mean():.5g}, standard deviation {values.std():.3g}; with noise from N(0, 1) "
        text += f"{noisy.mean():.5g} and {noisy.std():.3g}"
        if not worst <= 6.0:
            return Outcome(False, worst, 6.0, text)
        outcome = Outcome(True, worst, 6.0, text)
    return outcome


def _repeated(parts, dtype):
    """backward twice after one forward: the same gradients, not twice as large."""
    model = _tiny(parts, dtype)
    rng = np.random.default_rng(6)
    model.forward(rng.random((4, 3)).astype(dtype), rng.standard_normal((4, 2)).astype(dtype))
    model.backward()
    first = {n: g.copy() for n, g in model.gradients.items()}
    model.backward()
    return agreement("VAE", [(n, g, first[n]) for n, g in model.gradients.items()], dtype)


def conduct_checks():
    """The checks of behaviour."""
    checks = [Check("optimizers", title, "against the textbook", partial(_trajectory, title)) for title in TRIALS]
    for name, make in subjects()["model"]:
        checks.append(Check("model", name, "buffers used again", partial(_reuse, make, name)))
    checks.append(Check("model", "VAE methods", "encode, elbo and own noise", _public))
    checks.append(Check("model", "VAE", "backward called twice", _repeated))
    return checks
