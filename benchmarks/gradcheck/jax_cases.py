"""Functions of JAX, right ones and wrong ones: its own, and custom_vjp and custom_jvp with and without a planted bug.

A case is (function, shapes); `arrays` draws its inputs as NumPy arrays. Needs JAX.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def arrays(shapes, dtype, seed=0):
    """Standard normals; shapes may be nested in dicts, lists and tuples of lists."""
    rng = np.random.default_rng(seed)
    return [_drawn(shape, dtype, rng) for shape in shapes]


def _drawn(shape, dtype, rng):
    if isinstance(shape, dict):
        return {key: _drawn(part, dtype, rng) for key, part in shape.items()}
    return np.asarray(rng.standard_normal(shape), dtype)


def vjp(forward, backward):
    """A custom_vjp from forward(*x) and backward(dy, *x)."""
    function = jax.custom_vjp(forward)
    function.defvjp(lambda *x: (forward(*x), x), lambda x, dy: backward(dy, *x))
    return function


def jvp(forward, push):
    """A custom_jvp of one argument from forward(x) and push(v, x)."""
    function = jax.custom_jvp(forward)
    function.defjvp(lambda x, v: (forward(*x), push(v[0], *x)))
    return function


def _mlp(p, x):
    return jnp.tanh(x @ p["first"]["w"] + p["first"]["b"]) @ p["second"]["w"]


def _step(h, x):
    return jnp.tanh(h + x), h * x


def _scan(h, xs):
    return lax.scan(_step, h, xs)


def _attention(q, k, v):
    return jax.nn.softmax(q @ k.T / 2.0) @ v


def _conv(x, w):
    return lax.conv(x, w, (1, 1), "SAME")


def _norm(x, gain):
    return (x - x.mean(1, keepdims=True)) / jnp.sqrt(x.var(1, keepdims=True) + 1e-5) * gain


def _norm_back(dy, x, gain, last=1.0):
    scale = 1 / jnp.sqrt(x.var(1, keepdims=True) + 1e-5)
    normal = (x - x.mean(1, keepdims=True)) * scale
    d = dy * gain
    dx = scale * (d - d.mean(1, keepdims=True) - last * normal * (d * normal).mean(1, keepdims=True))
    return dx, (dy * normal).sum(0)


def _log1pexp(x):
    return jnp.logaddexp(x, 0.0)


def _straight(x):
    return x * jnp.abs(x)


WITH_VALUE = jax.custom_vjp(lambda x: jnp.sin(x))
WITH_VALUE.defvjp(lambda x: (jnp.sin(x) + 0.1, x), lambda x, dy: (dy * jnp.cos(x),))

OWN = {
    "sin": (jnp.sin, ((4, 3),)),
    "mlp": (_mlp, ({"first": {"w": (3, 5), "b": (5,)}, "second": {"w": (5, 2)}}, (4, 3))),
    "jitted_mlp": (jax.jit(_mlp), ({"first": {"w": (3, 5), "b": (5,)}, "second": {"w": (5, 2)}}, (4, 3))),
    "scan": (_scan, ((3,), (5, 3))),
    "attention": (_attention, ((4, 4), (5, 4), (5, 3))),
    "conv": (_conv, ((1, 2, 5, 5), (3, 2, 3, 3))),
    "logsumexp": (lambda x: jax.nn.logsumexp(x, axis=1), ((4, 3),)),
    "gelu": (jax.nn.gelu, ((4, 3),)),
    "relu": (jax.nn.relu, ((4, 3),)),
    "layer_norm": (_norm, ((4, 6), (6,))),
    "cholesky": (lambda a: jnp.linalg.cholesky(a @ a.T + jnp.eye(4, dtype=a.dtype)), ((4, 4),)),
    "slogdet": (lambda a: jnp.linalg.slogdet(a @ a.T + jnp.eye(4, dtype=a.dtype))[1], ((4, 4),)),
    "cond": (lambda x: lax.cond(x.sum() > 0, jnp.sin, jnp.cos, x), ((4, 3),)),
    "fft": (lambda x: jnp.abs(jnp.fft.rfft(x)), ((4, 6),)),
    "sort": (lambda x: jnp.sort(x, axis=1), ((4, 6),)),
}
RIGHT = {
    "vjp_norm": (vjp(_norm, _norm_back), ((4, 6), (6,))),
    "vjp_linear": (vjp(lambda x, w: x @ w, lambda dy, x, w: (dy @ w.T, x.T @ dy)), ((5, 4), (4, 4))),
    "jvp_log1pexp": (jvp(_log1pexp, lambda v, x: v * jax.nn.sigmoid(x)), ((4, 3),)),
    "jvp_square": (jvp(_straight, lambda v, x: 2 * v * jnp.abs(x)), ((4, 3),)),
    "jitted_vjp": (jax.jit(vjp(jnp.tanh, lambda dy, x: (dy * (1 - jnp.tanh(x) ** 2),))), ((4, 3),)),
}
WRONG = {
    "vjp_norm_last_term": (vjp(_norm, lambda dy, x, g: _norm_back(dy, x, g, 0.0)), ((4, 6), (6,))),
    "vjp_linear_not_transposed": (vjp(lambda x, w: x @ w, lambda dy, x, w: (dy @ w, x.T @ dy)), ((5, 4), (4, 4))),
    "vjp_linear_zero": (vjp(lambda x, w: x @ w, lambda dy, x, w: (dy @ w.T, 0 * w)), ((5, 4), (4, 4))),
    "vjp_upstream_ignored": (vjp(jnp.tanh, lambda dy, x: (1 - jnp.tanh(x) ** 2,)), ((4, 3),)),
    "vjp_a_thousandth": (vjp(jnp.tanh, lambda dy, x: (1.001 * dy * (1 - jnp.tanh(x) ** 2),)), ((4, 3),)),
    "vjp_another_value": (WITH_VALUE, ((4, 3),)),
    "jitted_vjp_clipped": (jax.jit(vjp(lambda x: x**3, lambda dy, x: (jnp.clip(3 * dy * x**2, -1, 1),))), ((4, 3),)),
    "jvp_log1pexp_twice": (jvp(_log1pexp, lambda v, x: v * jax.nn.sigmoid(2 * x)), ((4, 3),)),
    "jvp_square_sign": (jvp(_straight, lambda v, x: 2 * v * x), ((4, 3),)),
    "jvp_half": (jvp(jnp.exp, lambda v, x: 0.5 * v * jnp.exp(x)), ((4, 3),)),
}
