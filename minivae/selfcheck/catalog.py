"""Everything of minivae that a check applies to, by section, with parts that can be exchanged.

`minivae gradcheck` runs the whole list over every backend; the planted-bug suite exchanges one part for a broken one
and demands that a check of its section fails.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ..gradcheck.check import check_gradients
from ..gradcheck.samplers.kl import check_kl
from ..gradcheck.samplers.same_draw import check_same_draw
from ..gradcheck.samplers.sampling import check_sampler
from ..kernels.naive import ACTIVATIONS
from .hosted import HostedBackend
from .reference import reference_loss, reference_values

SMALL = (5, 7, 6)  # rows, inputs, outputs: every coordinate is checked
WIDE = (19, 70, 67)  # not a multiple of any tile: directions and sampled coordinates


@dataclass(frozen=True)
class Parts:
    """The classes under test and the backend they run on. `patches` replaces kernels: name -> function(original)."""

    Dense: type
    Reparameterize: type
    GaussianKL: type
    Bernoulli: type
    Gaussian: type
    BetaBinomial: type
    Logistic: type
    VAE: type
    optimizers: dict
    backend_name: str = "numpy"
    patches: dict = field(default_factory=dict)

    def backend(self):
        """A new backend object, with the patched kernels in place."""
        from ..kernels import load_backend

        backend = load_backend(self.backend_name)
        backend = backend if backend.on_host else HostedBackend(backend)
        for name, patch in self.patches.items():
            setattr(backend, name, patch(getattr(backend, name)))
        return backend


def minivae_parts(backend_name="numpy"):
    """The parts as minivae ships them."""
    from ..layers import Dense
    from ..losses import LIKELIHOODS, GaussianKL
    from ..optim import OPTIMIZERS
    from ..reparam import Reparameterize
    from ..vae import VAE

    optimizers = {optimizer.__name__: optimizer for optimizer in OPTIMIZERS.values()}
    likelihoods: dict[str, Any] = {likelihood.__name__: likelihood for likelihood in LIKELIHOODS.values()}
    return Parts(
        Dense, Reparameterize, GaussianKL, **likelihoods, VAE=VAE, optimizers=optimizers, backend_name=backend_name
    )


@dataclass(frozen=True)
class Subject:
    """Something check_gradients takes: the target, its inputs and the options."""

    target: object
    inputs: dict
    options: dict = field(default_factory=dict)

    def check(self, **more):
        return check_gradients(self.target, self.inputs, **{**self.options, **more})


class PosteriorTerms:
    """Sampler and KL as the model uses them: mu and rho -> z and KL per example, one gradient from both."""

    def __init__(self, parts, scale, dtype):
        backend = parts.backend()
        self.sampler = parts.Reparameterize(scale, dtype=dtype, backend=backend)
        self.kl = parts.GaussianKL(scale, dtype=dtype, backend=backend)

    def forward(self, mu, rho, noise):
        z = self.sampler.forward(mu, rho, noise)
        return z, self.kl.forward(mu, rho, self.sampler.sigma).sum(axis=1)

    def backward(self, dz, weight):
        dmu, drho = self.sampler.backward(dz)
        self.kl.backward(weight, dmu, drho)
        return dmu, drho


def _rng(name):
    """Data that depends on the subject's name alone."""
    return np.random.default_rng(list(name.encode()))


def _dense(parts, dtype, activation, size, name):
    rows, inputs, outputs = size
    layer = parts.Dense(inputs, outputs, activation, dtype=dtype, backend=parts.backend(), seed=3)
    return Subject(layer, {"x": _rng(name).standard_normal((rows, inputs)).astype(dtype)}, {"name": name})


def _posterior_data(name, dtype, samples, n=6, latent=3):
    rng = _rng(name)
    draw = partial(rng.standard_normal, dtype=np.float64)
    return (a.astype(dtype) for a in (draw((n, latent)), draw((n, latent)) - 0.5, draw((n * samples, latent))))


def _sampler(parts, dtype, scale, samples, name):
    layer = parts.Reparameterize(scale, dtype=dtype, backend=parts.backend())
    mu, rho, noise = _posterior_data(name, dtype, samples)
    return Subject(layer, {"mu": mu, "rho": rho}, {"fixed": {"noise": noise}, "name": name})


def _posterior(parts, dtype, scale, samples, name):
    mu, rho, noise = _posterior_data(name, dtype, samples)
    fixed = {"fixed": {"noise": noise}, "name": name}
    return Subject(PosteriorTerms(parts, scale, dtype), {"mu": mu, "rho": rho}, fixed)


# What a likelihood of the catalog is called: its class, its options, those of a model with it.
LIKELIHOODS: dict[str, tuple[str, dict, dict]] = {
    "Bernoulli": ("Bernoulli", {}, {"likelihood": "bernoulli"}),
    "Gaussian": ("Gaussian", {"sigma": 0.7}, {"likelihood": "gaussian"}),
    "Gaussian learned": (
        *("Gaussian", {"sigma": 0.7, "learn": True}),
        {"likelihood": "gaussian", "learn_sigma": True, "observation_sigma": 0.8},
    ),
    "Gaussian learned for each feature": (
        *("Gaussian", {"sigma": 0.7, "learn": True, "features": 7}),
        {"likelihood": "gaussian", "learn_sigma": "features", "observation_sigma": 0.8},
    ),
    "beta-binomial": ("BetaBinomial", {}, {"likelihood": "beta_binomial"}),
    "logistic": ("Logistic", {}, {"likelihood": "logistic"}),
}


def _data(rng, shape, dtype, kind):
    """Values in [0, 1]; for a likelihood of bytes, bytes with both ends among them."""
    x = rng.random(shape)
    return (np.round(255 * np.clip(1.4 * x - 0.2, 0, 1)) / 255 if kind.of_bytes else x).astype(dtype)


def _likelihood(parts, dtype, title, samples, name):
    kind, options, _ = LIKELIHOODS[title]
    layer = getattr(parts, kind)(**options, dtype=dtype, backend=parts.backend())
    rng = _rng(name)
    x = _data(rng, (5, 7), dtype, layer)
    output = (2.0 * rng.standard_normal((5 * samples, 7 * layer.outputs))).astype(dtype)
    return Subject(layer, {"output": output}, {"fixed": {"x": x}, "name": name})


def _model(parts, dtype, scale, title, samples, name, activation="tanh", beta=1.0, more=None):
    options = {**LIKELIHOODS[title][2], "beta": beta, **(more or {})}
    model = parts.VAE(7, 3, (6, 5), activation, scale, dtype=dtype, backend=parts.backend(), seed=5, **options)
    rng = _rng(name)
    x = _data(rng, (6, 7), dtype, model.likelihood)
    noise = rng.standard_normal((6 * samples, 3)).astype(dtype)
    return Subject(model, {"x": x}, {"fixed": {"noise": noise}, "name": name})


def subjects():
    """section -> list of (name, make(parts, dtype)): everything with a gradient."""
    found: dict[str, list] = {"Dense": [], "sampler": [], "losses": [], "model": [], "bounds": []}
    for activation in ACTIVATIONS:
        found["Dense"].append((f"Dense {activation}", partial(_dense, activation=activation, size=SMALL)))
    found["Dense"].append(("Dense tanh, wide", partial(_dense, activation="tanh", size=WIDE)))
    found["Dense"].append(("Dense relu, one row", partial(_dense, activation="relu", size=(1, 7, 6))))
    for scale in ("softplus", "exp"):
        for samples in (1, 3):
            text = f"{scale}, {samples} sample{'s' * (samples > 1)}"
            found["sampler"].append((f"Reparameterize {text}", partial(_sampler, scale=scale, samples=samples)))
            found["sampler"].append((f"sampler and KL {text}", partial(_posterior, scale=scale, samples=samples)))
    for title in LIKELIHOODS:
        for samples in (1, 2):
            text = f"{title}, {samples} sample{'s' * (samples > 1)}"
            found["losses"].append((text, partial(_likelihood, title=title, samples=samples)))
    for scale, title, samples, activation, beta in (
        ("softplus", "Bernoulli", 1, "relu", 1.0),
        ("exp", "Bernoulli", 2, "tanh", 4.0),
        ("softplus", "Gaussian", 1, "softplus", 1.0),
        ("exp", "Gaussian learned", 2, "sigmoid", 0.5),
        ("softplus", "Gaussian learned for each feature", 2, "tanh", 1.0),
        ("softplus", "beta-binomial", 1, "softplus", 1.0),
        ("exp", "logistic", 2, "tanh", 1.0),
    ):
        make = partial(_model, scale=scale, title=title, samples=samples, activation=activation, beta=beta)
        found["model"].append((f"VAE {title}, {scale}, {activation}", make))
    # Some latents above these free bits and some below, none so near that a difference would cross the kink.
    free = {"scale": "softplus", "title": "Bernoulli", "samples": 2, "beta": 0.5, "more": {"free_bits": 0.15}}
    found["model"].append(("VAE Bernoulli, softplus, free bits", partial(_model, **free)))
    # Of the importance-weighted bounds these two have gradients that are derivatives of the loss.
    for objective, outer, scale in (("iwae", 1, "softplus"), ("miwae", 2, "exp")):
        bound = {"objective": objective, "outer": outer, "samples": 3}
        make = partial(_model, scale=scale, title="Bernoulli", samples=3 * outer, more=bound)
        found["bounds"].append((f"VAE {objective}, {scale}", make))
    return found


@dataclass(frozen=True)
class Check:
    """One check: run(parts, dtype) -> Outcome, for the dtypes that it can say something about."""

    section: str
    name: str
    what: str
    run: object
    dtypes: tuple = ("float64", "float32")


@dataclass(frozen=True)
class Outcome:
    """What a check measured: `error` and `limit` in one unit, and the whole text for a failure."""

    passed: bool
    error: float
    limit: float
    text: str


def _gradient(make, name, parts, dtype):
    report = make(parts, dtype, name=name).check()
    tolerance = 1e-9 if dtype == "float64" else 1e-3
    return Outcome(report.passed, report.relative_error, tolerance, str(report))


def _worst(report):
    """The test nearest to or furthest beyond its limit."""
    _, value, limit = max(report.tests, key=lambda t: t[1] / t[2])
    return Outcome(report.passed, value, limit, str(report))


def _sampling(kind, scale, parts, dtype):
    terms = PosteriorTerms(parts, scale, dtype)
    mu, rho, noise = _posterior_data(f"sampling {scale}", dtype, 1)
    std = np.log1p(np.exp(rho.astype(np.float64))) if scale == "softplus" else np.exp(rho.astype(np.float64))

    def sample(rng):
        return terms.sampler.forward(mu, rho, rng.standard_normal(noise.shape).astype(dtype))

    sample(np.random.default_rng(0))
    kl = terms.kl.forward(mu, rho, terms.sampler.sigma).copy()
    name = f"{kind} {scale}"
    if kind == "distribution":
        return _worst(check_sampler(sample, mean=mu, std=std, kl=kl, name=name))
    if kind == "KL":
        return _worst(check_kl(kl, mu, std.astype(dtype), sample=sample, name=name))

    def draw(rng):
        z = sample(rng).copy()
        dz = rng.standard_normal(z.shape).astype(dtype)
        return z, dz, terms.sampler.backward(dz)[1]

    # float32 forms z - mean by cancellation, of values about a hundred roundings apart in size
    return _worst(check_same_draw(draw, mu, tolerance=None if dtype == "float64" else 1e-4, name=name))


def agreement(name, pairs, dtype):
    """Values against a reference: the largest difference in roundings of the largest value."""
    worst, text = 0.0, ""
    for what, got, wanted in pairs:
        got, wanted = np.asarray(got, dtype=np.float64), np.asarray(wanted, dtype=np.float64)
        if got.shape != wanted.shape:
            return Outcome(False, np.inf, 1.0, f"{name}: {what} has shape {got.shape}, the reference {wanted.shape}")
        same = np.isfinite(wanted) & np.isfinite(got)
        if not np.array_equal(got[~same], wanted[~same], equal_nan=True):
            first = [int(i) for i in np.argwhere(~same & (got != wanted))[0]]
            return Outcome(False, np.inf, 1.0, f"{name}: {what} at {first} is not finite on one side only")
        got, wanted = np.where(same, got, 0.0), np.where(same, wanted, 0.0)
        gap = np.abs(got - wanted)
        size = max(1e-30, float(np.max(np.abs(wanted), initial=0.0)))
        off = float(np.max(gap, initial=0.0)) / (size * float(np.finfo(dtype).eps))
        if off >= worst:
            at = [int(i) for i in np.unravel_index(int(np.argmax(gap)), gap.shape)] if gap.ndim else []
            worst = off
            mine, theirs = got[tuple(at)], wanted[tuple(at)]
            text = f"{what} at {at}: {mine:.9g}, reference {theirs:.9g}, {off:.3g} roundings"
    return Outcome(worst <= 256.0, worst, 256.0, f"{name}: {text}")


def _values(make, name, parts, dtype):
    """Outputs of forward against formulas written out in NumPy, which share no code with the parts."""
    subject = make(parts, dtype, name=name)
    return agreement(name, reference_values(subject), dtype)


def _loss(make, name, parts, dtype):
    """The three terms of the model's loss against the negative ELBO computed from its parameters."""
    subject = make(parts, dtype, name=name)
    model, x, noise = subject.target, subject.inputs["x"], subject.options["fixed"]["noise"]
    got = model.forward(x, noise)
    return agreement(name, zip(("loss", "nll", "kl"), got, reference_loss(model, x, noise), strict=True), dtype)


def _twin(make, name, parts, dtype):
    """Gradients in float32 against those of the same model in float64, which differences can judge more sharply."""
    narrow, wide = make(parts, "float32", name=name), make(parts, "float64", name=name)
    for array, source in zip(wide.target.parameters.values(), narrow.target.parameters.values(), strict=True):
        array[...] = source
    for subject, kind in ((narrow, "float32"), (wide, "float64")):
        values = {**subject.inputs, **subject.options["fixed"]}
        subject.target.forward(*(v.astype("float32").astype(kind) for v in values.values()))
        subject.target.backward()
    pairs = [(n, g, wide.target.gradients[n]) for n, g in narrow.target.gradients.items()]
    return agreement(name, pairs, "float32")


def gradient_checks():
    """The checks that need no more than the parts themselves."""
    checks = []
    for section, list_ in subjects().items():
        for name, make in list_:
            if section in ("model", "bounds"):
                checks.append(Check(section, name, "gradient", partial(_gradient, make, name), ("float64",)))
                checks.append(Check(section, name, "against float64", partial(_twin, make, name), ("float32",)))
            else:
                checks.append(Check(section, name, "gradient", partial(_gradient, make, name)))
            if section in ("model", "bounds"):
                what = "loss against the ELBO" if section == "model" else "loss against the bound"
                checks.append(Check(section, name, what, partial(_loss, make, name)))
            elif not name.startswith("sampler and KL"):
                checks.append(Check(section, name, "values", partial(_values, make, name)))
    whats = {"distribution": "samples against q", "KL": "KL against Monte Carlo", "same draw": "same draw in backward"}
    for scale in ("softplus", "exp"):
        for kind, what in whats.items():
            checks.append(Check("sampler", f"sampler {scale}", what, partial(_sampling, kind, scale)))
    return checks
