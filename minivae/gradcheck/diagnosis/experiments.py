"""A few more calls of a target that is wrong: what backward rounds to, and which part of dy it mishandles."""

import numpy as np

from ..numerics.differences import first_step
from ..numerics.joint import agrees
from ..numerics.probe import coordinate_line, direction_line
from ..subject.inputs import reordered
from ..subject.moving import put_back
from ..subject.targets import Finding, flat
from .places import TILE, span

FORMATS = {8: "bfloat16", 11: "float16", 24: "float32"}  # by bits of mantissa
LOOKED_AT = 12  # coordinates whose derivatives are taken output by output
SMALL = 1e-3  # errors, relative, that are no longer told apart by parts
PARTS = 16  # indices of an axis of dy that are handed over one at a time


def rounded(table, subject):
    """Claimed values that fit into a shorter format, with errors of its size; or a dy that backward rounds to one."""
    mantissa = np.frexp(table.a[table.a != 0.0])[0]
    error, eps = table.error / table.size, np.finfo(table.result.dtype).eps
    for bits, name in FORMATS.items():
        shorter = mantissa.size > 3 and error < 2.0 ** (3 - bits) and eps < 2.0**-bits
        if shorter and _whole(mantissa * 2.0**bits) == 1.0 and _whole(mantissa * 2.0 ** (bits // 2)) < 0.5:
            return f"rounded to {bits} bits of mantissa: {name}; the errors are {error:.0e} of the largest value"
    for bits, name in FORMATS.items() if 0.0 < table.error < 2.0**-5 * table.size else ():
        wide = np.finfo(table.result.dtype).eps < 2.0**-bits
        if wide and _same_for(table, subject, bits) and not _same_for(table, subject, 4):  # it is used at all
            return f"dy is rounded to {name} in backward: it answers the same to the dy that it is rounded to"
    return ""


def _same_for(table, subject, bits):
    """Whether backward claims the same, to the bit, for a dy that is rounded to so many bits and differs by that."""
    whole = subject.cotangents
    if any(c.dtype.kind != "f" for c in whole) or subject.kind not in ("layer", "pair"):
        return False
    shorter = [np.ldexp(np.round(m * 2.0**bits), e - bits).astype(m.dtype) for m, e in map(np.frexp, whole)]
    if all(np.array_equal(c, s) for c, s in zip(whole, shorter, strict=True)):
        return False
    try:
        subject.cotangents = shorter
        return np.array_equal(subject.claimed()[table.result.name], table.claimed)
    except (Finding, KeyError):
        return False
    finally:
        subject.cotangents = whole


def depends_on_draws(table, subject):
    """Whether the derivative with respect to this array is another one with the numbers that are drawn after forward's,
    or with the noise in another order: else no draw can be what is wrong.
    """
    array, freeze, inputs = subject.arrays[table.result.name], subject._freeze, subject.inputs
    way = np.random.default_rng(0).standard_normal(array.shape).astype(array.dtype)
    h = np.cbrt(np.finfo(array.dtype).eps) * (float(np.sqrt(np.mean(np.square(array, dtype=np.float64)))) or 1.0)
    line, cotangent = direction_line(subject, array, way), flat(subject.cotangents)

    def slope():
        try:
            (_, up), (_, down) = line(h), line(-h)
        except Finding:
            return np.nan
        return np.nan if up is None or down is None else float((up - down).real @ cotangent) / (2.0 * h)

    first = slope()
    try:
        if subject.frozen:  # one forward more, before that which is looked at

            def later():
                freeze()
                inputs.call(subject._forward, subject.values, True)

            subject._freeze = later
        subject.inputs = inputs.with_fixed(reordered)
        return abs(slope() - first) > 1e-2 * abs(first)
    finally:
        subject._freeze, subject.inputs = freeze, inputs


def _whole(numbers):
    return np.mean(numbers == np.round(numbers))


def rough(table, subject):
    """Errors of the size of float32's rounding that look random, or that jump between points that lie close by."""
    if table.result.dtype != "float64" or not 1e-9 * table.size < table.error < 1e-5 * table.size:
        return ""
    if _random(table, subject) or table.error < 100.0 * _noise(subject, table):
        return f"errors of {table.error / table.size:.0e}, the rounding of float32: part of it runs in float32"
    return ""


def _random(table, subject):
    """Whether the errors are about a rounding of each value, with signs that alternate whatever they are ordered by."""
    busy = np.abs(table.n) > 1e-3 * table.size
    error = table.gap[busy] / table.n[busy]
    if busy.sum() < 10 or np.median(np.abs(error)) < 2.0**-28 or np.max(np.abs(error)) > 2.0**-21:
        return False
    orders = (
        np.arange(len(error)),
        np.argsort(table.n[busy]),
        np.argsort(table.at(subject.arrays[table.result.name])[busy]),
    )
    return all(0.3 < np.mean(np.diff(error[order] > 0.0)) < 0.8 for order in orders)


def _noise(subject, table):
    """By how much claimed gradients jump between points a few float32 roundings apart: third differences."""
    rng = np.random.default_rng(0)
    moved = [*subject.arrays.values(), *(c for c in subject.cotangents if c.dtype.kind == "f")]
    moves = [1e-6 * (np.abs(v) + np.mean(np.abs(v)) if v.size else v) * rng.uniform(-1.0, 1.0, v.shape) for v in moved]
    values = []
    with put_back(moved):
        for _ in range(8):
            values.append(table.at(subject.claimed()[table.result.name]))
            for array, move in zip(moved, moves, strict=True):
                array += move.astype(array.dtype)
    return float(np.sqrt(np.mean(np.diff(values, n=3, axis=0) ** 2) / 20.0))  # (3!)^2 / 6! = 1 / 20


def by_part(table, subject):
    """Which outputs, or which indices of dy, are mishandled where the others are right."""
    several = subject.kind in ("layer", "pair") and sum(c.size for c in subject.cotangents) > 1
    if not several or table.error < SMALL * table.size:
        return ""
    slopes, chosen = _slopes(table, subject)
    if slopes is None:
        return ""
    return next(_splits(table, subject, slopes, chosen), "")


def _splits(table, subject, slopes, chosen):
    """What can be said of the outputs, and of the axes of each."""
    outputs = [(i, ...) for i in range(len(subject.cotangents))]
    claims, truths = _handed_over(table, subject, slopes, chosen, outputs)
    bad, good, detail = _told_apart(table.only(chosen), claims, truths, table.a[chosen])
    if bad and good and _right_for(table, subject, [outputs[i] for i in good]):
        named = [", ".join(f"dy {i}" for i in part) for part in (good, bad)]
        yield f"right for {named[0]}, wrong in what comes from {named[1]}{detail}"
    for i, dy in enumerate(subject.cotangents):
        which = f" of dy {i}" if len(outputs) > 1 else " of dy"
        for axis, length in enumerate(dy.shape):
            if 2 <= length <= PARTS:
                places = [(i, (*[slice(None)] * axis, k)) for k in range(length)]
                parts, right = _handed_over(table, subject, slopes, chosen, places)
                bad, good, detail = _told_apart(table.only(chosen), parts, right, claims[i])
                where = span(set(bad), set(good), axis, length, True, which) if bad and good else ""
                if where and _right_for(table, subject, [places[k] for k in good]):
                    yield f"wrong in what comes from {where.removeprefix('only ').removesuffix(TILE)}{detail}"


def _handed_over(table, subject, slopes, chosen, places):
    """Claims and truths, (parts, coordinates), where only a part of dy is handed over: (output, index) of each part."""
    whole, name = subject.cotangents, table.result.name
    claims, truths = np.zeros((2, len(places), len(chosen)))
    try:
        for row, (i, place) in enumerate(places):
            subject.cotangents = [np.zeros_like(c) for c in whole]
            subject.cotangents[i][place] = whole[i][place]
            claimed = subject.claimed()[name]
            claims[row] = [claimed[table.index[j]] for j in chosen]
            truths[row] = slopes @ flat(subject.cotangents)
    finally:
        subject.cotangents = whole
    return claims, truths


def _right_for(table, subject, places):
    """Whether the whole array is right where only these parts of dy are handed over, not the coordinates seen alone."""
    whole, name = subject.cotangents, table.result.name
    try:
        subject.cotangents = [np.zeros_like(c) for c in whole]
        for i, place in places:
            subject.cotangents[i][place] = whole[i][place]
        return agrees(subject, {name: subject.claimed()[name]}, None, 0.0)
    finally:
        subject.cotangents = whole


def _told_apart(table, claims, truths, total):
    """The wrong parts, the right ones, and what the wrong ones are; nothing unless each is clearly one or the other."""
    gaps, open_ = np.max(np.abs(claims - truths), axis=1), 4.0 * np.max(table.slack)
    largest = np.max(np.abs(truths), axis=1)
    busy = largest > max(1e-2 * np.max(largest), open_)
    wrong, apart = gaps > open_, gaps / np.where(busy, largest, 1.0)
    right = busy & ~wrong & (apart < 1e-2 * np.median(apart[wrong] if wrong.any() else 0.0))
    if np.any(busy & ~wrong & ~right) or not table.same(claims.sum(axis=0), total):
        return [], [], ""
    a, n = claims[wrong].ravel(), truths[wrong].ravel()
    k = float(a @ n / (n @ n)) if np.any(n) else 0.0
    alike = k and np.max(np.abs(a - k * n)) <= 1e-4 * np.max(np.abs(a))
    detail = " (nothing of it arrives)" if not np.any(a) else f" (constant factor {k:.6g})" if alike else ""
    return np.flatnonzero(wrong).tolist(), np.flatnonzero(right).tolist(), detail


def assigned(table, subject):
    """Whether each wrong value is one of the terms whose sum is right: the last one to be assigned."""
    if subject.kind not in ("layer", "pair") or len(subject.cotangents) != 1 or subject.cotangents[0].dtype.kind != "f":
        return ""
    slopes, chosen = _slopes(table, subject)
    dy = subject.cotangents[0]
    if slopes is None or dy.ndim == 0:
        return ""
    every = (slopes * dy.ravel()).reshape(len(chosen), *dy.shape)
    for axis in (None, *range(1, every.ndim)):
        terms = (every if axis is None else every.sum(axis=axis)).reshape(len(chosen), -1)
        several = np.sum(np.abs(terms) > table.slack[chosen, None], axis=1) > 1
        one = np.min(np.abs(terms - table.a[chosen, None]), axis=1) <= table.slack[chosen]
        wrong = table.wrong[chosen]
        if wrong.sum() > 2 and np.all(one[wrong]) and np.all(several[wrong]):
            return "each wrong value is one of the terms that should be added up: assigned where it should be added"
    return ""


def _slopes(table, subject):
    """Derivatives of each output by some wrong coordinates: (coordinates, outputs), and which these are."""
    chosen = np.random.default_rng(0).permuted(np.flatnonzero(table.wrong))[:LOOKED_AT]
    array = subject.arrays[table.result.name]
    typical = float(np.sqrt(np.mean(np.square(array, dtype=np.float64)))) or 1.0
    rows = []
    for j in chosen:
        line = coordinate_line(subject, array, table.index[j])
        h = first_step(max(abs(float(array[table.index[j]])), typical), np.finfo(array.dtype).eps)
        (a, up), (b, down), (c, far_up), (d, far_down) = (line(t) for t in (h, -h, 2.0 * h, -2.0 * h))
        if any(y is None or np.iscomplexobj(y) for y in (up, down, far_up, far_down)):
            return None, chosen
        rows.append((4.0 * (up - down) / (a - b) - (far_up - far_down) / (c - d)) / 3.0)
    slopes = np.array(rows)
    found = slopes @ flat(subject.cotangents)
    near = np.abs(found - table.n[chosen]) <= 1e-3 * table.error + table.slack[chosen]
    return (slopes if np.all(near) else None), chosen
