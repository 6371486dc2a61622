"""Every kernel of a backend against its twin in `kernels/naive.py`, at sizes that no tile divides."""

from functools import partial

import numpy as np

from .catalog import Check, Outcome, agreement

REPEATS = 3  # runs whose results must be the same bits: a race in a reduction shows as a difference
SHAPES = ((1, 1, 1), (2, 7, 1), (5, 3, 9), (17, 33, 31), (33, 65, 67))  # rows, inputs, outputs


def _normal(rng, shape, dtype, scale=1.0):
    return (scale * rng.standard_normal(shape)).astype(dtype)


def _blank(shape, dtype):
    """Filled with NaN: an element that a kernel forgets stays visible."""
    return np.full(shape, np.nan, dtype)


def _dense_forward(rng, dtype):
    for k, (rows, inputs, outputs) in enumerate(SHAPES):
        for activation in ("identity", "relu", "tanh", "sigmoid", "softplus")[k % 2 : 5 if k < 4 else 2]:
            x, weight = _normal(rng, (rows, inputs), dtype), _normal(rng, (inputs, outputs), dtype)
            yield [x, weight, _normal(rng, outputs, dtype), activation, _blank((rows, outputs), dtype)], (4,)


def _dense_backward(rng, dtype):
    for k, (rows, inputs, outputs) in enumerate(SHAPES):
        for activation in ("identity", "relu", "tanh", "sigmoid", "softplus")[k % 2 : 5 if k < 4 else 2]:
            y = rng.uniform(-0.9, 0.9, (rows, outputs))
            y = np.abs(y) if activation in ("sigmoid", "softplus", "relu") else y
            y = np.where(y < 0.3, 0.0, y) if activation == "relu" else y
            yield [_normal(rng, (rows, inputs), dtype), _normal(rng, (inputs, outputs), dtype), y.astype(dtype),
                   _normal(rng, (rows, outputs), dtype), activation, _blank((rows, inputs), dtype),
                   _blank((inputs, outputs), dtype), _blank(outputs, dtype)], (5, 6, 7)  # fmt: skip


def _standard_normal(rng, dtype):
    for seed, stream, step, shape in ((0, 0, 0, (1,)), (7, 3, 5, (5, 3)), (2**63, 1, 2**40, (67,))):
        yield [seed, stream, np.array([step]), _blank(shape, dtype)], (3,)


def _posteriors(rng, dtype):
    for n, latent, samples in ((1, 1, 1), (5, 3, 1), (17, 7, 3)):
        for scale in ("softplus", "exp"):
            head = _normal(rng, (n, 2 * latent), dtype)
            mu, rho = head[:, :latent], head[:, latent:]
            wide = rho.astype(np.float64)
            sigma = (np.logaddexp(0.0, wide) if scale == "softplus" else np.exp(wide)).astype(dtype)
            yield n, latent, mu, rho, sigma, scale, _normal(rng, (n * samples, latent), dtype)


def _reparameterize_forward(rng, dtype):
    for _, _, mu, rho, sigma, scale, noise in _posteriors(rng, dtype):
        yield [mu, rho, noise, scale, _blank(sigma.shape, dtype), _blank(noise.shape, dtype)], (4, 5)


def _reparameterize_backward(rng, dtype):
    for n, latent, _, rho, sigma, scale, noise in _posteriors(rng, dtype):
        dhead = _blank((n, 2 * latent), dtype)
        yield [rho, sigma, noise, _normal(rng, noise.shape, dtype), scale, dhead[:, :latent], dhead[:, latent:]], (5, 6)


def _gaussian_kl_forward(rng, dtype):
    for n, latent, mu, rho, sigma, scale, _ in _posteriors(rng, dtype):
        yield [mu, rho, sigma, scale, _blank((n, latent), dtype)], (4,)


def _gaussian_kl_backward(rng, dtype):
    for n, latent, mu, rho, sigma, scale, _ in _posteriors(rng, dtype):
        dhead = _normal(rng, (n, 2 * latent), dtype)
        weight = rng.random(n).astype(dtype)
        yield [mu, rho, sigma, weight, scale, dhead[:, :latent], dhead[:, latent:]], (5, 6)


def _outputs(rng, dtype):
    for n, features, samples in ((1, 1, 1), (5, 9, 1), (7, 33, 2), (3, 70, 3)):
        rows = n * samples
        yield (rng.random((n, features)).astype(dtype), _normal(rng, (rows, features), dtype, 3.0),
               rng.random(rows).astype(dtype), _blank(rows, dtype), _blank((rows, features), dtype))  # fmt: skip


def _bernoulli_nll(rng, dtype):
    for x, logits, weight, nll, dlogits in _outputs(rng, dtype):
        logits[0, 0], logits[-1, -1] = 1000.0, -1000.0  # where exp overflows, in float64 too
        yield [x, logits, weight, nll, dlogits], (3, 4)
        yield [x, logits, None, nll, None], (3,)


def _gaussian_nll(rng, dtype):
    for x, mean, weight, nll, dmean in _outputs(rng, dtype):
        log_sigma = np.array([-0.4], dtype)
        yield [x, mean, log_sigma, weight, nll, dmean, _blank(1, dtype)], (4, 5, 6)
        yield [x, mean, log_sigma, None, nll, None, None], (4,)


def _log_weights(rng, dtype):
    for _, _, _, rho, sigma, scale, noise in _posteriors(rng, dtype):
        rows = len(noise)
        z = _normal(rng, noise.shape, dtype)
        yield [_normal(rng, rows, dtype, 9.0), rho, sigma, noise, z, scale, _blank(rows, dtype)], (6,)


def _importance_weights(rng, dtype):
    for n, outer, inner in ((1, 1, 1), (3, 1, 5), (2, 4, 1), (4, 3, 2), (2, 5, 33)):
        rows = n * outer * inner
        for pooled, squared in ((False, False), (False, True), (True, False)):
            log_weight = _normal(rng, rows, dtype, 3.0) - np.dtype(dtype).type(90.0)  # exp of it underflows in float32
            blanks = [_blank(rows, dtype) for _ in range(3)]
            yield [log_weight, outer, pooled, squared, _blank(n, dtype), *blanks], (4, 5, 6, 7)


def _importance_gradient(rng, dtype):
    for _, _, _, _, sigma, _, noise in _posteriors(rng, dtype):
        for path in (False, True):
            z, dz = (_normal(rng, noise.shape, dtype) for _ in range(2))
            weights = [rng.random(len(noise)).astype(dtype) for _ in range(2)]
            yield [z, noise, sigma, *weights, path, dz], (6,)


def _log_sigma_backward(rng, dtype):
    for n, _, _, rho, sigma, scale, _ in _posteriors(rng, dtype):
        yield [rho, sigma, rng.random(n).astype(dtype), scale, _normal(rng, rho.shape, dtype)], (4,)


def _clip_norm(rng, dtype):
    for size, limit in ((1, 0.1), (67, 1.0), (5001, 1.0), (67, 1e3)):
        yield [_normal(rng, size, dtype), limit, _blank(1, "float64")], (0, 2)


def _sgd_update(rng, dtype):
    rates = np.array([0.5, 0.25, 0.125])
    for size, step, momentum, nesterov in ((1, 0, 0.9, False), (67, 1, 0.9, True), (5001, 7, 0.9, False)):
        arrays = [_normal(rng, size, dtype) for _ in range(3)]
        yield [*arrays, rates, np.array([step]), momentum, nesterov], (0, 2)
    yield [_normal(rng, 67, dtype), _normal(rng, 67, dtype), None, rates, np.array([1]), 0.0, False], (0,)


def _adam_update(rng, dtype):
    for size, step, decay in ((1, 0, 0.0), (67, 1, 0.1), (5001, 999, 0.0)):
        arrays = [_normal(rng, size, dtype) for _ in range(3)]
        second = rng.random(size).astype(dtype)
        yield [*arrays, second, np.array([0.01]), np.array([step]), 0.9, 0.999, 1e-8, decay], (0, 2, 3)


def _gather(rng, dtype):
    for pixels in ("grey", "threshold", "dynamic"):
        for kind in ("uint8", dtype):
            data = (
                rng.integers(0, 256, (11, 9)).astype(np.uint8) if kind == "uint8" else rng.random((11, 9)).astype(kind)
            )
            order = rng.permutation(11)
            for step, rows in ((0, 4), (2, 3), (4, 4)):
                yield [data, order, np.array([step]), 4, pixels, 7, _blank((rows, 9), dtype)], (6,)


def _accumulate(rng, dtype):
    for n, latent, samples in ((1, 1, 1), (7, 5, 3)):
        kl, nll = rng.random((n, latent)).astype(dtype), rng.random(n * samples).astype(dtype)
        yield [nll, kl, 4.0, np.array([1.0, 2.0, 3.0, 4.0, 0.0]), np.array([5])], (3,)
    nll[2] = np.inf
    yield [nll, kl, 1.0, np.array([1.0, 2.0, 3.0, 4.0, 0.0]), np.array([5])], (3,)


def _tick(rng, dtype):
    yield [np.array([3])], (0,)


CASES = {name[1:]: value for name, value in list(globals().items()) if name.startswith("_") and callable(value)}
for helper in ("normal", "blank", "posteriors", "outputs"):
    del CASES[helper]


def _copy(arguments):
    """Copies; two column blocks of one array stay two column blocks of one array."""
    bases = {}
    copies = []
    for a in arguments:
        if isinstance(a, np.ndarray) and a.base is not None and not a.flags.c_contiguous:
            base = bases.setdefault(id(a.base), a.base.copy())
            offset = (a.ctypes.data - a.base.ctypes.data) // a.itemsize
            copies.append(base[:, offset : offset + a.shape[1]])
        else:
            copies.append(a.copy() if isinstance(a, np.ndarray) else a)
    return copies


def _against_twin(kernel, parts, dtype):
    from ..kernels import naive

    backend = parts.backend()
    function, twin = getattr(backend, kernel), getattr(naive, kernel)
    rng = np.random.default_rng(list(kernel.encode()))
    worst = Outcome(True, 0.0, 256.0, kernel)
    for number, (arguments, outputs) in enumerate(CASES[kernel](rng, dtype)):
        wanted = _copy(arguments)
        twin(*wanted)
        first = None
        for _ in range(REPEATS):
            got = _copy(arguments)
            function(*got)
            for index, (before, after) in enumerate(zip(arguments, got, strict=True)):
                if isinstance(before, np.ndarray) and index not in outputs and not np.array_equal(before, after):
                    return Outcome(False, np.inf, 256.0, f"{kernel}, case {number}: argument {index} was changed")
            results = [got[index] for index in outputs]
            if first is not None and any(a.tobytes() != b.tobytes() for a, b in zip(first, results, strict=True)):
                return Outcome(False, np.inf, 256.0, f"{kernel}, case {number}: the same call gave other bits: a race")
            first = results
        name = f"{kernel}, case {number}"
        outcome = agreement(name, [(f"argument {i}", got[i], wanted[i]) for i in outputs], dtype)
        if not outcome.passed or outcome.error > worst.error:
            worst = outcome
        if not outcome.passed:
            break
    return worst


def kernel_checks():
    """One check for each kernel of the contract."""
    from ..kernels import CONTRACT

    return [Check("kernels", name, "against naive loops", partial(_against_twin, name)) for name in CONTRACT]
