"""Where the wrong coordinates of an array lie, and entries that lie in the wrong places."""

from itertools import combinations, product
from math import comb

import numpy as np

from .terms import known

UNLIKELY = 100  # ways to choose as many coordinates, for one array that may put them in this order
TILE = ": the last tile?"
REPEATED = "only rows that occur more than once"
SIDES = {(0,): "on", (1,): "above", (-1,): "below", (-1, 1): "off", (0, 1): "on and above", (-1, 0): "on and below"}


def confined(table, subject):
    """Wrong only in one row, one block at an end, one triangle, beyond a threshold, at one coordinate."""
    if table.wrong.all() or not table.wrong.any():
        return ""
    if np.max(np.abs(table.gap[~table.wrong])) > 0.1 * np.median(np.abs(table.gap[table.wrong])):
        return ""  # what is called right is so by the tolerance
    if not np.any(~table.wrong & ~table.untouched):
        return ""  # it is right where nothing arrives, whatever is wrong
    if table.wrong.sum() == 1 and len(table.index) > 2:
        return f"one coordinate only{'' if table.complete else ' of those looked at'}{_extreme(table, subject)}"
    where = _repeated(table, subject) or _range(table)
    beyond = _beyond(table, subject)
    if where and beyond:
        return f"{where.removesuffix(TILE)}, where {beyond}"
    return (
        where
        or _triangle(table)
        or (beyond and f"only where {beyond}")
        or _listed(table)
        or _block(table)
        or _one_each(table)
    )


def _split(table, labels):
    """The labels of wrong coordinates and of right ones; nothing where the two mix."""
    bad = set(labels[table.wrong].tolist())
    good = set(labels[~table.wrong & ~(table.untouched & np.isin(labels, list(bad)))].tolist())
    return (bad, good) if bad and good and not bad & good else (set(), set())


def _axes(table):
    """(wrong indices, right indices, axis, its length) of each axis along which the two can be told apart."""
    for axis, length in enumerate(table.shape):
        bad, good = _split(table, np.array([i[axis] for i in table.index])) if length > 1 else ((), ())
        if bad:
            yield bad, good, axis, length


def _range(table):
    for bad, good, axis, length in _axes(table):
        alone = len(good) == 1 and len(table.shape) == 1  # one number that is right may be so by chance
        if not alone and (where := span(bad, good, axis, length, table.complete)):
            return where
    return ""


def _listed(table):
    for bad, _, axis, length in _axes(table):
        ends = len(bad) // 2
        if bad == {*range(ends), *range(length - ends, length)} and length >= 2 * ends + 3:
            some = f"the first {ends} and the last {ends}" if ends > 1 else "the first and the last index"
            return f"only {some} of axis {axis}: at the border?"
        if table.complete and 2 * len(bad) <= length:
            return f"only {len(bad)} of the {length} indices of axis {axis}: {few(sorted(bad))}"
    return ""


def span(bad, good, axis, length, complete, of=""):
    """One index of an axis, or a block at an end, in words; `of` says of what, if not of the array itself."""
    first, last = min(bad), max(bad)
    axis = f"axis {axis}{of}"
    if len(bad) == 1:
        end = ", the last" if last == length - 1 else ", the first" if first == 0 else ""
        return f"only index {first} of {axis}{end}"
    if len(good) == 1 and complete:
        return f"all but index {min(good)} of {axis}"
    if last == length - 1 and max(good) <= first:
        if 2 * first < length:
            return f"all but the first {first} of {axis}"
        return f"only the last {length - first} of {axis} (from {first} on){TILE}"
    if first == 0 and min(good) >= last:
        return f"only the first {last + 1} of {axis} (right from {last + 1} on)"
    return ""


def few(numbers):
    return ", ".join(map(str, numbers[:6])) + (", ..." if len(numbers) > 6 else "")


def _repeated(table, subject):
    """Rows of a table that is looked up by integers among the inputs: those that are looked up more than once."""
    rows = np.array([i[0] for i in table.index]) if table.shape else np.zeros(0)
    for name, array in {**subject.values, **subject.fixed}.items():
        if isinstance(array, np.ndarray) and array.dtype.kind in "iu" and array.size:
            values, counts = np.unique(array, return_counts=True)
            often = np.isin(rows, values[counts > 1])
            if np.any(~often & np.isin(rows, values)) and _split(table, often)[0] == {True}:
                return f"{REPEATED} in '{name}': assigned where they should be added"
    return ""


def _triangle(table):
    """The diagonal of two axes of one length, or what lies on one side of it."""
    for one, two in combinations(range(len(table.shape)), 2):
        if table.shape[one] == table.shape[two] > 2:
            side = np.array([np.sign(i[two] - i[one]) for i in table.index])
            bad, _ = _split(table, side)
            if bad:
                return f"only {SIDES[tuple(sorted(bad))]} the diagonal of axes {one} and {two}"
    return ""


def _beyond(table, subject):
    """Beyond a threshold of an array of the same shape, itself first."""
    right = ~table.wrong & ~table.untouched
    right = right if right.sum() > 2 else ~table.wrong
    for number, (name, values) in enumerate(_same_shape(table, subject), 1):
        for sign in (1, -1):
            low, high = (float(f(sign * values[part])) for f, part in ((np.max, right), (np.min, table.wrong)))
            if low < high and comb(int(right.sum() + table.wrong.sum()), int(table.wrong.sum())) > UNLIKELY * number:
                side = f"{name} {'>' if sign > 0 else '<'} {sign * short(low, high) + 0.0:g}"
                return f"{side} ({table.wrong.sum()} of {len(values)} coordinates)"
    return ""


def short(low, high):
    """The shortest number of decimals between two numbers."""
    for digits in range(-6, 12):
        number = round(0.5 * (low + high), digits)
        if low <= number < high:
            return number
    return 0.5 * (low + high)


def _same_shape(table, subject):
    """(name, values) of arrays of this shape, itself first."""
    own = table.at(subject.arrays[table.result.name])
    yield table.result.name, own
    yield f"|{table.result.name}|", np.abs(own)
    yield from known(table, subject, functions=False)


def _extreme(table, subject):
    """For one wrong coordinate: whether it is where the array itself has its largest or smallest value."""
    values, one = table.at(subject.arrays[table.result.name]), int(np.argmax(table.wrong))
    where = {int(np.argmax(values)): "largest", int(np.argmin(values)): "smallest"}.get(one) if table.complete else None
    return f", where '{table.result.name}' is {where}" if where and np.ptp(values) else ""


def _block(table):
    """Some indices of two axes at once: a corner, a border."""
    index = np.array(table.index)
    for axes in combinations(range(len(table.shape)), 2):
        sets = [sorted(set(index[table.wrong][:, axis].tolist())) for axis in axes]
        inside = np.all([np.isin(index[:, axis], found) for axis, found in zip(axes, sets, strict=True)], axis=0)
        if _split(table, inside)[0] == {True} and (table.complete or table.wrong.sum() > 4):
            places = [f"{few(found)} of axis {axis}" for axis, found in zip(axes, sets, strict=True)]
            return f"only where both are: {' and '.join(places)}"
    return ""


def _one_each(table):
    """One for each index of an axis."""
    for axis, length in enumerate(table.shape):
        at = [i[axis] for i, wrong in zip(table.index, table.wrong, strict=True) if wrong]
        if length > 2 and sorted(at) == list(range(length)) and len(table.index) > 2 * length:
            return f"one coordinate for each index of axis {axis}: that of a label or a largest value?"
    return ""


def masked(table, subject):
    """Right where both are not zero: what differs is where they are."""
    forgotten = (table.a == 0.0) & (np.abs(table.n) > table.blur)
    extra = (table.a != 0.0) & (np.abs(table.n) <= table.blur) & table.wrong
    both = table.only((table.a != 0.0) & ~extra)
    if forgotten.any() and extra.any() and not both.a.size:
        return "zero where it should not be, and not zero where it should be: the mask is inverted?"
    if both.a.size < 3 or not (forgotten | extra).any() or not both.same(both.a, both.n):
        return ""
    if not extra.any():
        return f"right but for {forgotten.sum()} of {len(table.a)} coordinates, where it is zero and should not be"
    if not forgotten.any():
        return f"right but for {extra.sum()} of {len(table.a)} coordinates, where it should be zero: a mask is missing?"
    text = f"zero at {forgotten.sum()} coordinates where it should not be, not zero at {extra.sum()} where it should be"
    return f"{text}, right elsewhere: another mask than in forward"


def clipped(table, subject):
    """Cut to an interval."""
    top = float(np.max(np.abs(table.a[table.wrong]), initial=0.0))
    cut = np.clip(table.n, -top, top)
    if not table.wrong.any() or table.wrong.all() or float(f"{top:.3g}") != top or not table.same(cut, table.a):
        return ""
    return f"clipped to [{-top:g}, {top:g}] at {table.wrong.sum()} of {len(table.a)} coordinates"


def rearranged(table, subject):
    """Transposed, shifted, reversed, halves exchanged."""
    for moved, phrase, lost in _moves(table.claimed):
        differ = np.abs(table.at(moved) - table.n) > table.slack
        busy = ~differ & (np.abs(table.n) > table.blur)
        if np.mean(differ) <= lost and busy.sum() > max(2, lost * len(differ)):
            return phrase
    return _permuted(table)


def _permuted(table):
    """The right values in another order, where they can be told apart."""
    a, n = np.sort(table.a), np.sort(table.n)
    steps = np.diff(n)
    told = steps > 4.0 * np.maximum(table.slack[1:], table.slack[:-1]) if len(n) > 1 else steps > 0
    apart = np.mean(told) > 0.5 if len(n) > 3 and table.complete else False
    if apart and table.same(a, n) and np.max(np.abs(a - n)) < 1e-3 * table.error:
        return "the right values in the wrong places"
    return ""


def _moves(claimed):
    """The claimed gradient with its entries moved back, for each way in which they may have been moved, and the share
    that a move leaves without a right value.
    """
    shape, axes = claimed.shape, range(claimed.ndim)
    for one, two in combinations(axes, 2):
        which = "" if claimed.ndim == 2 else f": axes {one} and {two} exchanged"
        if shape[one] == shape[two] > 1:
            yield np.swapaxes(claimed, one, two), f"transposed{which}", 0.0
    if claimed.ndim == 2 and min(shape) > 1:
        yield claimed.reshape(shape[::-1]).T, "transposed: the values of the transpose in this shape", 0.0
    for axis in (a for a in axes if shape[a] > 2):
        yield np.flip(claimed, axis), f"reversed along axis {axis}", 0.0
        for shift in (1, -1):
            yield np.roll(claimed, shift, axis), f"shifted by one along axis {axis}", 1.5 / shape[axis]
    for axis in (a for a in axes if shape[a] > 1 and shape[a] % 2 == 0):
        yield np.roll(claimed, shape[axis] // 2, axis), f"the two halves of axis {axis} exchanged", 0.0
    for pair in combinations([a for a in axes if shape[a] > 2], 2):
        which = "axes {} and {}".format(*pair)
        yield np.flip(claimed, pair), f"reversed along {which}", 0.0
        lost = 1.5 * (1.0 / shape[pair[0]] + 1.0 / shape[pair[1]])
        for both in product((1, -1), (1, -1)):
            yield np.roll(claimed, both, pair), f"shifted by one along {which}", min(lost, 0.6)
