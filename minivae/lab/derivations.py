"""The numbers that check docs/derivations.md: what is derived there beside what the code computes.

Means over draws are sums over the nodes of a Gauss-Hermite rule for the noise, through the model's own passes down and
up, so they are exact to the digits shown; where draws are needed it is said. The model is that of `minivae lab bounds`.
"""

import math
from types import SimpleNamespace

import numpy as np

from .. import estimators as est
from ..kernels import load_backend
from . import linear_gaussian, report, signal_to_noise

NODES = 40
STEP = 1e-5  # of central differences
KS = 1, 2, 3  # draws of a bound whose mean is taken by nodes
MANY = 128  # draws of a bound that is near its limit


def pair(what, derived, code, digits=4):
    return f"{what}: derived {derived:.{digits}f}, code {code:.{digits}f}"


def nodes(samples=1):
    """Noise (NODES^samples * samples, 1) and the weight (NODES^samples,) of each group of rows; they sum to 1."""
    points, weights = np.polynomial.hermite_e.hermegauss(NODES)
    grids = np.meshgrid(*[points] * samples, indexing="ij")
    noise = np.stack(grids, axis=-1).reshape(-1, 1)
    weight = np.ones(1)
    for _ in range(samples):
        weight = np.outer(weight, weights / weights.sum()).ravel()
    return noise, weight


def through(model, x, noise):
    """Per group of draws: -L_K (n,), and its gradients with respect to mu and log sigma (n, 2)."""
    rows = np.repeat(x, len(noise) // model.config["samples"], 0)
    dmu, drho, _ = linear_gaussian.gradients_of_replicates(model, rows, noise)
    return model.bound.loss.copy(), np.hstack([dmu, drho])


def mean_bound(samples, objective="iwae"):
    """E[L_K] and its gradient with respect to (mu, log sigma) by the objective's estimator, (2,)."""
    model, x = signal_to_noise.setting(objective, samples)
    noise, weight = nodes(samples)
    loss, gradient = through(model, x, noise)
    return -weight @ loss, -weight @ gradient


def log_p():
    model, x = signal_to_noise.setting()
    return float(linear_gaussian.log_likelihood(model, x)[0])


def jensen():
    """1: the weights average to p(x), and the mean of their logarithm is below its logarithm."""
    model, x = signal_to_noise.setting()
    noise, weight = nodes()
    loss, _ = through(model, x, noise)
    both = pair("log E[w]", log_p(), math.log(weight @ np.exp(-loss)))
    return f"{both}; E[log w] {-weight @ loss:.4f}, lower"


def kl_of_shift():
    """KL(q || p(z|x)) of the model's two normal distributions, by its formula."""
    model, _ = signal_to_noise.setting()
    variance = float(linear_gaussian.posterior(model)[1][0, 0])
    shift, log_sigma = signal_to_noise.SHIFT["mean"], signal_to_noise.SHIFT["log_sigma"]
    return 0.5 * (shift**2 / variance + math.exp(2 * log_sigma) - 1) - log_sigma


def gap():
    """2: log p(x) - ELBO against KL(q || p(z|x))."""
    return pair("log p(x) - ELBO", kl_of_shift(), log_p() - mean_bound(1)[0])


class Jump:
    """f = 1 for z > 0, else 0: its derivative is 0 wherever it has one."""

    def __call__(self, z):
        return (z > 0) * 1.0

    def derivative(self, z):
        return np.zeros_like(z)


def exchange():
    """3: a kink and a jump under N(0.5, 1): d/dmu of E[max(z, 0)] and of P(z > 0), by a million draws."""
    q, jump, kink = est.Normal(0.5, 1.0), Jump(), SimpleNamespace(derivative=Jump())
    at_kink, at_jump = 0.5 * (1 + math.erf(0.5 / math.sqrt(2))), math.exp(-0.125) / math.sqrt(2 * math.pi)

    def mean(estimator, f):
        return estimator(f, q, np.random.default_rng(0), 1_000_000)[:, 0].mean()

    lines = [pair("kink, pathwise", at_kink, mean(est.pathwise, kink), 2)]
    lines.append(pair("jump, score function", at_jump, mean(est.score_function, jump), 2))
    lines.append(pair("jump, measure-valued", at_jump, mean(est.measure_valued, jump), 2))
    return "; ".join([*lines, f"jump, pathwise: {mean(est.pathwise, jump):.2f}, wrong"])


def gaussian_kl():
    """4: KL(N(0.5, 0.7^2) || N(0, 1)) by nodes and its differences, against the kernels' value and gradients."""
    backend, mu = load_backend("numpy"), 0.5
    noise, weight = nodes()

    def kl(mu, sigma):  # E_q[log q(z) - log p(z)]
        z = mu + sigma * noise[:, 0]
        return weight @ (0.5 * z**2 - 0.5 * noise[:, 0] ** 2 - math.log(sigma))

    def difference(f, at):
        return (f(at + STEP) - f(at - STEP)) / (2 * STEP)

    lines = []
    for scale, rho in (("exp", math.log(0.7)), ("softplus", math.log(math.expm1(0.7)))):
        sigma_of = math.exp if scale == "exp" else lambda rho: math.log1p(math.exp(rho))
        at = np.full((1, 1), mu), np.full((1, 1), rho), np.full((1, 1), 0.7)
        value, dmu, drho = (np.zeros((1, 1)) for _ in range(3))
        backend.gaussian_kl_forward(at[0], at[1], at[2], scale, value)
        backend.gaussian_kl_backward(at[0], at[1], at[2], np.ones(1), scale, dmu, drho)
        slope = difference(lambda rho, sigma_of=sigma_of: kl(mu, sigma_of(rho)), rho)
        lines.append(pair(f"d/drho, {scale}", slope, drho[0, 0]))
    first = [pair("KL", kl(mu, 0.7), value[0, 0]), pair("d/dmu", difference(lambda mu: kl(mu, 0.7), mu), dmu[0, 0])]
    return "; ".join(first + lines)


def bernoulli():
    """5: nll and its slope at the logits 1.5, for x = 1, and -800, where the probability itself is 0 in float64."""
    backend, one = load_backend("numpy"), np.ones((1, 1))

    def code(logit):
        nll, dlogit = np.zeros(1), np.zeros((1, 1))
        backend.bernoulli_nll(one, np.array([[logit]]), np.ones(1), nll, dlogit)
        return nll[0], dlogit[0, 0]

    def derived(logit):
        return -math.log(1 / (1 + math.exp(-logit)))

    value, slope = code(1.5)
    difference = (derived(1.5 + STEP) - derived(1.5 - STEP)) / (2 * STEP)
    return "; ".join(
        [pair("nll", derived(1.5), value), pair("d/dlogit", difference, slope), f"at -800: {code(-800.0)[0]:g}"]
    )


def monotone():
    """6: E[L_1], E[L_2], E[L_3] and what they approach."""
    values = " < ".join(f"{mean_bound(samples)[0]:.3f}" for samples in KS)
    return f"{values} < log p(x) = {log_p():.3f}"


def iwae_gradient():
    """7: the way up against differences of L_3 for three fixed draws."""
    noise, lines = np.array([[0.3], [-1.1], [0.8]]), []
    for name, moved, column in (("mu", "mean", 0), ("log sigma", "log_sigma", 1)):
        ends = []
        for step in (STEP, -STEP):
            model, x = signal_to_noise.setting(samples=3)
            linear_gaussian.shift_posterior(model, **{moved: step})
            ends.append(-through(model, x, noise)[0][0])
        model, x = signal_to_noise.setting(samples=3)
        lines.append(pair(f"dL_3/d{name}", (ends[0] - ends[1]) / (2 * STEP), -through(model, x, noise)[1][0, column]))
    return "; ".join(lines)


def doubly():
    """8: means of three estimators of dE[L_2]/dmu, and the difference of E[L_2]: one of them is biased."""
    ends = []
    noise, weight = nodes(2)
    for step in (STEP, -STEP):
        model, x = signal_to_noise.setting(samples=2)
        linear_gaussian.shift_posterior(model, mean=step)
        ends.append(-weight @ through(model, x, noise)[0])
    difference = (ends[0] - ends[1]) / (2 * STEP)
    means = {name: mean_bound(2, name)[1][0] for name in ("iwae", "dreg", "stl")}
    right = [pair(name, difference, means[name]) for name in ("iwae", "dreg")]
    return "; ".join([*right, f"stl: {means['stl']:.4f}, biased"])


def rates(replicates=20_000):
    """9: K times the mean, and sqrt(K) times the deviation, of dL_K/dmu at K = MANY by draws, against their limits."""
    model, x = signal_to_noise.setting()
    noise, weight = nodes()
    loss, gradient = through(model, x, noise)
    relative = np.exp(-loss - log_p())  # w / p(x)
    slope = -relative * gradient[:, 0]  # d(w / p(x)) / dmu
    limit, deviation = -weight @ (relative * slope), math.sqrt(weight @ slope**2)
    (phi, _), (dreg, _) = (
        signal_to_noise.replicate(name, MANY, 1, replicates, [0, MANY, i]) for i, name in enumerate(("iwae", "dreg"))
    )
    mean = pair(f"K E[dL_K/dmu] at K = {MANY}", limit, -MANY * dreg[:, 0].mean(), 2)
    return f"{mean}; {pair('sqrt(K) times its deviation', deviation, math.sqrt(MANY) * phi[:, 0].std(), 2)}"


CHECKS = (jensen, gap, exchange, gaussian_kl, bernoulli, monotone, iwae_gradient, doubly, rates)


def run(folder, seed=0, progress=None):
    rows = [{"derivation": check.__name__, "check": check()} for check in report.bar(CHECKS, "derivations", progress)]
    report.write_table(folder / "derivations.csv", rows)
    return [f"{row['derivation']}: {row['check']}" for row in rows]
