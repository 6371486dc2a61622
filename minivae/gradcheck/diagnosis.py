"""What a pattern of errors looks like: the first guess an experienced reader would make, from the numbers alone."""

import math

import numpy as np

from .arguments import real_view

CLOSE = 1e-5  # relative size of what a pattern may leave unexplained
FLOAT32 = 2e-6  # errors below this size, relative, and above rounding look like float32


def diagnose(result, results, claimed, subject):
    """One phrase for a wrong array; `results` are those of all arrays."""
    odd = [c for c in result.wrong if c.kind in ("jump", "undefined")]
    if odd:
        return _odd(odd[0], subject)
    faults = [c.fault for c in result.wrong if c.fault]
    if len(faults) == len(result.wrong):
        return faults[0]
    table = _Table(result, claimed[result.name])
    if not table.wrong.any():
        return "wrong only along random directions: few or small coordinates, not among those looked at"
    everywhere = _float32(table) or _relation(table, table.every, subject) or _exchanged(table, results)
    if everywhere:
        return everywhere
    few = 2 * table.wrong.sum() <= len(table.wrong)
    for pattern in (_rearranged, _confined if few else _term, _term, _factor_by_row, _elementwise_factor, _confined):
        phrase = pattern(table, subject)
        if phrase:
            return phrase
    return _unrelated(table, subject)


def _odd(coordinate, subject):
    if coordinate.kind == "undefined":
        return "the function is not finite around here"
    size = float(np.max(np.abs(subject.vector()), initial=0.0))
    if coordinate.error < 1e-5 * size:
        return f"the function moves in steps of {coordinate.error / size:.0e} of its size: it is rounded, to float32?"
    return "the function jumps"


def locate(report, subject):
    """Where along the way the error enters, for a model whose last arrays are right and earlier ones wrong."""
    names = [a.name for a in report.arrays]
    wrong = [a.verdict == "wrong" for a in report.arrays]
    if subject.kind != "model" or not any(wrong) or all(wrong):
        return ""
    last = max(i for i, bad in enumerate(wrong) if bad)
    if last + 1 < len(names) and sum(wrong) >= 2:
        text = f"from '{names[last + 1]}' to the loss everything is right: the error arises in the backward of what "
        return f"{text}lies between '{names[last]}' and there"
    return ""


class _Table:
    """The coordinates off kinks as vectors: claimed a, measured n, and where they lie."""

    def __init__(self, result, claimed):
        kept = [c for c in result.coordinates if c.kind != "kink"]
        self.result, self.claimed, self.shape = result, claimed, result.shape
        self.index = [c.index for c in kept]
        self.a = np.array([c.analytic for c in kept])
        self.n = np.array([c.numeric for c in kept])
        self.tolerance = np.array([c.tolerance for c in kept])
        self.wrong = np.array([c.wrong for c in kept], dtype=bool)
        self.every = np.ones(len(kept), dtype=bool)
        self.complete = len(kept) == result.size

    def at(self, array, mask=None):
        """Values of an array of this shape at the coordinates looked at."""
        values = np.array([array[i] for i in self.index], dtype=np.float64)
        return values if mask is None else values[mask]

    def explains(self, guess, mask):
        """Whether `guess` is the claim, up to rounding and the tolerance of the differences."""
        gap = np.abs(guess - self.a[mask])
        return bool(np.all(gap <= CLOSE * np.max(np.abs(self.a[mask]), initial=0.0) + 2.0 * self.tolerance[mask]))


def _relation(table, mask, subject):
    """Zero, sign, factor: a claim that is the truth times a number."""
    a, n = table.a[mask], table.n[mask]
    if not np.any(a) and np.any(np.abs(n) > table.tolerance[mask]):
        return "zero: no gradient arrives here"
    if not np.any(np.abs(n) > table.tolerance[mask]):
        return "should be zero: the outputs do not depend on this array" if np.any(a) else ""
    if a.size < 2 and table.result.size > 1:
        return ""
    factor = float(a @ n / (n @ n))
    if abs(factor - 1.0) < 1e-6 or factor == 0.0 or not table.explains(factor * n, mask):
        return ""
    if abs(factor + 1.0) < 1e-6:
        return "sign flipped"
    if abs(factor - 2.0) < 1e-6:
        return "twice the right values: a factor 2, or added up twice"
    return f"constant factor {factor:.6g}{_name_factor(factor, subject)}"


def _name_factor(factor, subject):
    """Which size of the problem the factor is, if any."""
    lengths: dict[int, str] = {}
    for name, array in {**subject.values, **subject.parameters}.items():
        for axis, length in enumerate(np.shape(array)):
            if length > 1:
                lengths.setdefault(length, f"axis {axis} of '{name}'")
    for length, text in lengths.items():
        for value, how in ((length, f"{length}"), (1.0 / length, f"1/{length}")):
            if math.isclose(abs(factor), value, rel_tol=1e-5):
                return f" = {how}, the length of {text}: a sum where a mean is meant, or the reverse?"
    return ": a half too many" if math.isclose(factor, 0.5, rel_tol=1e-5) else ""


def _exchanged(table, results):
    """The values that belong to another array."""
    for other in results:
        if other.name == table.result.name or other.shape != table.shape or not table.complete:
            continue
        numeric = {c.index: c.numeric for c in other.coordinates}
        values = np.array([numeric.get(i, np.nan) for i in table.index])
        if table.n.size > 1 and np.any(values) and table.explains(values, table.every):
            return f"these are the values that belong to '{other.name}': exchanged?"
    return ""


def _rearranged(table, subject):
    """Transposed, shifted, reversed, halves exchanged."""
    for moved, phrase in _moves(table.claimed):
        right = np.abs(table.at(moved) - table.n) <= 2.0 * table.tolerance + CLOSE * np.max(np.abs(table.n))
        edge = 0 if not phrase.startswith("shifted") else len(right) / max(table.shape)
        if np.sum(~right) <= edge and np.any(table.n):
            return phrase
    if table.complete and table.a.size > 3:
        a, n = np.sort(table.a), np.sort(table.n)
        if np.all(np.abs(a - n) <= CLOSE * np.max(np.abs(n))) and np.any(n):
            return "the right values in the wrong places"
    return ""


def _moves(claimed):
    """The claimed gradient with its entries moved back, for each way in which they may have been moved."""
    shape = claimed.shape
    if claimed.ndim == 2 and min(shape) > 1:
        if shape[0] == shape[1]:
            yield claimed.T, "transposed"
        yield claimed.reshape(shape[::-1]).T, "transposed: the values of the transpose in this shape"
    for axis, length in enumerate(shape):
        if length > 2:
            for shift in (1, -1):
                yield np.roll(claimed, shift, axis), f"shifted by one along axis {axis}"
            yield np.flip(claimed, axis), f"reversed along axis {axis}"
        if length > 1 and length % 2 == 0:
            yield np.roll(claimed, length // 2, axis), f"the two halves of axis {axis} exchanged"


def _float32(table):
    size = np.maximum(np.abs(table.a), np.abs(table.n))
    gap = np.abs(table.a - table.n)
    if table.result.dtype == "float64" and np.max(gap) <= FLOAT32 * np.max(size) and np.mean(table.wrong) > 0.3:
        return f"errors of {np.max(gap) / np.max(size):.0e}, the rounding of float32: part of it runs in float32"
    return ""


def _confined(table, subject):
    """Wrong only in one row, one block at an end, one coordinate."""
    if table.wrong.all() or not table.wrong.any():
        return ""
    inside = _relation(table, table.wrong, subject)
    inside = f" ({inside})" if inside else ""
    if table.wrong.sum() == 1 and len(table.index) > 2:
        return f"one coordinate only{'' if table.complete else ' of those looked at'}{inside}"
    for axis, length in enumerate(table.shape):
        bad, good = _indices(table, axis)
        where = _range(bad, good, axis, length, table.complete) if length > 1 and bad else ""
        if where:
            return where + inside
    return ""


def _indices(table, axis):
    """The indices of the axis with wrong values and those with right ones; nothing where the two mix."""
    at = np.array([i[axis] for i in table.index])
    bad, good = set(at[table.wrong].tolist()), set(at[~table.wrong].tolist())
    # Right values among the wrong ones are zeros that any mistake would leave alone, or the pattern is not it.
    among = ~table.wrong & np.isin(at, list(bad))
    mixed = bad >= good or np.any(np.abs(table.n[among]) > 1e-3 * np.max(np.abs(table.n)))
    return ((), ()) if mixed else (bad, good)


def _range(bad, good, axis, length, complete):
    first, last = min(bad), max(bad)
    if len(bad) == 1:
        end = ", the last" if last == length - 1 else ", the first" if first == 0 else ""
        return f"only index {first} of axis {axis}{end}"
    if last == length - 1 and max(good) <= first:
        if 2 * first < length:
            return f"everywhere but in the first {first} of axis {axis}"
        return f"only the last {length - first} of axis {axis} (from {first} on): the last tile?"
    if first == 0 and min(good) >= last:
        return f"only the first {last + 1} of axis {axis}"
    return f"only {len(bad)} of the {length} indices of axis {axis}: {_few(sorted(bad))}" if complete else ""


def _few(numbers):
    return ", ".join(map(str, numbers[:6])) + (", ..." if len(numbers) > 6 else "")


def _known(table, subject):
    """Arrays of this shape (or that broadcast to it) that a term may be made of: (name, values here)."""
    named = dict(subject.arrays)
    named.update({n: v for n, v in subject.fixed.items() if isinstance(v, np.ndarray) and v.dtype.kind == "f"})
    named.update({f"dy {i}": real_view(c) for i, c in enumerate(subject.cotangents)})
    for name, array in named.items():
        if array.shape == table.shape and name != table.result.name:
            yield name, table.at(array)
    own = named.get(table.result.name)
    if own is not None:
        yield table.result.name, table.at(own)
        yield f"{table.result.name}^2", table.at(own) ** 2
        with np.errstate(all="ignore"):
            yield f"exp({table.result.name})", table.at(np.exp(own))
            yield f"sigmoid({table.result.name})", table.at(1.0 / (1.0 + np.exp(-own)))


def _fits(table, target, guess):
    """The k with target = k * guess on all coordinates, else None."""
    square = float(guess @ guess)
    if not np.isfinite(square) or square == 0.0 or target.size < 3:
        return None
    k = float(target @ guess) / square
    gap = np.abs(target - k * guess)
    return k if k and np.all(gap <= CLOSE * np.max(np.abs(target)) + 2.0 * table.tolerance) else None


def _term(table, subject):
    """Claim minus truth is a multiple of something known: a term is missing or too many."""
    difference = table.a - table.n
    k = _fits(table, difference, np.ones(difference.size))
    if k is not None:
        return f"off by the constant {k:.6g} everywhere: a term is {'extra' if k > 0 else 'missing'}"
    for name, values in _known(table, subject):
        k = _fits(table, difference, values)
        if k is not None:
            return f"the error is {k:.6g} * {name}: a term is missing, extra or miscounted"
    return ""


def _factor_by_row(table, subject):
    """One factor for each index of an axis."""
    if len(table.shape) != 2 or not table.complete:
        return ""
    a, n = table.a.reshape(table.shape), table.n.reshape(table.shape)
    for axis in (0, 1):
        square = np.sum(n * n, axis=1 - axis, keepdims=True)
        if table.shape[1 - axis] < 3 or np.any(square == 0.0):
            continue
        k = np.sum(a * n, axis=1 - axis, keepdims=True) / square
        if table.explains((k * n).ravel(), table.every):
            return f"one factor for each index of axis {axis}: {_few([f'{v:.4g}' for v in k.ravel()])}"
    return ""


def _elementwise_factor(table, subject):
    """Truth times or divided by something known."""
    for name, values in _known(table, subject):
        k = _fits(table, table.a, table.n * values)
        if k is not None:
            return f"the factor {name} does not belong here{_besides(k)}"
        k = _fits(table, table.a * values, table.n)
        if k is not None:
            return f"the factor {name} is missing{_besides(k)}"
    return ""


def _besides(k):
    return "" if math.isclose(k, 1.0, rel_tol=1e-5) else f" (besides a constant {k:.6g})"


def _unrelated(table, subject):
    a, n = table.a, table.n
    norms = float(np.linalg.norm(a) * np.linalg.norm(n))
    if norms == 0.0 or a.size < 3:
        return "no simple pattern"
    alike = float(a @ n) / norms
    ratio = float(np.linalg.norm(a) / np.linalg.norm(n))
    unrelated = abs(float(np.mean(np.sign(a) * np.sign(n)))) < 0.6
    if unrelated and _other_draw(table, subject):
        text = "as if backward used another draw of the noise than forward (fresh noise in backward): divided by the "
        return f"{text}noise of forward it is right but for a random factor (cosine {alike:.2f})"
    if unrelated and subject.frozen and 0.1 < ratio < 10.0:
        text = f"right size, unrelated values (cosine {alike:.2f}): as if backward used another draw than forward"
        return f"{text} (fresh noise in backward)"
    if alike > 0.999:
        return f"nearly right (cosine {alike:.6f}, size {ratio:.4g}): a small term is missing or extra"
    return f"no simple pattern (cosine {alike:.3f}, size {ratio:.3g}): a term is missing or extra"


def _other_draw(table, subject):
    """Whether claim * noise / truth looks like standard normals: another draw in the place of forward's."""
    for noise in subject.fixed.values():
        if isinstance(noise, np.ndarray) and noise.shape == table.shape and noise.dtype.kind == "f" and table.n.all():
            other = table.a * table.at(noise) / table.n
            spread = float(np.std(other))
            if other.size >= 6 and 0.5 < spread < 1.7 and np.max(np.abs(other)) < 4.5 and abs(np.mean(other)) < 0.8:
                return True
    return False
