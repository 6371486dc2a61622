"""Second derivatives and Jacobian-vector products of NumPy code; other libraries stay out."""

import subprocess
import sys

import numpy as np
import pytest

from minivae.gradcheck import check_gradients, check_jvp, check_second

DTYPES = ["float64", "float32"]


def normals(*shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def forward(x, w):
    return np.sin(x) * w, (x, w)


def backward(dy, cache):
    x, w = cache
    return dy * w * np.cos(x), (dy * np.sin(x)).sum(0)


def second(vx, vw, x, w, dy):
    dx = -vx * dy * w * np.sin(x) + vw * dy * np.cos(x)
    return dx, (vx * dy * np.cos(x)).sum(0), vx * w * np.cos(x) + vw * np.sin(x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_backward_of_the_backward(dtype):
    at = normals(4, 3, dtype=dtype), normals(3, dtype=dtype, seed=1)
    report = check_second((forward, backward), at, second=second)
    assert report, report
    assert [array.name for array in report.arrays] == ["x", "w", "dy"]
    for i, name in enumerate(("x", "w", "dy")):

        def wrong(*handed, i=i):
            return tuple(1.01 * g if k == i else g for k, g in enumerate(second(*handed)))

        report = check_second((forward, backward), at, second=wrong)
        assert [array.name for array in report.arrays if array.verdict == "wrong"] == [name]
    report = check_second((forward, backward), at, second=lambda *handed: second(*handed)[:2])
    assert "2 arrays" in str(report)


@pytest.mark.parametrize("dtype", DTYPES)
def test_hessians_of_a_scalar_function(dtype):
    x = normals(4, dtype=dtype)

    def value(x):
        return np.sum(x**4) + np.prod(x)

    def slope(x):
        return 4 * x**3 + np.prod(x) / x

    def hessian(x):
        return np.diag(12 * x**2 - np.prod(x) / x**2) + np.prod(x) / np.outer(x, x)

    for claim in ({"hessian": hessian}, {"hessian_vector": lambda x, v: hessian(x) @ v}):
        report = check_second(value, x, gradient=slope, **claim)
        assert report, report
    quadratic = {"gradient": lambda x: 2 * x, "hessian": 2 * np.eye(4, dtype=dtype)}
    assert check_second(lambda x: np.sum(x**2), x, **quadratic)
    assert not check_second(value, x, gradient=slope, hessian=lambda x: np.diag(12 * x**2))
    assert not check_second(value, x, gradient=slope, hessian_vector=lambda x, v: 1.01 * hessian(x) @ v)
    with pytest.raises(ValueError, match="one of second, hessian"):
        check_second(value, x, gradient=slope, hessian=hessian, hessian_vector=hessian)
    with pytest.raises(ValueError, match="hessian"):
        check_second((forward, backward), (normals(4, 3), normals(3)), hessian=hessian)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gradient_of_no_function_is_seen_without_the_function(dtype):
    a, x = normals(5, 5, dtype=dtype), normals(5, dtype=dtype, seed=1)
    report = check_second(lambda x: x @ a @ x, x, gradient=lambda x: (a + a.T) @ x)
    assert report, report
    assert "symmetric" in report.notes[-1]
    assert not check_second(lambda x: x @ a @ x, x, gradient=lambda x: 2 * a @ x)
    assert check_second((forward, backward), (normals(4, 3, dtype=dtype), normals(3, dtype=dtype, seed=1)))

    def detached(dy, cache):  # w takes part, as its gradient does not know
        return dy * cache[1] * np.cos(cache[0]), (dy * np.cos(cache[0])).sum(0)

    assert not check_second((forward, detached), (normals(4, 3, dtype=dtype), normals(3, dtype=dtype, seed=1)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_jacobian_vector_products(dtype):
    inputs = {"x": normals(4, 3, dtype=dtype), "w": normals(3, dtype=dtype, seed=1)}

    def function(x, w):
        return np.sin(x) * w, x.sum(0)

    def push(at, v, factor=1.0):
        y = np.cos(at["x"]) * v["x"] * at["w"] + factor * np.sin(at["x"]) * v["w"]
        return y, v["x"].sum(0)

    report = check_jvp(function, inputs, jvp=push)
    assert report, report
    assert len(report["output0"].coordinates) == 12
    report = check_jvp(function, inputs, jvp=lambda at, v: push(at, v, 1.01))
    assert [array.verdict for array in report.arrays] == ["wrong", "right"]
    at = tuple(inputs.values())
    positional = {"jvp": lambda at, v: push({"x": at[0], "w": at[1]}, {"x": v[0], "w": v[1]})[0]}
    assert check_jvp((forward, backward), at, **positional)
    doubled = (forward, lambda dy, cache: tuple(2 * g for g in backward(dy, cache)))
    report = check_jvp(doubled, at, **positional)
    assert report["output"].verdict == "right"
    assert [kind for kind, _ in report.problems] == ["jvp"]
    report = check_jvp(function, inputs, jvp=lambda at, v: push(at, v)[0])
    assert "shapes [(4, 3)] for outputs of [(4, 3), (3,)]" in str(report)
    with pytest.raises(ValueError, match="jvp"):
        check_jvp(function, inputs)


def cubed(x):
    return x**3


def tanh(x, w):
    return np.tanh(x * w)


def writes_to_v(x, v):
    v *= 3 * x**2
    return v


def writes_to_x(x, v):
    product = 3 * x**2 * v
    x *= 0
    return product


PRODUCTS = {
    "jvp is not linear in v, in the tangent of 'output': its values are clipped at 50": (
        cubed,
        lambda x, v: np.clip(3 * x**2 * v, -50, 50),
    ),
    "WRONG at 6 of 6 coordinates looked at: v is ignored": (cubed, lambda x, v: 3 * x**2),
    "v 1 is ignored: nothing comes of input 1": (tanh, lambda p, v: (1 - np.tanh(p[0] * p[1]) ** 2) * v[0] * p[1]),
    "up to 1 is added whatever v is": (cubed, lambda x, v: 3 * x**2 * v + 1),
    "with v = 0 tangent of 'output' is nan": (cubed, lambda x, v: 3 * x**2 * v / np.linalg.norm(v)),
    "at 4 times the inputs: tangent of 'output' is wrong": (
        cubed,
        lambda x, v: 3 * np.where(abs(x) > 3, 1.1, 1) * x**2 * v,
    ),
    "jvp changed tangent 'x' in place: work on a copy": (cubed, writes_to_v),
    "jvp changed input 'x' in place: work on a copy": (cubed, writes_to_x),
    "  jvp returned tangents of shapes [(6, 1)] for outputs of [(6,)]": (cubed, lambda x, v: (3 * x**2 * v)[:, None]),
    "  jvp raised ZeroDivisionError": (cubed, lambda x, v: 1 / 0),
    "jvp gives": (cubed, lambda x, v: 2.9 * x**2 * v),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("said", PRODUCTS)
def test_products_are_linear_and_right_elsewhere(said, dtype):
    function, jvp = PRODUCTS[said]
    x = normals(6, dtype=dtype, seed=2)
    report = check_jvp(function, (x, x[::-1].copy()) if function is tanh else x, jvp=jvp)
    assert not report
    assert said in str(report), report
    assert "backward" not in str(report)
    assert "dy" not in str(report)


def test_products_of_fixed_noise_and_in_evaluation_mode():
    noise = normals(5, 3, seed=5)
    assert check_jvp(lambda x, n: x * n, normals(5, 3), fixed={"n": noise}, jvp=lambda x, v: v * noise)

    rng = np.random.default_rng(5)
    for jvp in (lambda x, v: v * rng.standard_normal((5, 3)), lambda x, v: v * noise):
        report = check_jvp(lambda x: x * rng.standard_normal((5, 3)), normals(5, 3), generator=rng, jvp=jvp)
        assert report, report
        assert "with another draw" in report.elsewhere

    class Centred:
        training = True

        def forward(self, x):
            return x**2 - (x**2).mean(0) if self.training else x**2

        def right(self, x, v):
            return 2 * x * v - (2 * x * v).mean(0) if self.training else 2 * x * v

        def always(self, x, v):
            return 2 * x * v - (2 * x * v).mean(0)

    layer = Centred()
    report = check_jvp(layer.forward, normals(5, 3), jvp=layer.right)
    assert report, report
    assert "with 6 rows" in report.elsewhere
    assert "with training = False" in report.elsewhere
    assert "with training = False: tangent" in str(check_jvp(layer.forward, normals(5, 3), jvp=layer.always))


def halves(x, v):
    x *= 2
    return -np.sin(x / 2) * v


HESSIANS = {
    "  hessian returned shape (2, 2), expected (6, 6)": {"hessian": lambda x: np.eye(2)},
    "  hessian raised ZeroDivisionError": {"hessian": lambda x: 1 / 0},
    "hessian gives": {"hessian": lambda x: -np.diag(np.sin(x)) / 2},
    "hessian_vector changed input 'x' in place": {"hessian_vector": halves},
    "WRONG at 6 of 6 coordinates looked at: v is ignored": {"hessian_vector": lambda x, v: -np.sin(x)},
}


@pytest.mark.parametrize("said", HESSIANS)
def test_second_derivatives_by_their_names(said):
    x = normals(6)
    report = check_second(lambda x: np.sum(np.sin(x)), x, gradient=np.cos, **HESSIANS[said])
    assert not report
    assert said in str(report), report
    assert "backward" not in str(report)
    with pytest.raises(ValueError, match=r"hessian: got 'shape \(2, 2\)', expected \(6, 6\)"):
        check_second(lambda x: np.sum(np.sin(x)), x, gradient=np.cos, hessian=np.eye(2))


def test_kinks_and_a_backward_that_raises():
    x = np.array([1.0, 0.0, -2.0, 0.5])
    assert check_jvp(lambda x: np.maximum(x, 0), x, jvp=lambda x, v: v * (x > 0))

    def raises(dy, cache):
        raise RuntimeError("not yet")

    assert "not yet" in str(check_second((forward, raises), (normals(4, 3), normals(3))))


def test_torch_and_jax_stay_out_unless_they_are_handed_over():
    code = """
import sys, numpy as np
from minivae.gradcheck import check_gradients, check_jvp, check_second
assert check_gradients(lambda x: np.sum(x**2), np.ones(3), gradient=lambda x: 2 * x)
assert check_jvp(lambda x: x**2, np.ones(3), jvp=lambda x, v: 2 * x * v)
found = [name for name in ("torch", "jax", "minivae.gradcheck.foreign.from_torch") if name in sys.modules]
assert not found, found
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(ValueError, match="'torch' or 'jax'"):
        check_gradients(lambda x: x, np.ones(3), gradient="tensorflow")
    with pytest.raises(ValueError, match="'torch' or 'jax'"):
        check_gradients(lambda x: x, np.ones(3))
