"""What a wrong gradient is made of: terms and factors that are known arrays, and paths along an axis."""

import math
from collections.abc import Callable
from itertools import chain, combinations, permutations, product

import numpy as np

from .evidence import CLOSE

# Functions of one variable that derivatives of activations are made of.
SHAPES: dict[str, Callable] = {
    "{}": lambda v: v,
    "(1 - {}^2)": lambda v: 1.0 - v * v,
    "{0} (1 - {0})": lambda v: v * (1.0 - v),
    "{}^2": np.square,
    "1/{}": lambda v: 1.0 / v,
    "1/{}^2": lambda v: v**-2.0,
    "exp({})": np.exp,
    "exp(2 {})": lambda v: np.exp(2.0 * v),
    "exp({}/2)": lambda v: np.exp(0.5 * v),
    "sigmoid({})": lambda v: 1.0 / (1.0 + np.exp(-v)),
    "sigmoid'({})": lambda v: 0.25 / np.cosh(0.5 * v) ** 2,
    "tanh({})": np.tanh,
    "tanh'({})": lambda v: np.cosh(v) ** -2.0,
    "({} > 0)": lambda v: 1.0 * (v > 0),
    "cos({})": np.cos,
    "sin({})": np.sin,
    "sign({})": np.sign,
}

# Of another array: what a deviation or a variance may be made of.
WIDTHS = {n: SHAPES[n] for n in ("{}", "{}^2", "exp({})", "exp({}/2)")} | {"sqrt({})": np.sqrt, "{}^3": lambda v: v**3}
PREDICTED = {n: SHAPES[n] for n in ("{}", "exp({})", "sigmoid({})")}
EPS = " (an eps inside a logarithm or root?)"
SEVERAL = 5  # arrays of which all differences are tried


def named_arrays(subject):
    """Arrays that a term may be made of, by name."""
    named = {**subject.arrays, **subject.fixed, **subject_dy(subject)}
    return {n: v for n, v in named.items() if isinstance(v, np.ndarray) and v.dtype.kind == "f" and v.ndim}


def residuals(table, subject):
    """(name, values here) of differences of two arrays, as losses have them, over a standard deviation or variance."""
    base = {n: v for n, v in {**subject.arrays, **subject.fixed}.items() if isinstance(v, np.ndarray)}
    base = {n: v for n, v in base.items() if v.dtype.kind == "f" and v.size > 1 and _broadcasts(v.shape, table.shape)}
    base = {n: table.at(np.broadcast_to(v, table.shape)) for n, v in base.items()}
    if not 2 <= len(base) <= SEVERAL:
        return
    for one, two in permutations(base, 2):
        with np.errstate(all="ignore"):
            for form, function in PREDICTED.items():
                yield f"({form.format(one)} - {two})", function(base[one]) - base[two]
            gap = base[one] - base[two]
            yield f"({one} - {two})^2", gap**2
            for width, (form, function) in product(sorted({*base} - {one, two}), WIDTHS.items()):
                over = function(base[width])
                yield f"({one} - {two}) / {form.format(width)}", gap / over
                yield f"({one} - {two})^2 / {form.format(width)}", gap**2 / over


def subject_dy(subject):
    many = len(subject.cotangents) > 1
    return {f"dy {i}" if many else "dy": c for i, c in enumerate(subject.cotangents) if c.ndim and c.dtype.kind == "f"}


def known(table, subject, functions=True):
    """(name, values here) of arrays of this shape or that broadcast to it; of the array itself also functions."""
    own = table.result.name
    for name, array in named_arrays(subject).items():
        if name != own and array.size > 1 and _broadcasts(array.shape, table.shape):
            values = table.at(np.broadcast_to(array, table.shape))
            with np.errstate(all="ignore"):
                yield from [(f.format(name), of(values)) for f, of in WIDTHS.items() if functions or f == "{}"]
    if functions and own in subject.arrays and table.shape:
        values = table.at(subject.arrays[own])
        with np.errstate(all="ignore"):
            yield from [(form.format(own), function(values)) for form, function in SHAPES.items()]


def _broadcasts(shape, wide):
    return len(shape) <= len(wide) and all(s in (1, w) for s, w in zip(shape[::-1], wide[::-1], strict=False))


def made(table, subject):
    """(name, values here) of sums and products of two matrices among the known arrays."""
    named = named_arrays(subject) | _through_an_activation(subject)
    for name, array in named.items():
        for axes in chain.from_iterable(combinations(range(array.ndim), k) for k in range(1, array.ndim + 1)):
            if table.shape and tuple(np.delete(array.shape, axes)) == table.shape:
                yield f"the sum of {name} over axis {', '.join(map(str, axes))}", table.at(array.sum(axis=axes))
        if array.ndim > 1 and array.shape[1:] == table.shape:
            yield f"{name}[0]", table.at(array[0])
            yield f"{name}[-1]", table.at(array[-1])
    for name, array in subject_dy(subject).items():
        for axis in range(array.ndim) if array.shape == table.shape else ():
            yield f"the running sum of {name} along axis {axis}", table.at(np.cumsum(array, axis))
            back = np.flip(np.cumsum(np.flip(array, axis), axis), axis)
            yield f"the running sum of {name} from the end of axis {axis}", table.at(back)
    if len(table.shape) != 2:
        return
    rows, columns = np.array(table.index).T
    matrices = {n: v for n, v in named.items() if v.ndim == 2}
    matrices |= {f"{n}.T": v.T for n, v in matrices.items()}
    for (one, a), (two, b) in permutations(matrices.items(), 2):
        if (a.shape[0], b.shape[1]) == table.shape and a.shape[1] == b.shape[0]:
            yield f"{one} @ {two}", np.sum(a[rows] * b.T[columns], axis=1, dtype=np.float64)


def _through_an_activation(subject):
    """dy times what may be the derivative of an activation, taken from the output, by name."""
    dy = subject.cotangents
    if subject.kind not in ("layer", "pair") or len(dy) != 1 or dy[0].ndim == 0:
        return {}
    y = subject.outputs()[0]
    if y.shape != dy[0].shape or y.dtype.kind != "f":
        return {}
    with np.errstate(all="ignore"):
        return {f"(dy * {form.format('y')})": dy[0] * function(y) for form, function in SHAPES.items()}


def term(table, subject):
    """Claim minus truth is a multiple of something known: a term is missing or too many."""
    k = table.fits(table.gap, np.ones(table.gap.size))
    if k is not None:
        return f"off by the constant {k:.6g}: a term is {'extra' if k > 0 else 'missing'}"
    for name, values in chain(known(table, subject), made(table, subject), residuals(table, subject)):
        k = table.fits(table.gap, values)
        if k is not None:
            return f"the error is {_times(k)}{name}: a term is missing, extra or miscounted"
    return ""


def replaced(table, subject):
    """The claim is something known, the truth something else that is known."""
    claim, truth = (_first(table, subject, values) for values in (table.a, table.n))
    if not (claim and truth):
        return ""
    own = f"({table.result.name})"
    where = ": taken at the output where the input is meant, or the reverse"
    alike = claim.replace("(y)", own) == truth.replace("(y)", own)
    return f"these are {claim}, {truth} is right{where if alike else ''}"


def exchanged_sides(table, subject):
    """Two slopes, one on each side of zero, that have changed places."""
    dy, above = subject.cotangents, table.at(subject.arrays[table.result.name]) > 0.0
    if len(dy) != 1 or dy[0].dtype.kind != "f" or dy[0].shape not in (table.shape, ()) or above.size < 3:
        return ""
    weights = table.at(np.broadcast_to(dy[0], table.shape))
    if above.all() or not above.any() or not weights.all():
        return ""
    right, left = (float(np.median(table.n[side] / weights[side])) for side in (above, ~above))
    if not right * left:  # a mask that is inverted
        return ""
    own, other = (weights * np.where(above, *pair) for pair in ((right, left), (left, right)))
    text = f"the slopes of both sides of 0 are exchanged: above it is {right:.6g}, below {left:.6g}"
    return text if table.same(own, table.n) and table.same(other, table.a) else ""


def instead(table, subject):
    """The claim is something known, the truth nothing simple."""
    claim = _first(table, subject, table.a)
    hint = ": a factor between is missing, as the derivative of an activation?" if "dy" in claim else ""
    return claim and f"these are {claim}{hint}"


def _first(table, subject, target):
    for name, values in chain(_activations(table, subject), made(table, subject), residuals(table, subject)):
        k = table.fits(target, values)
        if k is not None:
            return _times(k) + name
    return ""


def _activations(table, subject):
    """dy times the derivative of an elementwise function, taken at the input or at the output."""
    dy, own = subject.cotangents, subject.arrays[table.result.name]
    if len(dy) != 1 or dy[0].dtype.kind != "f" or dy[0].shape not in (table.shape, ()) or not table.shape:
        return
    weights, factor = (table.at(dy[0]), "dy * ") if dy[0].shape else (float(dy[0]), "")
    yield "dy" if factor else "1", weights * np.ones(len(table.a))
    variables = {table.result.name: own}
    if dy[0].shape:
        variables["y"] = subject.outputs()[0]
    for name, array in variables.items():
        with np.errstate(all="ignore"):
            for form, function in SHAPES.items():
                yield factor + form.format(name), weights * function(table.at(array))


def path(table, subject):
    """Errors that depend on an axis as a forgotten sum, mean, norm or variance over it makes them."""
    x = subject.arrays[table.result.name]
    for length in range(x.ndim, 0, -1):
        for axes in combinations(range(x.ndim), length):
            lines = int(np.prod([x.shape[a] for a in axes], dtype=int))
            if table.complete and lines >= 4 and (text := _path(table, x, axes, lines)):
                return text.format(axes=_axes(axes), name=table.result.name)
    return ""


def _path(table, x, axes, length):
    def ordered(values):
        values = np.asarray(values, dtype=np.float64).reshape(x.shape)
        return np.moveaxis(values, axes, range(x.ndim - len(axes), x.ndim)).reshape(-1, length)

    error, slack, x = ordered(table.gap), ordered(table.slack), ordered(x)
    ones, centred = np.ones_like(x), x - x.mean(axis=1, keepdims=True)
    bases = {
        ("the same all", "a path through a sum or mean"): [ones],
        ("a multiple of {name}", "a path through a sum of squares"): [x],
        ("a multiple of {name} - mean", "the path through the variance"): [centred],
        ("a * {name} + b", "a path through mean or variance"): [ones, centred],
    }
    for (what, missing), basis in bases.items():
        left = error
        for b in basis:  # orthogonal
            square = np.sum(b * b, axis=1, keepdims=True)
            left = left - b * np.sum(left * b, axis=1, keepdims=True) / np.where(square > 0, square, 1.0)
        if np.all(np.abs(left) <= slack) and np.median(slack) <= 0.1 * table.error:
            return f"the error is {what} along {{axes}}, as where {missing} over it is missing or miscounted"
    return ""


def sums(table, subject):
    """Right values sum to zero along an axis and the claim's do not, where only some terms are missing: the errors have
    one sign, or the claim is elementwise.
    """
    for axis, fact in _zero_sums(table):
        gap = np.moveaxis(table.gap.reshape(table.shape), axis, -1)
        one_sign = np.all(np.abs(gap.sum(axis=-1)) >= 0.999 * np.abs(gap).sum(axis=-1))
        if table.error > 1e-2 * table.size and (one_sign or _first(table, subject, table.a)):
            text = f"{fact}: is the path through a sum or mean over it missing"
            return f"{text} (the other entries of a softmax, a subtracted mean)?"
    return ""


def sums_seen(table):
    """The same as a fact beside others."""
    return next((f"; {fact}" for _, fact in _zero_sums(table)), "")


def _zero_sums(table):
    if not table.complete:
        return
    a, n, slack = (v.reshape(table.shape) for v in (table.a, table.n, table.slack))
    for axis, length in reversed([*enumerate(table.shape)]):
        room, size = np.sum(slack, axis=axis), 0.05 * np.sum(np.abs(a), axis=axis)
        zero = np.all(np.abs(n.sum(axis=axis)) <= room) and np.mean(np.abs(n) > slack) > 0.5
        if length > 2 and zero and np.any(np.abs(a.sum(axis=axis)) > 10.0 * room + size):
            yield axis, f"right values sum to zero along axis {axis} and these do not"


def reduced(table, subject):
    """The sum or mean of the right values over an axis in the place of each."""
    if not table.complete:
        return ""
    n = table.n.reshape(table.shape)
    for axis, length in enumerate(table.shape):
        for word, values in (("mean", n.mean(axis=axis, keepdims=True)), ("sum", n.sum(axis=axis, keepdims=True))):
            if length > 1 and table.same(np.broadcast_to(values, table.shape).ravel(), table.a):
                return f"each is the {word} of the right values along axis {axis}"
    return ""


def factor_by_index(table, subject):
    """One factor for each index of an axis, or of several."""
    axes = range(len(table.shape))
    for count in axes if table.complete else ():
        for fixed in combinations(axes, count + 1):
            if text := _factors(table, fixed):
                return text
    return ""


def _factors(table, fixed):
    shape = [table.shape[axis] for axis in fixed]
    length = math.prod(shape)
    order = [*fixed, *(axis for axis in range(len(table.shape)) if axis not in fixed)]
    a, n, slack = (
        np.transpose(v.reshape(table.shape), order).reshape(length, -1) for v in (table.a, table.n, table.slack)
    )
    square = np.sum(n * n, axis=1, keepdims=True)
    if a.shape[1] < 3 or length < 2 or np.any(square == 0.0):
        return ""
    k = np.sum(a * n, axis=1, keepdims=True) / square
    if np.any(np.abs(k * n - a) > slack) or np.median(slack) > 0.1 * table.error:
        return ""
    which = f"one factor for each index of {_axes(fixed)}"
    if np.all(np.abs(k - 1.0) < 1e-2):
        which += f", within {np.max(np.abs(k - 1.0)):.0e} of 1"
        return f"nearly right ({which}): a small term is missing or extra{EPS}"
    numbers = ", ".join(f"{v:.4g}" for v in k.ravel()[:6])
    return f"{which}: {numbers}{', ...' if length > 6 else ''}"


def _axes(axes):
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"


def factor(table, subject):
    """Truth times or divided by something known."""
    for name, values in known(table, subject):
        k = table.fits(table.a, table.n * values)
        if k is not None:
            return f"the factor {name} does not belong here{_besides(k)}"
        k = table.fits(table.n, table.a * values)
        if k is not None:
            return f"the factor {name} is missing{_besides(1.0 / k)}"
    return ""


def _times(k):
    one = math.isclose(abs(k), 1.0, rel_tol=CLOSE)
    return ("-" if k < 0.0 else "") if one else f"{k:.6g} * "


def _besides(k):
    return "" if math.isclose(k, 1.0, rel_tol=CLOSE) else f" (besides a constant {k:.6g})"
