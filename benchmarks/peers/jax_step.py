"""Peer: the training step in JAX, everything in one jitted function whose buffers are donated."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import protocol


def loss_of(p, x, noise, hidden_layers):
    h = x
    for i in range(hidden_layers):
        h = jax.nn.relu(h @ p[f"encoder.{i}.weight"] + p[f"encoder.{i}.bias"])
    mu, log_sigma = jnp.split(h @ p["posterior.weight"] + p["posterior.bias"], 2, axis=1)
    sigma = jnp.exp(log_sigma)
    g = mu + sigma * noise
    for i in range(hidden_layers):
        g = jax.nn.relu(g @ p[f"decoder.{i}.weight"] + p[f"decoder.{i}.bias"])
    logits = g @ p["likelihood.weight"] + p["likelihood.bias"]
    nll = (jax.nn.softplus(logits) - x * logits).sum()
    kl = (0.5 * (mu * mu + sigma * sigma - 1) - log_sigma).sum()
    return (nll + kl) / x.shape[0]


class Step:
    def __init__(self, shape):
        hidden_layers = len(shape.hidden)
        noise_shape = (shape.batch, shape.latent)
        parameters = {name: jnp.asarray(value) for name, value in protocol.initial_parameters(shape).items()}
        zeros = [jax.tree.map(jnp.zeros_like, parameters) for _ in range(2)]
        self.batches = itertools.cycle([jnp.asarray(x) for x in protocol.batches(shape)])
        self.state = (parameters, *zeros, jnp.float32(0), jax.random.key(shape.seed))
        self.hidden_layers = hidden_layers

        def step(state, x):
            p, m, v, t, key = state
            key, use = jax.random.split(key)
            loss, g = jax.value_and_grad(loss_of)(p, x, jax.random.normal(use, noise_shape), hidden_layers)
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
        loss, gradients = jax.jit(jax.value_and_grad(loss_of), static_argnums=3)(given, x, noise, self.hidden_layers)
        return float(loss), {name: np.asarray(value) for name, value in gradients.items()}


def describe():
    return {"library": f"JAX {jax.__version__} jit", "devices": str(jax.devices())}


if __name__ == "__main__":
    protocol.serve(Step, describe)
