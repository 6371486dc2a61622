"""Inputs for every kernel of the contract, with error bounds for what it computes.

A case is (arguments, bounds): the arguments in order, and for the index of each argument that the kernel writes the
largest absolute error allowed, a number or an array. Bounds follow from the number of roundings: a sum of n terms is
off by at most about n * eps * (sum of their absolute values), whatever the order of summation (Higham, "Accuracy and
Stability of Numerical Algorithms", 2nd edition, section 4.2), and an elementary function is taken to be good to
ELEMENTARY eps.
"""

import numpy as np

from minivae.kernels import naive
from minivae.kernels.naive import ACTIVATIONS, PIXELS, SCALES

ELEMENTARY = 8
SIZES = (1, 2, 3, 7, 16, 33)


def eps(dtype):
    return np.finfo(dtype).eps


def matrix(rng, shape, dtype, scale=1.0):
    return (scale * rng.standard_normal(shape)).astype(dtype)


def output(shape, dtype):
    """Filled with NaN, so that an element the kernel forgets is seen."""
    return np.full(shape, np.nan, dtype)


def dense_shapes(rng):
    yield from ((1, 1, 1), (1, 5, 3), (3, 1, 2), (2, 7, 1), (17, 31, 33), (13, 64, 29))
    for _ in range(4):
        yield tuple(int(n) for n in rng.integers(1, 70, 3))


def activated(x, weight, bias, activation):
    y = np.empty((x.shape[0], weight.shape[1]))
    naive.dense_forward(x, weight, bias, activation, y)
    return y.astype(x.dtype)


def dense_forward(dtype, rng):
    for rows, inputs, outputs in dense_shapes(rng):
        for activation in ACTIVATIONS:
            x, weight = matrix(rng, (rows, inputs), dtype), matrix(rng, (inputs, outputs), dtype)
            bias = matrix(rng, outputs, dtype)
            size = np.abs(x) @ np.abs(weight) + np.abs(bias)
            bound = eps(dtype) * ((inputs + 1) * size + ELEMENTARY * (1 + size))
            yield [x, weight, bias, activation, output((rows, outputs), dtype)], {4: bound}


def dense_backward(dtype, rng):
    for number, (rows, inputs, outputs) in enumerate(dense_shapes(rng)):
        for activation in ACTIVATIONS:
            x, weight = matrix(rng, (rows, inputs), dtype), matrix(rng, (inputs, outputs), dtype)
            y = activated(x, weight, matrix(rng, outputs, dtype), activation)
            dy = matrix(rng, (rows, outputs), dtype)
            # activation' is at most 1 and off by a few roundings
            size, few = np.abs(dy), ELEMENTARY + 2
            dx = None if number % 3 == 1 else output((rows, inputs), dtype)
            bounds = {
                5: eps(dtype) * (outputs + few) * (size @ np.abs(weight.T)),
                6: eps(dtype) * (rows + few) * (np.abs(x.T) @ size),
                7: eps(dtype) * (rows + few) * size.sum(axis=0),
            }
            if dx is None:
                del bounds[5]
            arrays = [dx, output(weight.shape, dtype), output(outputs, dtype)]
            yield [x, weight, y, dy, activation, *arrays], bounds


def standard_normal(dtype, rng):
    for seed, step, shape in ((0, 0, (1,)), (7, 3, (5, 3)), (2**64 - 1, 2**40 + 1, (9, 13)), (1, 2**62, (257,))):
        yield [seed, int(rng.integers(7)), np.array([step]), output(shape, dtype)], {3: 0.0}


def posteriors(dtype, rng):
    """mu and rho as columns of a wider array, as a model has them, with rho far out on both sides; noise; scale."""
    for n, latent, samples in ((1, 1, 1), (3, 2, 1), (2, 3, 4), (9, 5, 1), (17, 20, 3)):
        for scale in SCALES:
            head = matrix(rng, (n, 2 * latent), dtype, 2.0)
            head[0, latent] = -70.0 if scale == "softplus" else -30.0
            head[-1, -1] = 30.0 if scale == "softplus" else 9.0
            mu, rho = head[:, :latent], head[:, latent:]
            yield mu, rho, matrix(rng, (n * samples, latent), dtype), scale, samples


def true_sigma(rho, scale):
    rho = rho.astype(np.float64)
    return np.logaddexp(0, rho) if scale == "softplus" else np.exp(rho)


def reparameterize_forward(dtype, rng):
    for mu, rho, noise, scale, samples in posteriors(dtype, rng):
        sigma = true_sigma(rho, scale)
        # exp(rho) turns the rounding of rho, |rho| eps, into a relative error of its own
        relative = eps(dtype) * (ELEMENTARY + np.abs(rho))
        size = np.abs(np.repeat(mu, samples, 0)) + np.repeat(sigma * (1 + ELEMENTARY), samples, 0) * np.abs(noise)
        bounds = {
            4: relative * sigma,
            5: eps(dtype) * 2 * size + np.repeat(relative * sigma, samples, 0) * np.abs(noise),
        }
        yield [mu, rho, noise, scale, output(mu.shape, dtype), output(noise.shape, dtype)], bounds


def reparameterize_backward(dtype, rng):
    for mu, rho, noise, scale, samples in posteriors(dtype, rng):
        sigma = true_sigma(rho, scale).astype(dtype)
        dz = matrix(rng, noise.shape, dtype)
        grouped = np.abs(dz).reshape(len(mu), samples, -1).sum(1)
        product = np.abs(dz * noise).reshape(len(mu), samples, -1).sum(1)
        slope = sigma if scale == "exp" else 1.0
        bounds = {5: eps(dtype) * samples * grouped, 6: eps(dtype) * (samples + 2 * ELEMENTARY) * product * slope}
        columns = output((len(mu), 2 * mu.shape[1]), dtype)
        dmu, drho = columns[:, : mu.shape[1]], columns[:, mu.shape[1] :]
        yield [rho, sigma, noise, dz, scale, dmu, drho], bounds


def gaussian_kl_forward(dtype, rng):
    for mu, rho, _, scale, _ in posteriors(dtype, rng):
        sigma = true_sigma(rho, scale).astype(dtype)
        size = mu.astype(np.float64) ** 2 + sigma.astype(np.float64) ** 2 + 1 + np.abs(rho)
        yield [mu, rho, sigma, scale, output(mu.shape, dtype)], {4: eps(dtype) * ELEMENTARY * size}


def gaussian_kl_backward(dtype, rng):
    for mu, rho, _, scale, _ in posteriors(dtype, rng):
        sigma = true_sigma(rho, scale).astype(dtype)
        weight = np.abs(matrix(rng, len(mu), dtype))
        dmu, drho = matrix(rng, mu.shape, dtype), matrix(rng, mu.shape, dtype)
        bounds = {
            5: eps(dtype) * 3 * (np.abs(dmu) + weight[:, None] * np.abs(mu)),
            6: eps(dtype)
            * 2
            * ELEMENTARY
            * (np.abs(drho) + weight[:, None] * (sigma.astype(np.float64) ** 2 + sigma + 1)),
        }
        yield [mu, rho, sigma, weight, scale, dmu, drho], bounds


def likelihood_inputs(dtype, rng):
    for n, features, samples in ((1, 1, 1), (3, 2, 1), (2, 9, 3), (5, 31, 1), (16, 33, 2)):
        for parts in ("both", "nll", "gradient"):
            rows = n * samples
            nll = None if parts == "gradient" else output(rows, dtype)
            gradient = None if parts == "nll" else output((rows, features), dtype)
            weight = None if parts == "nll" else np.abs(matrix(rng, rows, dtype))
            yield (
                rng.random((n, features)).astype(dtype),
                matrix(rng, (rows, features), dtype, 4.0),
                weight,
                nll,
                gradient,
                samples,
            )


def bernoulli_nll(dtype, rng):
    for x, logits, weight, nll, gradient, samples in likelihood_inputs(dtype, rng):
        x[0, 0], x[-1, -1] = 0, 1
        logits[0, 0], logits[-1, -1] = -90, 90
        wide = np.repeat(x, samples, 0)
        size = (np.logaddexp(0, logits.astype(np.float64)) + wide * np.abs(logits)).sum(1)
        bounds = {3: eps(dtype) * (x.shape[1] + ELEMENTARY) * (size + 1)}
        if nll is None:
            bounds = {}
        if gradient is not None:
            bounds[4] = eps(dtype) * ELEMENTARY * weight[:, None] * np.ones_like(logits)
        yield [x, logits, weight, nll, gradient], bounds


def gaussian_nll(dtype, rng):
    for number, (x, mean, weight, nll, gradient, samples) in enumerate(likelihood_inputs(dtype, rng)):
        log_sigma = np.array([(-1.0, 0.0, 0.7)[number % 3]], dtype)
        precision = np.exp(-2.0 * log_sigma[0])
        difference = np.abs(mean - np.repeat(x, samples, 0)) + eps(dtype) * np.abs(mean)
        squares = precision * (difference.astype(np.float64) ** 2).sum(1)
        features = x.shape[1]
        bounds = {}
        if nll is not None:
            bounds[4] = eps(dtype) * (features + ELEMENTARY) * (squares + 2 * features)
        dlog_sigma = None
        if gradient is not None:
            bounds[5] = eps(dtype) * ELEMENTARY * weight[:, None] * precision * (difference + 1)
            if number % 2:
                dlog_sigma = output(1, dtype)
                bounds[6] = eps(dtype) * (features + len(mean) + ELEMENTARY) * (weight * (squares + features)).sum()
        yield [x, mean, log_sigma, weight, nll, gradient, dlog_sigma], bounds


def log_weights(dtype, rng):
    for mu, rho, noise, scale, samples in posteriors(dtype, rng):
        z = matrix(rng, noise.shape, dtype)
        nll = matrix(rng, len(noise), dtype, 50.0)
        log_sigma = np.repeat(np.log(true_sigma(rho, scale)), samples, 0)
        size = np.abs(nll) + (noise.astype(np.float64) ** 2 + z.astype(np.float64) ** 2 + np.abs(log_sigma) + 1).sum(1)
        bound = eps(dtype) * (mu.shape[1] + ELEMENTARY) * size
        sigma = true_sigma(rho, scale).astype(dtype)
        yield [nll, rho, sigma, noise, z, scale, output(len(noise), dtype)], {6: bound}


def importance_weights(dtype, rng):
    for n, outer, inner in ((1, 1, 1), (3, 1, 5), (2, 4, 1), (4, 3, 2), (2, 5, 33)):
        for pooled, squared, spread in ((False, False, 2.0), (False, True, 2.0), (True, False, 40.0)):
            rows = n * outer * inner
            log_weight = matrix(rng, rows, dtype, spread) - np.dtype(dtype).type(90)
            # exponents are differences of numbers of about this size, and their roundings are relative errors of exp
            relative = eps(dtype) * (inner * outer + 4 * ELEMENTARY + 8 * np.abs(log_weight).max())
            exact = [np.empty(size) for size in (n, rows, rows, rows)]
            naive.importance_weights(log_weight.astype(np.float64), outer, pooled, squared, *exact)
            loss, weight, latent_weight, ratio = exact
            bounds = {
                4: relative * (1 + np.abs(loss)),
                5: relative * weight,
                6: relative * latent_weight,
                7: relative * ratio,
            }
            outputs = [output(n, dtype), *(output(rows, dtype) for _ in range(3))]
            yield [log_weight, outer, pooled, squared, *outputs], bounds


def importance_gradient(dtype, rng):
    for mu, rho, noise, scale, _ in posteriors(dtype, rng):
        sigma = np.maximum(true_sigma(rho, scale), 1e-3).astype(dtype)
        z, dz = matrix(rng, noise.shape, dtype), matrix(rng, noise.shape, dtype)
        latent_weight, ratio = np.abs(matrix(rng, len(z), dtype)), np.abs(matrix(rng, len(z), dtype, 3.0))
        for path in (False, True):
            slope = np.abs(z) + path * np.abs(noise) / np.repeat(sigma, len(z) // len(mu), 0)
            bound = 6 * eps(dtype) * (ratio[:, None] * np.abs(dz) + latent_weight[:, None] * slope)
            yield [z, noise, sigma, latent_weight, ratio, path, dz.copy()], {6: bound}


def log_sigma_backward(dtype, rng):
    for _, rho, _, scale, _ in posteriors(dtype, rng):
        sigma = true_sigma(rho, scale).astype(dtype)
        weight = np.abs(matrix(rng, len(rho), dtype))
        drho = matrix(rng, rho.shape, dtype)
        bound = 2 * eps(dtype) * ELEMENTARY * (np.abs(drho) + weight[:, None])
        yield [rho, sigma, weight, scale, drho], {4: bound}


def clip_norm(dtype, rng):
    for size in SIZES:
        for limit in (1e-3, 1e3):
            gradient = matrix(rng, size, dtype)
            norm = np.linalg.norm(gradient.astype(np.float64))
            bounds = {0: eps(dtype) * 4 * np.abs(gradient), 2: 4 * eps("float64") * size * norm}
            if dtype == "float32":
                bounds[2] += eps(dtype) * norm  # the sum may be of float32 squares
            yield [gradient, limit, output(1, "float64")], bounds


def moments(rng, size, dtype):
    return [matrix(rng, size, dtype), matrix(rng, size, dtype), matrix(rng, size, dtype)]


def sgd_update(dtype, rng):
    for size in SIZES:
        for momentum, nesterov in ((0.0, False), (0.9, False), (0.9, True)):
            parameter, gradient, velocity = moments(rng, size, dtype)
            scale = np.abs(parameter) + np.abs(gradient) + np.abs(velocity)
            bounds = {0: eps(dtype) * 4 * scale, 2: eps(dtype) * 4 * scale}
            if not momentum:
                velocity = None
                del bounds[2]
            rates = np.array([0.5, 0.25])
            clock = np.array([int(rng.integers(4))])
            yield [parameter, gradient, velocity, rates, clock, momentum, nesterov], bounds


def adam_update(dtype, rng):
    for size in (*SIZES, 5001):
        for step, decay in ((0, 0.0), (3, 0.01), (100_000, 0.0)):
            parameter, gradient, first = moments(rng, size, dtype)
            second = matrix(rng, size, dtype) ** 2
            gradient[0] = 0.0  # as in the gaps between parameters
            first[0] = second[0] = 0.0
            scale = np.abs(first) + np.abs(gradient) + gradient.astype(np.float64) ** 2 + second
            rates = np.array([1e-3])
            correction = (1 - 0.9 ** (step + 1)) / np.sqrt(1 - 0.999 ** (step + 1))
            new_second = np.sqrt(0.999 * second + 0.001 * gradient.astype(np.float64) ** 2) + 1e-9
            update = 1e-3 * (np.abs(first) + np.abs(gradient)) / correction / new_second
            # 1 - beta^t loses digits where beta^t is near 1, in the specification too
            cancellation = eps("float64") * (1 / (1 - 0.9 ** (step + 1)) + 1 / (1 - 0.999 ** (step + 1)))
            bounds = {
                0: eps(dtype) * ELEMENTARY * (np.abs(parameter) + update) + cancellation * update,
                2: eps(dtype) * 4 * scale,
                3: eps(dtype) * 4 * scale,
            }
            yield [parameter, gradient, first, second, rates, np.array([step]), 0.9, 0.999, 1e-8, decay], bounds


def gather(dtype, rng):
    for kind in ("uint8", "float32", "float64"):
        for examples, features, batch_size, step in ((1, 1, 1, 0), (7, 3, 3, 2), (7, 3, 3, 4), (40, 33, 16, 1)):
            for pixels in PIXELS:
                data = rng.random((examples, features))
                data[0, 0], data[-1, -1] = 0, 1
                data = np.round(255 * data).astype(kind) if kind == "uint8" else data.astype(kind)
                batches = -(-examples // batch_size)
                rows = min(batch_size, examples - (step % batches) * batch_size)
                bound = eps(dtype) if pixels == "grey" else 0.0
                x = output((rows, features), dtype)
                yield [data, rng.permutation(examples), np.array([step]), batch_size, pixels, 2**63 + 5, x], {6: bound}


def accumulate(dtype, rng):
    for n, latent, samples in ((1, 1, 1), (3, 2, 1), (4, 5, 3)):
        for bad in (False, True):
            nll, kl = np.abs(matrix(rng, n * samples, dtype)), np.abs(matrix(rng, (n, latent), dtype))
            totals = np.array([5.0, 3.0, 2.0, 0.0, 0.0])
            if bad:
                nll[-1] = np.inf
            bound = (
                eps("float64")
                * (nll.size + kl.size + 8)
                * (float(kl.sum()) + 20 + float(nll[: -1 if bad else None].sum()))
            )
            yield [nll, kl, 0.5, totals, np.array([11])], {3: bound}


def tick(dtype, rng):
    yield [np.array([2**40])], {0: 0}
