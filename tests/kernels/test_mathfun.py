"""The polynomials of `mathfun` against wider arithmetic, over all exponents and around every special value."""

import mpmath
import numpy as np
import pytest

pytest.importorskip("numba")

from minivae.kernels import mathfun
from minivae.kernels.cpu import dense, program
from minivae.kernels.cpu.scalar import mathfun_for

# Units in the last place, as mathfun's own table promises.
ULPS = {"exp": 2, "expm1_down": 3, "log": 2, "log1p_unit": 2, "sigmoid": 4, "softplus": 4, "tanh": 5}
GATED = {"normal_cdf": 5, "gelu": 6, "silu": 5, "gelu_slope": 6, "silu_slope": 6}


def reference(name, x):
    e = np.exp(-np.abs(x))
    return {
        "exp": lambda: np.exp(x),
        "expm1_down": lambda: np.expm1(x),
        "log": lambda: np.log(x),
        "log1p_unit": lambda: np.log1p(x),
        "sigmoid": lambda: np.where(x < 0, e, 1) / (1 + e),
        "softplus": lambda: np.maximum(x, 0) + np.log1p(e),
        "tanh": lambda: np.tanh(x),
    }[name]()


def inputs(name, dtype):
    """Every exponent and sign by random bits, the range where the function moves, and the special values."""
    rng = np.random.default_rng(0)
    count, bits = 50_000, 8 * np.dtype(dtype).itemsize
    info = np.finfo(dtype)
    if name == "log1p_unit":
        small = np.ldexp(1.0, -rng.integers(0, -info.minexp + info.nmant, count).astype(np.int32))
        return np.concatenate([rng.random(count), small, [0.0, 1.0]]).astype(dtype)
    x = np.concatenate(
        [
            rng.integers(0, 2**bits, count, dtype=f"uint{bits}").view(dtype),
            rng.uniform(1.05 * np.log(info.smallest_subnormal), 1.05 * np.log(info.max), count).astype(dtype),
            rng.standard_normal(count).astype(dtype),
            np.array([0.0, -0.0, np.inf, -np.inf, np.nan, info.tiny, info.smallest_subnormal, info.max, 1], dtype),
        ]
    )
    return -np.abs(x) if name == "expm1_down" else x


def computed(name, x):
    """The function in a kernel."""
    y, dtype = np.empty_like(x), x.dtype.name
    kernel = dense._forward(dtype, f"test_{name}", getattr(mathfun_for(dtype), name))
    plan = program.Plan(program.Arena())
    plan.add(kernel, {"size": x.size, "a": x, "y": y}, work=0)
    plan.table().run()
    return y


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ULPS)
def test_error_in_units_in_the_last_place(name, dtype):
    wide = np.float64 if dtype == "float32" else np.longdouble
    if dtype == "float64" and np.finfo(np.longdouble).nmant == np.finfo(np.float64).nmant:
        pytest.skip("no arithmetic wider than float64 here")
    x = inputs(name, dtype)
    y = computed(name, x)
    with np.errstate(all="ignore"):
        exact = reference(name, x.astype(wide))
        rounded = exact.astype(dtype)
        finite = np.isfinite(rounded) & np.isfinite(y)
        # what overflows may do so one rounding early or late, and is infinite with the right sign; NaN stays NaN
        np.testing.assert_array_equal(np.isnan(y), np.isnan(rounded))
        edge = ~finite & ~np.isnan(rounded)
        assert (np.sign(y[edge]) == np.sign(rounded[edge])).all()
        assert (np.abs(y[edge].astype(wide)) >= np.finfo(dtype).max * (1 - 4 * np.finfo(dtype).eps)).all()
    size = np.clip(np.abs(rounded[finite]), np.finfo(dtype).tiny, np.finfo(dtype).max / 2)
    ulp = np.spacing(size).astype(wide)
    errors = np.abs(y[finite].astype(wide) - exact[finite]) / ulp
    worst = np.argmax(errors)
    assert errors[worst] <= ULPS[name], f"{name}({x[finite][worst]!r}): {errors[worst]:.2f} units"


def gated(name, x):
    """(value, the largest term of its sum) in 60 digits."""
    x = mpmath.mpf(float(x))
    near = min(max(x, -99), 99)
    normal, s = mpmath.erfc(-near / mpmath.sqrt(2)) / 2, 1 / (1 + mpmath.exp(-x))
    if name == "gelu_slope":
        terms = [normal, near * mpmath.exp(-near * near / 2) / mpmath.sqrt(2 * mpmath.pi)]
    elif name == "silu_slope":
        terms = [s, s * x / (1 + mpmath.exp(x))]
    else:
        terms = [{"normal_cdf": normal, "gelu": x * normal, "silu": x * s}[name]]
    return sum(terms), max(map(abs, terms))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", GATED)
def test_error_of_gated_functions_in_the_tails_too(name, dtype):
    """Far below 0 they are tiny, and keep their digits. A slope, which is 0 somewhere, is off by units of its larger
    term."""
    rng, info = np.random.default_rng(0), np.finfo(dtype)
    tail = 14.5 if dtype == "float32" else 39.0
    edges = [0.0, -0.0, info.tiny, -info.smallest_subnormal, -0.75, tail, -tail, info.max / 2, -info.max / 2]
    ranges = (1500, tail), (300, 1.2 * np.log(info.max)), (300, info.max / 2)
    x = np.concatenate([rng.standard_normal(1000), *(rng.uniform(-end, end, n) for n, end in ranges), edges])
    x = x.astype(dtype)
    y = computed(name, x)
    # in silu and the slopes x stands beside an exponential, which may be denormal where the product is not
    smallest = np.full_like(x, info.tiny) if name in ("normal_cdf", "gelu") else info.tiny * np.maximum(np.abs(x), 1)
    with mpmath.workdps(60):
        for a, got, least in zip(x, y, smallest, strict=True):
            exact, term = gated(name, a)
            unit = np.spacing(np.maximum(np.array(float(term), dtype), least))
            error = abs(mpmath.mpf(float(got)) - exact) / float(unit)
            assert error <= GATED[name], f"{name}({a!r}): {got!r}, {float(error):.2f} units"


@pytest.mark.parametrize("name", GATED)
def test_gated_functions_keep_nan_and_have_limits(name):
    kept, below, above = computed(name, np.array([np.nan, -np.inf, np.inf]))
    assert np.isnan(kept)
    if "silu" not in name:
        assert (below, above) == (0, np.inf if name == "gelu" else 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@mpmath.workdps(60)
def test_rising_factorials(dtype):
    """Their logarithm and digamma from 1e-13 to 1e13, against mpmath's loggamma and digamma with 60 digits.

    In NumPy: that the CPU's and the GPU's functions do the same, the kernels' cases say.
    """
    rng = np.random.default_rng(0)
    x = np.concatenate([10.0 ** rng.uniform(-13, 13, 300), rng.uniform(0, 20, 300), [8.0, np.nextafter(8.0, 0)]])
    x, n = x.astype(dtype), rng.integers(0, 256, x.size)
    n[::5], n[1::5], n[2::5] = 0, 1, 255
    functions = mathfun.build_rising(lambda function: function, dtype, np.log, np.where)
    shift, growth, rest, q = functions.rising(x, n.astype(dtype))
    rise = functions.digamma_rise(x, n.astype(dtype), growth)
    eps = float(np.finfo(dtype).eps)
    for i, (start, count) in enumerate(zip(map(float, x), map(int, n), strict=True)):
        a = mpmath.mpf(start)
        quotient = mpmath.fprod((a + j + count) / (a + j) for j in range(int(shift[i])))
        assert abs(q[i] - quotient) <= 32 * eps * quotient
        log_rising = mpmath.loggamma(a + count) - mpmath.loggamma(a)
        z = a + int(shift[i])
        exact = log_rising - count * mpmath.log(z + count) + count + mpmath.log(quotient)
        assert abs(rest[i] - exact) <= 4 * eps * (1 + abs(exact)), (start, count)
        exact = mpmath.digamma(a + count) - mpmath.digamma(a)
        assert abs(rise[i] - exact) <= 8 * eps * (exact + 1 / a) * (count > 0), (start, count)
