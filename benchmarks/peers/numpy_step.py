"""Peer: the training step as a plain straight-line NumPy script, the way one would write it by hand.

One model only: any number of hidden layers with ReLU, log sigma from the posterior head, Bernoulli likelihood from
logits, loss = mean over the batch of nll + KL, Adam at 1e-3. Run alone it prints its median step time:

    python benchmarks/peers/numpy_step.py
"""

import itertools
import os
import sys

import numpy as np
import protocol


def forward_backward(parameters, x, noise, hidden_layers):
    """(loss, gradients) of one minibatch."""
    p = parameters
    n = len(x)
    names = [f"encoder.{i}" for i in range(hidden_layers)]
    h = [x]
    for name in names:
        h.append(np.maximum(h[-1] @ p[f"{name}.weight"] + p[f"{name}.bias"], 0))
    mu, log_sigma = np.split(h[-1] @ p["posterior.weight"] + p["posterior.bias"], 2, axis=1)
    sigma = np.exp(log_sigma)
    z = mu + sigma * noise
    g = [z]
    for i in range(hidden_layers):
        g.append(np.maximum(g[-1] @ p[f"decoder.{i}.weight"] + p[f"decoder.{i}.bias"], 0))
    logits = g[-1] @ p["likelihood.weight"] + p["likelihood.bias"]

    e = np.exp(-np.abs(logits))
    nll = (np.maximum(logits, 0) - x * logits + np.log1p(e)).sum()
    kl = (0.5 * (mu * mu + sigma * sigma - 1) - log_sigma).sum()
    loss = (nll + kl) / n

    grad = {}
    d = (np.where(logits > 0, 1, e) / (1 + e) - x) / np.float32(n)
    grad["likelihood.weight"], grad["likelihood.bias"] = g[-1].T @ d, d.sum(axis=0)
    d = d @ p["likelihood.weight"].T
    for i in reversed(range(hidden_layers)):
        d = d * (g[i + 1] > 0)
        grad[f"decoder.{i}.weight"], grad[f"decoder.{i}.bias"] = g[i].T @ d, d.sum(axis=0)
        d = d @ p[f"decoder.{i}.weight"].T
    dmu = d + mu / np.float32(n)
    dlog_sigma = d * noise * sigma + (sigma * sigma - 1) / np.float32(n)
    d = np.concatenate([dmu, dlog_sigma], axis=1)
    grad["posterior.weight"], grad["posterior.bias"] = h[-1].T @ d, d.sum(axis=0)
    d = d @ p["posterior.weight"].T
    for i in reversed(range(hidden_layers)):
        d = d * (h[i + 1] > 0)
        grad[f"encoder.{i}.weight"], grad[f"encoder.{i}.bias"] = h[i].T @ d, d.sum(axis=0)
        if i > 0:
            d = d @ p[f"encoder.{i}.weight"].T
    return loss, grad


def adam(parameters, gradients, first, second, scratch, t, rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    """In place and without temporaries: fresh pages for megabytes a step cost more than the arithmetic."""
    for name, p in parameters.items():
        g, m, v, work = gradients[name], first[name], second[name], scratch[name]
        m *= beta1
        np.multiply(g, 1 - beta1, out=work)
        m += work
        v *= beta2
        np.multiply(g, g, out=work)
        work *= 1 - beta2
        v += work
        np.divide(v, 1 - beta2**t, out=work)
        np.sqrt(work, out=work)
        work += eps
        np.divide(m, work, out=work)
        work *= rate / (1 - beta1**t)
        p -= work


class Step:
    def __init__(self, shape):
        self.hidden_layers = len(shape.hidden)
        self.parameters = protocol.initial_parameters(shape)
        buffers = ({name: np.zeros_like(p) for name, p in self.parameters.items()} for _ in range(3))
        self.first, self.second, self.scratch = buffers
        self.batches = itertools.cycle(protocol.batches(shape))
        self.noise_shape = (shape.batch, shape.latent)
        self.rng = np.random.default_rng(shape.seed)
        self.t = 0

    def __call__(self):
        noise = self.rng.standard_normal(self.noise_shape, dtype=np.float32)
        self.loss, gradients = forward_backward(self.parameters, next(self.batches), noise, self.hidden_layers)
        self.t += 1
        adam(self.parameters, gradients, self.first, self.second, self.scratch, self.t)

    def loss_and_gradients(self, parameters, x, noise):
        return forward_backward(parameters, x, noise, self.hidden_layers)


def describe():
    info = {"library": f"NumPy {np.__version__}"}
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return info
    info["blas"] = [f"{i['internal_api']} {i['version']} {i.get('architecture')}" for i in threadpool_info()]
    return info


if __name__ == "__main__":
    if sys.stdin.isatty() or "--alone" in sys.argv:
        if os.environ.get("OPENBLAS_CORETYPE"):
            print("note: OPENBLAS_CORETYPE is set, so this is not OpenBLAS at its best")
        step = Step(
            protocol.as_shape(
                {"features": 784, "hidden": [400], "latent": 20, "batch": 128, "samples": 1, "data": "mnist", "seed": 0}
            )
        )
        protocol.time_steps(step, 30)
        seconds = protocol.time_steps(step, 200)
        print(f"{1e3 * np.median(seconds):.3f} ms a step")
    else:
        protocol.serve(Step, describe)
