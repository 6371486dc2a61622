"""Planar flows: a Gaussian draw bent by invertible steps, with the density that the draw has after each of them.

    z' = z + v tanh(a),    a = w'z + b,    log |det dz'/dz| = log(1 + w'v (1 - tanh(a)^2))

The step is invertible where w'v > -1. For any u, v = u + (softplus(s) - 1 - s) w / |w|^2 with s = w'u has
w'v = softplus(s) - 1.

Source: Rezende and Mohamed, "Variational inference with normalizing flows" (arXiv:1505.05770), section 4.1 and
appendix A.1.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import expect
from .gaussian import finite, vector


def planar_forward(z, u, w, b):
    """z' (samples, d) and log |det dz'/dz| (samples,) from z (samples, d), u and w (d,), and b; and a cache.

    The determinant 1 + (softplus(s) - 1) h with h = 1 - tanh(a)^2 is taken as tanh(a)^2 + softplus(s) h: two positive
    terms, where the difference of the other form would lose its digits for s far below 0.
    """
    s, square = w @ u, w @ w
    positive = np.logaddexp(0, s)
    shift = np.logaddexp(0, -s) - 1  # softplus(s) - 1 - s, with all its digits
    v = u + shift / square * w
    a = z @ w + b
    t, decay = np.tanh(a), np.exp(-2 * np.abs(a))
    h = 4 * decay / (1 + decay) ** 2
    determinant = t**2 + positive * h
    return z + t[:, None] * v, np.log(determinant), (z, u, w, s, square, positive, shift, v, t, h, determinant)


def planar_backward(dz_next, dlog_det, cache):
    """dz, du, dw (samples, d) and db (samples,) from dz' (samples, d) and dlog_det (samples,): a row for each draw.

    a moves z' by v h and the determinant by 2 t h (1 - softplus(s)); s moves the determinant by sigmoid(s) h, and v by
    (sigmoid(s) - 1) w / |w|^2, beside what u and w move themselves.
    """
    z, u, w, s, square, positive, shift, v, t, h, determinant = cache
    dt, ddeterminant = dz_next @ v, dlog_det / determinant
    da = h * (dt + ddeterminant * 2 * t * (1 - positive))
    dv = t[:, None] * dz_next
    dshift = dv @ w / square
    sigmoid = np.exp(s - positive)
    ds = dshift * (sigmoid - 1) + ddeterminant * h * sigmoid
    du = dv + ds[:, None] * w
    dw = da[:, None] * z + ds[:, None] * u + shift / square * (dv - 2 * dshift[:, None] * w)
    return dz_next + da[:, None] * w, du, dw, da


@dataclass(frozen=True, eq=False)
class PlanarFlow:
    """z_0 = mean + sigma * noise in d dimensions, then a planar step for each row of u, w and b. None: a diagonal
    Gaussian.

    Its parameters are mean, sigma and, step by step, u, w and b. It has no `score`, which takes the steps' inverse.

    mean, sigma : (d,), sigma > 0; u, w : (steps, d), no row of w all zeros; b : (steps,). All are copied.
    """

    mean: Any
    sigma: Any
    u: Any = ()
    w: Any = ()
    b: Any = ()
    names: tuple = field(init=False, repr=False)

    def __post_init__(self):
        values = {name: vector(name, getattr(self, name)) for name in ("mean", "sigma")}
        d = len(values["mean"])
        values |= {name: finite(name, getattr(self, name)) for name in ("u", "w", "b")}
        steps = len(np.atleast_1d(values["b"]))
        if not steps:
            values["u"], values["w"] = (values[name].reshape(-1, d) for name in ("u", "w"))
        shapes = {"sigma": (d,), "u": (steps, d), "w": (steps, d), "b": (steps,)}
        for name, shape in shapes.items():
            text = f"a shape of {shape}, for a mean of {d} and a b of {steps} numbers"
            expect(values[name].shape == shape, name, values[name], text)
        expect((values["sigma"] > 0).all(), "sigma", self.sigma, "numbers above 0")
        norms, largest = np.abs(values["w"]).max(axis=1, initial=0), np.abs(values["u"]).max(initial=0)
        expect(
            ((norms > 1e-100) & (norms < 1e100)).all(), "w", self.w, "no row of zeros, and none near the float limits"
        )
        expect(largest < 1e100, "u", self.u, "numbers below 1e100 in size")
        inner = (values["u"] * values["w"]).sum(axis=1)
        expect(
            (inner > -700).all(), "u", self.u, "w'u above -700 in each row: the determinant's least value is exp(w'u)"
        )
        names = [f"{name}_{i}" for name in ("mean", "sigma") for i in range(d)]
        for k in range(steps):
            names += [f"{name}_{k}_{i}" for name in ("u", "w") for i in range(d)] + [f"b_{k}"]
        for name, value in (values | {"names": tuple(names)}).items():
            object.__setattr__(self, name, value)

    @property
    def size(self):
        return len(self.mean)

    def forward(self, noise):
        """The last z and log q(z), nats, from noise (samples, d): log q(z_0) less the steps' log-determinants; and what
        `backward` needs.
        """
        z, caches = self.mean + self.sigma * noise, []
        log_q = -0.5 * (noise**2).sum(axis=1) - np.log(self.sigma).sum() - 0.5 * self.size * np.log(2 * np.pi)
        for step in zip(self.u, self.w, self.b, strict=True):
            z, log_det, cache = planar_forward(z, *step)
            log_q = log_q - log_det
            caches.append(cache)
        return z, log_q, (noise, caches)

    def backward(self, dz, dlog_q, cache):
        """A row for each draw of the gradient with respect to `names`, (samples, parameters), at fixed noise."""
        noise, caches = cache
        columns: list[np.ndarray] = []
        for step in reversed(caches):
            dz, du, dw, db = planar_backward(dz, -dlog_q, step)
            columns = [du, dw, db[:, None], *columns]
        return np.hstack([dz, dz * noise - dlog_q[:, None] / self.sigma, *columns])

    def sample(self, rng, samples):
        """(samples, d)."""
        return self.forward(rng.standard_normal((samples, self.size)))[0]
