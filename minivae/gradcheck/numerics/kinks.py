"""What is claimed on a kink, where there is no derivative: judged beside it, against both slopes, and along ties.

A chain rule takes a slope between the two of each unit. Where one unit bends, what it gives lies between the slopes
of the whole; where several do in one place it need not. They are told apart by the slopes beside: a single unit has
only two.
"""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from ..subject.moving import put_back
from ..subject.targets import Finding
from .differences import SAFETY, Differences, differentiate
from .probe import finite_outputs, group_line

NUDGE = 1e-3  # how far to step off a kink, relative to the array's values
PLACES = 3  # beside a kink that are tried where other kinks lie too near
LIMITS = 128  # places beside a kink at which the slopes of its outputs are looked at, until another shows
AT_ONCE = 24  # coordinates of which that is done
STRAIGHT = 0.02  # part of the gap at a kink that rounding and curvature leave in the slopes measured there
TIES = 16  # sets of tied coordinates that are moved together


def beside_kinks(subject, judges, rng):
    """Judge what lies on a kink, or too near one, again with every array moved a little off it.

    Data that are not differentiated stay: a model may refuse what lies beside them.
    """
    for k in range(PLACES):
        if not any(judge.kinked() or (k == 0 and judge.straight()) for judge in judges.values()):
            break
        with _moved(judges, rng):
            try:
                claimed, start = subject.claimed(), subject.vector()
            except Finding:  # beside the edge of its domain
                return
            for name, judge in judges.items():
                judge.again(claimed[name], start, first=k == 0)
    kinks = [(j, i) for j in judges.values() for i, c in enumerate(j.result.coordinates) if _open(c)]
    if not kinks:
        return
    faults = {(judge.name, i): _outside(judge.result.coordinates[i]) for judge, i in kinks}
    ties = _ties(subject, kinks)
    doubtful = [(j, i) for j, i in kinks if faults[j.name, i] or any((j, i) in tie[0] for tie in ties)]
    several: set[tuple[str, int]] = set()
    left: list = []
    for k in range(LIMITS):
        left = [(judge, i) for judge, i in doubtful if (judge.name, i) not in several][:AT_ONCE]
        if not left:
            break
        with _moved(judges, rng, 0.01, 12.0, 1 / 2, rising=k % 2 == 1):
            start = finite_outputs(subject)
            if start is not None:
                several |= {(j.name, i) for j, i in left if j.other_slopes(j.result.coordinates[i], start, NUDGE)}
    alone = {(judge.name, i) for judge, i in left} - several  # looked at to the end
    faults = {key: fault if key in alone else "" for key, fault in faults.items()}
    for members, text in ties:
        names = {(judge.name, i) for judge, i in members}
        if names & alone and not names & several:
            faults.update({(judge.name, i): faults[judge.name, i] or text for judge, i in members})
    for judge, i in kinks:
        if faults[judge.name, i]:
            judge.result.coordinates[i] = replace(judge.result.coordinates[i], fault=faults[judge.name, i])


@contextmanager
def _moved(judges, rng, least=1.0, factor=4.0, power=1 / 3, rising=False):
    """Every array moved a little, by random amounts, in which differences must find room; `least` spreads the arrays'
    shares, so that each leads once. `rising`: the later the larger, or units at rest would hide those before them.
    """
    subject, spread = next(iter(judges.values())).subject, rng.random(len(judges))
    before, subject.strict = subject.strict, True
    with put_back([judge.array for judge in judges.values()]):
        for judge, share in zip(judges.values(), -np.sort(-spread) if rising else spread, strict=True):
            far = max(NUDGE, factor * judge.eps**power) * least**share
            judge.array += (far * judge.typical * rng.standard_normal(judge.array.shape)).astype(judge.array.dtype)
        try:
            yield
        finally:
            subject.strict = before


def _open(coordinate):
    return coordinate.kind == "kink" and not coordinate.wrong


def _outside(c):
    """A sentence if a chain rule gives nothing like what is claimed where a single unit bends, else nothing."""
    if c.left == c.right and c.straight:
        return ""
    left, right = np.array(list(c.sides.values()) or [(c.left, c.right)]).T
    low, high = (
        float(side.sum()) for side in _ends(left, right, np.abs(right - left) > STRAIGHT * abs(c.right - c.left))
    )
    slack = c.tolerance + NUDGE * max(abs(low), abs(high)) + STRAIGHT * (high - low)
    if low - slack <= c.analytic <= high + slack:
        return ""
    return f"{c.analytic:.6g} is claimed on a kink with slopes {c.left:.6g} and {c.right:.6g}: outside of both"


def _ends(left, right, bends):
    """(the least, the largest) slope that a chain rule may give to each output. Two units that share a place, as in
    max(x, 0) - 0.1 max(-x, 0), may both be at rest, or both not.
    """
    ends = np.where(bends, [left, right, left + right, np.zeros_like(left)], 0.5 * (left + right))
    return ends.min(axis=0), ends.max(axis=0)


def _ties(subject, kinks):
    """(members, sentence) for coordinates whose kinks lie in one output and vanish there when they are moved
    together, as those of the largest in a pooling window do: together they must get what moving them together gives.
    """
    groups: dict[tuple[int, bool], list] = {}
    for judge, i in kinks:
        sides = judge.result.coordinates[i].sides if judge.result.coordinates[i].between else {}
        for output, (left, right) in sides.items():
            if abs(right - left) > 0.5 * max(abs(right), abs(left)):
                groups.setdefault((output, right > left), []).append((judge, i))
    seen: set[frozenset] = set()
    found = []
    for (output, _), members in groups.items():
        key = frozenset((judge.name, i) for judge, i in members)
        if len(members) > 1 and key not in seen and len(seen) < TIES:
            seen.add(key)
            places = [(j, j.result.coordinates[i].index) for j, i in members]
            fault = _together(subject, output, places)
            if fault:
                found.append((members, fault))
    # Of a large array few of those tied were looked at; but they have the same value.
    for judge, i in [(j, i) for j, i in kinks if len(j.result.coordinates) < j.result.size][:TIES]:
        c = judge.result.coordinates[i]
        equal = [tuple(index) for index in np.argwhere(judge.array == judge.array[c.index]).tolist()]
        outputs = [k for k, (left, right) in c.sides.items() if abs(right - left) > 0.5 * max(abs(right), abs(left))]
        fault = _together(subject, outputs[0], [(judge, index) for index in equal]) if outputs and c.between else ""
        if fault and len(equal) > 1:
            found.append(([(judge, i)], fault))
    return found


def _together(subject, output, members):
    """A sentence if these (judge, index), moved together, do not bend this output and are claimed something else."""
    judge, _ = members[0]
    claims = [float(j.claimed[index]) for j, index in members]
    places = [(j.array, index) for j, index in members]
    scale = min(max(j.typical, abs(float(j.array[index]))) for j, index in members)
    line = group_line(subject, places)
    noise = max(j.amplification for j, _ in members)
    differences = Differences(line, judge.start, judge.cotangent, judge.eps, noise, judge.usual)
    total, size = sum(claims), max(map(abs, claims))
    floor = judge.floor(len(claims) * size)
    found = differentiate(differences, scale, total, judge.rtol, floor, size)
    if found.kind not in ("smooth", "near kink", "kink") or SAFETY * differences.noise > 0.05 * size * found.step:
        return ""
    tolerance = judge.rtol * max(abs(total), abs(found.value)) + judge.allowed(found.error) + floor
    low = high = found.value
    left, right = differences.sides(size)
    bends = np.abs(right - left) > max(1e-4, 10.0 * judge.rtol) * np.maximum(np.abs(right), np.abs(left))
    if bends[output]:
        return ""  # several units of one output, not a tie
    if found.kind != "smooth":
        low, high = (float(side.sum()) for side in _ends(left, right, bends))
        tolerance = 0.1 * size
    if low - tolerance <= total <= high + tolerance:
        return ""
    return (
        f"{len(members)} coordinates are tied{subject.output_place(output)} and get {total:.6g} together, but moving "
        f"them together gives {0.5 * (low + high):.6g}: each winner the whole gradient?"
    )
