"""check_gradients on JAX: its own functions, pytrees, custom_vjp and custom_jvp; where JAX is installed."""

import time
from collections import namedtuple

import numpy as np
import pytest

from minivae.gradcheck import check_gradients, check_jvp, check_second

jax = pytest.importorskip("jax", reason="JAX is not installed; its functions are checked, it is not needed")

import jax.numpy as jnp  # noqa: E402

from benchmarks.gradcheck import jax_cases  # noqa: E402

RIGHT = jax_cases.OWN | jax_cases.RIGHT
DTYPES = ["float64", "float32"]


def normals(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.fixture(autouse=True)
def bits_are_put_back():
    yield
    assert jnp.asarray(np.ones(2)).dtype == np.float32


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RIGHT)
def test_right_functions_pass(name, dtype):
    function, shapes = RIGHT[name]
    report = check_gradients(function, jax_cases.arrays(shapes, dtype), gradient="jax")
    assert report, report
    assert report.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", jax_cases.WRONG)
def test_planted_bugs_are_seen(name, dtype):
    function, shapes = jax_cases.WRONG[name]
    report = check_gradients(function, jax_cases.arrays(shapes, dtype))  # custom rules and jitted functions are known
    assert not report, report
    assert not any(kind == "raises" for kind, _ in report.problems), report


def test_pytrees_and_what_is_no_float():
    Layer = namedtuple("Layer", "w b")
    params = {"layers": [Layer(jnp.ones((3, 2)), jnp.zeros(2))], "scale": jnp.float32(2.0)}

    def function(params, x, key, labels):
        layer = params["layers"][0]
        y = jnp.tanh(x @ layer.w + layer.b) * jax.random.bernoulli(key, 0.7, (4, 2)) * params["scale"]
        return {"y": y, "picked": y[jnp.arange(4), labels], "largest": y.argmax()}

    inputs = (params, jnp.asarray(normals(4, 3)), jax.random.key(0), np.array([0, 1, 1, 0]))
    report = check_gradients(function, inputs)
    assert report, report
    names = ["params.layers.0.w", "params.layers.0.b", "params.scale", "x"]
    assert [array.name for array in report.arrays] == names


def test_a_rule_with_another_value():
    report = check_gradients(*_wrong("vjp_another_value"))
    assert [kind for kind, _ in report.problems] == ["output"]
    assert "differs by" in str(report)


def _wrong(name):
    function, shapes = jax_cases.WRONG[name]
    return function, jax_cases.arrays(shapes, "float64")


def test_complex_arrays():
    z, x = normals(3, 2) + 1j * normals(3, 2, seed=1), normals(3, 2, seed=2)
    for kind, real in ((z, x), (z.astype("complex64"), x.astype("float32"))):
        both = (kind, real)
        assert check_gradients(lambda z, x: [jnp.sin(z * x), (abs(z) ** 2).sum()], both, gradient="jax")
    wrong = jax_cases.vjp(lambda z: z * z, lambda dy, z: (2 * z.conj() * dy,))
    assert not check_gradients(wrong, z)
    assert check_gradients(jax_cases.vjp(lambda z: z * z, lambda dy, z: (2 * z * dy,)), z)


def test_refused_by_name():
    with pytest.raises(ValueError, match="input 'x': got 'bfloat16'"):
        check_gradients(lambda x: x, jnp.ones(3, jnp.bfloat16))
    with pytest.raises(ValueError, match="parameters"):
        check_gradients(lambda x: x, jnp.ones(3), parameters={"w": np.ones(3)})


def test_a_pair_and_a_gradient_written_by_hand():
    x, w = jnp.asarray(normals(4, 3)), jnp.asarray(normals(3))
    pair = (lambda x, w: (x * w, (x, w)), lambda dy, cache: (dy * cache[1], (dy * cache[0]).sum(0)))
    assert check_gradients(pair, (x, w))
    assert not check_gradients((pair[0], lambda dy, c: (dy * c[1], (dy * c[0]).mean(0))), (x, w))
    assert check_gradients(lambda x: (x**3).sum(), x, gradient=lambda x: 3 * x**2)
    assert not check_gradients(lambda x: (x**3).sum(), x, gradient=lambda x: 2 * x**2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_grad_of_grad_and_forward_mode(dtype):
    at = normals(5, 4, dtype=dtype), normals(4, 4, dtype=dtype, seed=1)
    assert check_second(jax_cases.RIGHT["vjp_linear"][0], at)
    cut = jax_cases.vjp(lambda x, w: jnp.tanh(x) @ w, _cut)
    assert check_gradients(cut, at)
    report = check_second(cut, at)
    assert [array.name for array in report.arrays if array.verdict == "wrong"] == ["x"]
    for function, shapes in (jax_cases.RIGHT["jvp_log1pexp"], jax_cases.RIGHT["jvp_square"]):
        assert check_jvp(function, jax_cases.arrays(shapes, dtype))
    assert not check_jvp(jax_cases.WRONG["jvp_half"][0], at[0])
    assert "custom_vjp" in str(check_jvp(cut, at))


def _cut(dy, x, w):
    slope = 1 - jnp.tanh(jax.lax.stop_gradient(x)) ** 2
    return (dy @ w.T) * slope, jnp.tanh(x).T @ dy


def test_what_is_slow_as_it_is_is_compiled():
    calls = []

    def slow(x):
        calls.append(time.sleep(0.06))
        return jnp.sin(x)

    report = check_gradients(slow, normals(2), gradient="jax", elsewhere=False)
    assert report, report
    assert "called under jax.jit" in str(report)
    assert len(calls) < 12 < report.evaluations
