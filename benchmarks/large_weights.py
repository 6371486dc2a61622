"""Gradients and losses of all objectives where log w is large, against the formulas of minivae/bounds.py in float64.

    python -m benchmarks.large_weights

Three models, six objectives, both dtypes, every backend present, |log w| from 1e3 to 1e8. The reference is plain NumPy
and gets the parameters, the noise and the log weights of the model, these as they were rounded: at 1e8 float32 counts
in eights, so that weights from exact logarithms would be others, by no fault of what is done with them.
"""

import argparse

import numpy as np

from minivae import VAE
from minivae.bounds import GRADIENTS, OBJECTIVES
from minivae.kernels import available_backends, load_backend

HEIGHTS = (1e3, 1e5, 1e7, 1e8)
LIMITS = {"float32": 1e-5, "float64": 1e-12}
N, M, K, FEATURES, LATENT = 3, 2, 4, 6, 2
# Which weights: all near exp(height), all near exp(-height), or a Gaussian with a sigma that spreads log w down to it.
CASES = ("above", "below", "spread")


class Lifted:
    """nll = sum (x - output)^2 / (2 s^2) - height, with s such that the draws of an example differ by some units in the
    last place of height.
    """

    outputs = 1

    def __init__(self, height):
        self.height, self.s = height, 0.7 / np.sqrt(max(1.0, abs(height) / 2e7))

    def forward(self, x, output):
        self.r = (np.repeat(x, len(output) // len(x), axis=0) - output) / output.dtype.type(self.s)
        return ((self.r**2).sum(axis=1) / 2 - self.height).astype(output.dtype)

    def backward(self, weight):
        return -weight[:, None] * self.r / weight.dtype.type(self.s)


def build(objective, dtype, case, height, backend):
    """(model, x, noise, s): with the case's likelihood, whose gradient by its mean is (mean - x) / s^2."""
    outer = 1 if objective in ("elbo", "iwae") else M
    options = {"objective": objective, "samples": M * K // outer, "outer": outer, "dtype": dtype, "activation": "tanh"}
    rng = np.random.default_rng(2)
    x, noise = rng.random((N, FEATURES)).astype(dtype), rng.standard_normal((N * M * K, LATENT)).astype(dtype)
    if case == "spread":
        noise[1::2] = noise[::2]  # in pairs, or one draw would have all the weight
        s = float(np.sqrt(FEATURES / height))
        options |= {"likelihood": "gaussian", "observation_sigma": s}
    else:
        options["likelihood"] = Lifted(height if case == "above" else -height)
        s = options["likelihood"].s
    model = VAE(FEATURES, LATENT, (5,), backend=backend, seed=4, **options)
    model.backend.assign(model.store.flat, 3 * model.backend.to_host(model.store.flat))
    return model, x, noise, s


def reference(objective, outer, p, x, noise, s, log_weight):
    """The loss and the gradients by name, from float64 parameters p and the log weights (n, M K)."""
    n, samples = log_weight.shape
    h = np.tanh(x @ p["encoder.0.weight"] + p["encoder.0.bias"])
    mu, rho = np.split(h @ p["posterior.weight"] + p["posterior.bias"], 2, axis=1)
    sigma = np.logaddexp(0, rho)
    wide_sigma = np.repeat(sigma, samples, 0)
    z = np.repeat(mu, samples, 0) + wide_sigma * noise
    g = np.tanh(z @ p["decoder.0.weight"] + p["decoder.0.bias"])
    slope = (g @ p["likelihood.weight"] + p["likelihood.bias"] - np.repeat(x, samples, 0)) / s**2

    def normalized(groups):
        """u of each draw, and log mean w of each group."""
        logs = log_weight.reshape(n * groups, -1)
        top = logs.max(axis=1, keepdims=True)
        u = np.exp(logs - top)
        return (u / u.sum(axis=1, keepdims=True)).reshape(-1), top[:, 0] + np.log(u.mean(axis=1))

    if objective == "elbo":
        theta = c = np.full(n * samples, 1 / (n * samples))
    else:
        (u, bounds), (pooled_u, pooled_bounds) = normalized(outer), normalized(1)
        pooled, squared, path = GRADIENTS[objective]
        loss = -(pooled_bounds if pooled else bounds).mean()
        theta = pooled_u / n if pooled else u / (n * outer)
        c = (u**2 if squared else u) / (n * outer)

    def down(weight):
        """dz, and the decoder's gradients, of the sum of weight * nll."""
        do = weight[:, None] * slope
        da = do @ p["likelihood.weight"].T * (1 - g**2)
        gradients = {"likelihood.weight": g.T @ do, "likelihood.bias": do.sum(0)}
        return da @ p["decoder.0.weight"].T, gradients | {"decoder.0.weight": z.T @ da, "decoder.0.bias": da.sum(0)}

    _, gradients = down(theta)
    dz, _ = down(c)
    if objective != "elbo":
        dz += c[:, None] * (z - noise / wide_sigma * path)
    dmu, dsigma = (a.reshape(n, samples, -1).sum(1) for a in (dz, dz * noise))
    if objective == "elbo":
        dmu, dsigma = dmu + mu / n, dsigma + (sigma - 1 / sigma) / n
    elif not path:
        dsigma -= c.reshape(n, samples).sum(1, keepdims=True) / sigma
    dhead = np.hstack([dmu, dsigma / (1 + np.exp(-rho))])
    gradients |= {"posterior.weight": h.T @ dhead, "posterior.bias": dhead.sum(0)}
    da = dhead @ p["posterior.weight"].T * (1 - h**2)
    gradients |= {"encoder.0.weight": x.T @ da, "encoder.0.bias": da.sum(0)}
    if objective == "elbo":  # the mean of nll + KL, with nll = log p(z) - log q(z|x) - log w
        kl = 0.5 * (mu**2 + sigma**2 - 1) - np.log(sigma)
        log_ratio = (noise**2 - z**2) / 2 + np.repeat(np.log(sigma), samples, 0)
        loss = log_ratio.sum(1).mean() - log_weight.mean() + kl.sum(1).mean()
    return loss, gradients


def errors(objective, dtype, case, height, backend="numpy"):
    """Largest relative errors of the gradients (of each array's largest element) and of the loss, and max |log w|."""
    model, x, noise, s = build(objective, dtype, case, height, backend)
    backend = model.backend
    loss = model.forward(x, noise).loss
    model.backward()
    sampler, log_weight = model.sampler, backend.zeros((len(noise),), dtype)
    nll, _ = model.pass_down(backend.from_host(x), backend.from_host(noise))
    backend.log_weights(nll, sampler.rho, sampler.sigma, sampler.noise, sampler.z, model.scale, log_weight)
    log_weight = backend.to_host(log_weight).astype(np.float64).reshape(N, -1)
    parameters = {name: backend.to_host(value).astype(np.float64) for name, value in model.parameters.items()}
    inputs = (a.astype(np.float64) for a in (x, noise))
    exact_loss, exact = reference(objective, model.config["outer"], parameters, *inputs, s, log_weight)
    error = 0.0
    for name, value in exact.items():
        difference = np.abs(backend.to_host(model.gradients[name]) - value).max()
        error = max(error, float(difference / np.abs(value).max()))
    return error, abs(loss / exact_loss - 1), float(np.abs(log_weight).max())


def cases(backend):
    """Those that a backend can run: a likelihood of one's own takes NumPy arrays."""
    return CASES if load_backend(backend).on_host else ("spread",)


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f"| backend | dtype | {' | '.join(OBJECTIVES)} | loss | limit |")
    print("| --- | --- |" + " --: |" * (len(OBJECTIVES) + 2))
    for backend in available_backends():
        for dtype, limit in LIMITS.items():
            # objectives, cases and heights, (gradient, loss)
            found = np.array(
                [
                    [
                        errors(objective, dtype, case, height, backend)[:2]
                        for case in cases(backend)
                        for height in HEIGHTS
                    ]
                    for objective in OBJECTIVES
                ]
            )
            numbers = [*found[:, :, 0].max(axis=1), found[:, :, 1].max(), limit]
            print(f"| {backend} | {dtype} | {' | '.join(f'{number:.0e}' for number in numbers)} |")


if __name__ == "__main__":
    main()
