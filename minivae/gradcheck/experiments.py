"""A few more calls of a target that is wrong: what backward rounds to, and which part of dy it mishandles."""

import numpy as np

from .differences import first_step
from .places import span
from .probe import coordinate_line
from .targets import Finding, flat

FORMATS = {8: "bfloat16", 11: "float16", 24: "float32"}  # by bits of mantissa
LOOKED_AT = 12  # coordinates whose derivatives are taken output by output
PARTS = 16  # indices of an axis of dy that are handed over one at a time


def rounded(table, subject):
    """Claimed values that fit into a shorter format, with errors of its size."""
    busy = table.a[table.a != 0.0]
    if busy.size < 4 or table.untouched.all():
        return ""
    mantissa = np.frexp(busy)[0]
    for bits, name in FORMATS.items():
        fits = np.all(mantissa * 2.0**bits == np.round(mantissa * 2.0**bits))
        shorter = np.mean(mantissa * 2.0 ** (bits // 2) == np.round(mantissa * 2.0 ** (bits // 2))) > 0.5
        if (
            fits
            and not shorter
            and bits < -np.log2(np.finfo(table.result.dtype).eps)
            and table.error < 2.0 ** (3 - bits) * table.size
        ):
            return f"rounded to {bits} bits of mantissa: {name}; the errors are {table.error / table.size:.0e} of the largest"
    return ""


def rough(table, subject):
    """Errors of the size of float32's rounding, if backward jumps by as much between points that lie close by."""
    if table.result.dtype != "float64" or not 1e-9 * table.size < table.error < 1e-5 * table.size:
        return ""
    noise = _noise(subject, table)
    if noise / table.size > 1e-9 and table.error < 100.0 * noise:
        return f"errors of {table.error / table.size:.0e}, the rounding of float32: part of it runs in float32"
    return ""


def _noise(subject, table):
    """By how much claimed gradients jump between points a few float32 roundings apart: third differences."""
    name = table.result.name
    array, kept = subject.arrays[name], subject.arrays[name].copy()
    rng = np.random.default_rng(0)
    direction = 1e-6 * (np.abs(kept) + np.mean(np.abs(kept))) * rng.uniform(-1.0, 1.0, kept.shape)
    values = []
    try:
        for k in range(8):
            array[...] = kept + k * direction
            values.append(table.at(subject.claimed()[name]))
    except Finding:
        return 0.0
    finally:
        array[...] = kept
        subject.claimed()
    return float(np.sqrt(np.mean(np.diff(values, n=3, axis=0) ** 2) / 20.0))  # (3!)^2 / 6! = 1 / 20


def by_part(table, subject):
    """Which outputs, or which indices of dy, are mishandled where the others are right."""
    if subject.kind not in ("layer", "pair") or sum(c.size for c in subject.cotangents) < 2:
        return ""
    slopes, chosen = _slopes(table, subject)
    if slopes is None:
        return ""
    whole = subject.cotangents
    try:
        if len(whole) > 1:
            bad, good, detail = _parts(table, subject, slopes, chosen, [(i, ...) for i in range(len(whole))])
            if bad and good:
                few = ", ".join(f"dy {i}" for i in bad)
                return f"right for {', '.join(f'dy {i}' for i in good)}, wrong in what comes from {few}{detail}"
            return ""
        for axis, length in enumerate(whole[0].shape):
            if 2 <= length <= PARTS:
                places = [(0, (*[slice(None)] * axis, k)) for k in range(length)]
                bad, good, detail = _parts(table, subject, slopes, chosen, places)
                if bad and good:
                    return f"wrong in what comes from dy at {span(bad, good, axis, length, True, ' of dy').removeprefix('only ')}{detail}"
    except Finding:
        pass
    finally:
        subject.cotangents = whole
        subject.claimed()
    return ""


def _parts(table, subject, slopes, chosen, places):
    """The parts of dy handed over one at a time: indices of wrong ones, of right ones, and what the wrong ones are."""
    whole, name = subject.cotangents, table.result.name
    claims, truths = [], []
    for i, place in places:
        subject.cotangents = [np.zeros_like(c) for c in whole]
        subject.cotangents[i][place] = whole[i][place]
        claims.append(np.array([subject.claimed()[name][table.index[j]] for j in chosen], dtype=np.float64))
        truths.append(slopes @ flat(subject.cotangents))
        subject.cotangents = whole
    claims, truths = np.array(claims), np.array(truths)
    gaps = np.max(np.abs(claims - truths), axis=1)
    together = np.max(np.abs(claims.sum(axis=0) - table.a[chosen])) <= 1e-6 * table.size
    wrong = gaps > max(1e-2 * np.max(gaps), 4.0 * np.max(table.blur[chosen]))
    bad, good = np.flatnonzero(wrong).tolist(), np.flatnonzero(~wrong).tolist()
    if not together:
        return [], [], ""
    a, n = claims[wrong].ravel(), truths[wrong].ravel()
    k = float(a @ n / (n @ n)) if np.any(n) else 0.0
    alike = k and np.max(np.abs(a - k * n)) <= 1e-4 * np.max(np.abs(a))
    detail = " (nothing of it arrives)" if not np.any(a) else f" (constant factor {k:.6g})" if alike else ""
    return bad, good, detail


def assigned(table, subject):
    """Whether each wrong value is one of the terms whose sum is right: the last one to be assigned."""
    if subject.kind not in ("layer", "pair") or len(subject.cotangents) != 1 or subject.cotangents[0].ndim == 0:
        return ""
    slopes, chosen = _slopes(table, subject)
    if slopes is None:
        return ""
    dy = subject.cotangents[0]
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
    """Derivatives of each output by some coordinates, wrong ones first: (coordinates, outputs), and which these are."""
    order = np.argsort(~table.wrong, kind="stable")[: 4 * LOOKED_AT]
    chosen = np.random.default_rng(0).permuted(order[: max(LOOKED_AT, table.wrong.sum())])[:LOOKED_AT]
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
