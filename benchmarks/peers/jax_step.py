"""Peer: the training step in JAX, everything in one jitted function whose buffers are donated; with `--bf16` its
products have bfloat16 operands and float32 sums.
"""

import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import protocol


def dot(a, b):
    if "--bf16" in sys.argv:
        return jnp.dot(a.astype(jnp.bfloat16), b.astype(jnp.bfloat16), preferred_element_type=jnp.float32)
    return a @ b


def loss_of(p, x, noise, hidden_layers, samples):
    h = x
    for i in range(hidden_layers):
        h = jax.nn.relu(dot(h, p[f"encoder.{i}.weight"]) + p[f"encoder.{i}.bias"])
    mu, log_sigma = jnp.split(dot(h, p["posterior.weight"]) + p["posterior.bias"], 2, axis=1)
    sigma = jnp.exp(log_sigma)
    if samples > 1:
        x, mu, sigma, log_sigma = (jnp.repeat(a, samples, axis=0) for a in (x, mu, sigma, log_sigma))
    g = z = mu + sigma * noise
    for i in range(hidden_layers):
        g = jax.nn.relu(dot(g, p[f"decoder.{i}.weight"]) + p[f"decoder.{i}.bias"])
    logits = dot(g, p["likelihood.weight"]) + p["likelihood.bias"]
    nll = (jax.nn.softplus(logits) - x * logits).sum(axis=1)
    if samples > 1:
        log_weight = (0.5 * (noise * noise - z * z) + log_sigma).sum(axis=1) - nll
        return -jnp.mean(jax.nn.logsumexp(log_weight.reshape(-1, samples), axis=1) - jnp.log(float(samples)))
    kl = (0.5 * (mu * mu + sigma * sigma - 1) - log_sigma).sum()
    return (nll.sum() + kl) / x.shape[0]


class Step:
    def __init__(self, shape):
        hidden_layers = len(shape.hidden)
        noise_shape = (shape.batch * shape.samples, shape.latent)
        parameters = {name: jnp.asarray(value) for name, value in protocol.initial_parameters(shape).items()}
        zeros = [jax.tree.map(jnp.zeros_like, parameters) for _ in range(2)]
        self.batches = itertools.cycle([jnp.asarray(x) for x in protocol.batches(shape)])
        self.state = (parameters, *zeros, jnp.float32(0), jax.random.key(shape.seed))
        self.hidden_layers, self.samples = hidden_layers, shape.samples

        def step(state, x):
            p, m, v, t, key = state
            key, use = jax.random.split(key)
            loss, g = jax.value_and_grad(loss_of)(
                p, x, jax.random.normal(use, noise_shape), hidden_layers, shape.samples
            )
            t = t + 1
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
            c1, c2 = 1 - 0.9**t, 1 - 0.999**t
            p = jax.tree.map(lambda p, m, v: p - 1e-3 / c1 * m / (jnp.sqrt(v / c2) + 1e-8), p, m, v)
            return (p, m, v, t, key), loss

        self.step = jax.jit(step, donate_argnums=0)

    def __call__(self):
        self.state, self.loss = self.step(self.state, next(self.batches))
        jax.block_until_ready((self.state, self.loss))

    def loss_and_gradients(self, parameters, x, noise):
        given = {name: jnp.asarray(value) for name, value in parameters.items()}
        loss, gradients = jax.jit(jax.value_and_grad(loss_of), static_argnums=(3, 4))(
            given, x, noise, self.hidden_layers, self.samples
        )
        return float(loss), {name: np.asarray(value) for name, value in gradients.items()}


def describe():
    how = "jit, bfloat16 operands" if "--bf16" in sys.argv else "jit"
    return {"library": f"JAX {jax.__version__} {how}", "devices": str(jax.devices())}


if __name__ == "__main__":
    protocol.serve(Step, describe)
