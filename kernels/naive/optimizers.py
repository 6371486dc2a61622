"""Optimizer steps and gradient clipping, on flat buffers."""

import math

import numpy as np

from .tools import ELEMENTARY, eps, matrix, output


def clip_norm(gradient, limit, norm):
    """norm[0] = the Euclidean norm of gradient; where it exceeds limit, gradient *= limit / norm. gradient (size,)."""
    norm[0] = math.sqrt(sum(float(g) ** 2 for g in gradient))
    if norm[0] > limit:
        for i in range(gradient.size):
            gradient[i] = float(gradient[i]) * (limit / norm[0])


def sgd_update(parameter, gradient, velocity, rates, clock, momentum, nesterov):
    """velocity = momentum * velocity + gradient; parameter -= rate * velocity, or with nesterov
    parameter -= rate * (gradient + momentum * velocity).

    All (size,); rate = rates[clock[0] % len(rates)], the length being a power of two; velocity may be None where
    momentum is 0. A velocity or parameter below the smallest normal number of its dtype may be stored as 0.
    """
    rate = float(rates[int(clock[0]) % len(rates)])
    for i in range(parameter.size):
        direction = g = float(gradient[i])
        if velocity is not None:
            velocity[i] = v = momentum * float(velocity[i]) + g
            direction = g + momentum * v if nesterov else v
        parameter[i] = float(parameter[i]) - rate * direction


def adam_update(parameter, gradient, first, second, rates, clock, beta1, beta2, eps, weight_decay):
    """first = beta1 first + (1 - beta1) g; second = beta2 second + (1 - beta2) g^2;
    parameter -= rate * (first / (1 - beta1^t) / (sqrt(second / (1 - beta2^t)) + eps) + weight_decay * parameter).

    All (size,); t = clock[0] + 1; rate = rates[clock[0] % len(rates)], the length being a power of two. A moment or
    parameter below the smallest normal number of its dtype may be stored as 0: the moments of a parameter whose
    gradient stays 0 decay to there, where x86 processors are slow.
    """
    t = int(clock[0]) + 1
    rate = float(rates[int(clock[0]) % len(rates)])
    correction1, correction2 = 1.0 - beta1**t, 1.0 - beta2**t
    for i in range(parameter.size):
        g, p = float(gradient[i]), float(parameter[i])
        m = beta1 * float(first[i]) + (1.0 - beta1) * g
        v = beta2 * float(second[i]) + (1.0 - beta2) * g * g
        first[i], second[i] = m, v
        parameter[i] = p - rate * ((m / correction1) / (math.sqrt(v / correction2) + eps) + weight_decay * p)


def adagrad_update(parameter, gradient, squares, rates, clock, eps, weight_decay):
    """d = gradient + weight_decay * parameter; squares += d^2; parameter -= rate * d / (sqrt(squares) + eps).

    All (size,); rate = rates[clock[0] % len(rates)], the length being a power of two; eps above 0. A parameter below
    the smallest normal number of its dtype may be stored as 0.
    """
    rate = float(rates[int(clock[0]) % len(rates)])
    for i in range(parameter.size):
        p = float(parameter[i])
        d = float(gradient[i]) + weight_decay * p
        squares[i] = s = float(squares[i]) + d * d
        parameter[i] = p - rate * d / (math.sqrt(s) + eps)


SIZES = (1, 2, 3, 7, 16, 33, 67, 5001)


def clip_norm_cases(dtype, rng):
    for size in SIZES:
        for limit in (1e-3, 1.0, 1e3):
            gradient = matrix(rng, size, dtype)
            norm = np.linalg.norm(gradient.astype(np.float64))
            relative = eps("float64") * min(4 * size, 256)
            if dtype == "float32":
                relative += eps(dtype)  # the sum may be of float32 squares
            clipped = np.abs(gradient) * min(1, limit / norm)
            bounds = {"gradient": (4 * eps(dtype) + relative) * clipped, "norm": relative * norm}
            yield [gradient, limit, output(1, "float64")], bounds


def sgd_update_cases(dtype, rng):
    for size in SIZES:
        for momentum, nesterov in ((0.0, False), (0.9, False), (0.9, True)):
            parameter, gradient, velocity = (matrix(rng, size, dtype) for _ in range(3))
            bound = eps(dtype) * 4 * (np.abs(parameter) + np.abs(gradient) + np.abs(velocity))
            bounds = {"parameter": bound, "velocity": bound}
            if not momentum:
                velocity = None
                del bounds["velocity"]
            rates = np.array([0.5, 0.25, 0.125, 1.0])
            clock = np.array([int(rng.integers(9))])
            yield [parameter, gradient, velocity, rates, clock, momentum, nesterov], bounds


def adam_update_case(dtype, rng, size, step=0, decay=0.0):
    parameter, gradient, first = (matrix(rng, size, dtype) for _ in range(3))
    second = matrix(rng, size, dtype) ** 2
    gradient[0] = 0.0  # as in the gaps between parameters
    first[0] = second[0] = 0.0
    rates = np.array([1e-3, 5e-4])
    correction = (1 - 0.9 ** (step + 1)) / np.sqrt(1 - 0.999 ** (step + 1))
    new_second = np.sqrt(0.999 * second + 0.001 * gradient.astype(np.float64) ** 2) + 1e-9
    update = rates[step % 2] * (np.abs(first) + np.abs(gradient)) / correction / new_second
    # 1 - beta^t loses digits where beta^t is near 1, in the specification too
    cancellation = eps("float64") * (1 / (1 - 0.9 ** (step + 1)) + 1 / (1 - 0.999 ** (step + 1)))
    bounds = {
        "parameter": eps(dtype) * ELEMENTARY * (np.abs(parameter) + update) + cancellation * update,
        "first": eps(dtype) * 4 * (np.abs(first) + np.abs(gradient)),
        "second": eps(dtype) * 4 * (second + gradient.astype(np.float64) ** 2),
    }
    return [parameter, gradient, first, second, rates, np.array([step]), 0.9, 0.999, 1e-8, decay], bounds


def adam_update_cases(dtype, rng):
    for size in SIZES:
        for step, decay in ((0, 0.0), (1, 0.1), (3, 0.01), (999, 0.0), (100_000, 0.0)):
            yield adam_update_case(dtype, rng, size, step, decay)


def adagrad_update_cases(dtype, rng):
    for size in SIZES:
        for decay in (0.0, 0.1):
            parameter, gradient = matrix(rng, size, dtype), matrix(rng, size, dtype)
            squares = matrix(rng, size, dtype) ** 2
            gradient[0] = squares[0] = 0.0  # as in the gaps between parameters
            squares[size // 2] = 0.0  # as in the first step
            rates, clock = np.array([0.5, 0.25, 0.125, 1.0]), np.array([int(rng.integers(9))])
            p, g = parameter.astype(np.float64), gradient.astype(np.float64)
            scale = np.abs(g) + decay * np.abs(p)  # what rounding of the sum is relative to, where its terms cancel
            root = np.sqrt(squares + (g + decay * p) ** 2) + 1e-6
            bounds = {
                "parameter": eps(dtype) * ELEMENTARY * (np.abs(p) + rates[clock[0] % 4] * scale / root),
                "squares": eps(dtype) * 4 * (squares + scale**2),
            }
            yield [parameter, gradient, squares, rates, clock, 1e-6, decay], bounds


class Optimizers:
    clip_norm = staticmethod(clip_norm)
    sgd_update = staticmethod(sgd_update)
    adam_update = staticmethod(adam_update)
    adagrad_update = staticmethod(adagrad_update)
