"""What a pattern of errors looks like: the first guess an experienced reader would make, from the numbers alone.

Each pattern is a function of the table of coordinates and the subject that returns a phrase, or "" if it is not what is
seen; what it says must be true wherever it is printed. The first that speaks is taken: from what explains all values
to what only describes them.
"""

import re

import numpy as np

from ..numerics.joint import agrees
from ..subject.moving import put_back
from ..subject.targets import Finding
from .evidence import Table, conjugated, relation
from .experiments import assigned, by_part, depends_on_draws, rough, rounded
from .places import REPEATED, clipped, confined, masked, rearranged
from .terms import (
    EPS,
    exchanged_sides,
    factor,
    factor_by_index,
    instead,
    path,
    reduced,
    replaced,
    sums,
    sums_seen,
    term,
)

NEARLY = 0.05  # relative error of every value up to which all are called nearly right
UNRELATED = 0.5  # cosine of values that may come from different draws


def diagnose(result, results, claimed, subject):
    """One phrase for a wrong array; `results` are those of all arrays."""
    odd = [c for c in result.wrong if c.kind in ("jump", "undefined")]
    if odd:
        return _odd(odd[0], subject)
    faults = [c.fault for c in result.wrong if c.fault]
    if len(faults) == len(result.wrong):
        return faults[0]
    table = Table(result, claimed[result.name])
    if not table.wrong.any():
        where = "at no coordinate beyond doubt" if table.complete else "few or small coordinates, not among those seen"
        return faults[0] if faults else f"wrong only along random directions: {where}"
    everywhere = (
        relation(table, subject)
        or (conjugated(table) if result.parts else "")
        or _exchanged(table, results)
        or rounded(table, subject)
    )
    if everywhere:
        return everywhere
    for pattern in FEW if 2 * table.wrong.sum() <= len(table.wrong) else MANY:
        try:
            if phrase := pattern(table, subject):
                return phrase
        except Finding:  # the target does not go along with what a pattern asks of it
            continue
    return _unrelated(table, subject)


def _confined(table, subject):
    """Where the wrong ones lie, and what they are."""
    where = confined(table, subject)
    if not where:
        return ""
    part = table.only(table.wrong)
    inside = relation(part) or factor(part, subject) or term(part, subject)
    if inside:
        return f"{where} ({inside})"
    more = "" if where.startswith(REPEATED) else by_part(table, subject)
    return f"{where}; {more}" if more else where


def _odd(coordinate, subject):
    if coordinate.kind == "undefined":
        try:
            subject.outputs()
        except Finding as finding:
            return f"from some call on {finding}, at the values that were given too: not judged to the end"
        return "the function is not finite around here"
    size = float(np.max(np.abs(subject.vector()), initial=0.0))
    if coordinate.error < 1e-5 * size:
        return f"the function moves in steps of {coordinate.error / size:.0e} of its size: it is rounded, to float32?"
    return "the function jumps"


def locate(report, subject):
    """Where the error enters, for models and layers of layers: the last arrays right, those before them wrong."""
    wrong = {a.name: a.verdict == "wrong" for a in report.arrays}
    end = "the loss"
    if subject.kind != "model":
        held = re.compile(r"^(.*?\.\d+)\.")
        parts: dict[str, list] = {}
        for name in subject.parameters:
            if name in wrong and (found := held.match(name)):
                parts.setdefault(found[1], []).append(wrong[name])
        inputs = [bad for name, bad in wrong.items() if name in subject.values]
        if len({part.rpartition(".")[0] for part in parts}) != 1 or not all(inputs):
            return ""
        if any(any(bad) and not all(bad) for bad in parts.values()):
            return ""
        wrong, end = {part: all(parts[part]) for part in sorted(parts, key=_number)}, "the outputs"
    names, bad = list(wrong), list(wrong.values())
    if not any(bad) or bad[-1] or (end == "the outputs" and bad != sorted(bad, reverse=True)):
        return ""
    last = max(i for i, b in enumerate(bad) if b)
    if end == "the outputs":
        text = f"from '{names[last + 1]}' on the gradients of parameters are right, before it all are wrong: the error "
        return f"{text}arises in '{names[last]}' or between the two, if the parts follow one another"
    if sum(bad) < 2:
        return ""
    text = f"from '{names[last + 1]}' to the loss everything is right: the error arises in the backward of what "
    return f"{text}lies between '{names[last]}' and there"


def _number(part):
    return int(part.rpartition(".")[2])


def _exchanged(table, results):
    """The values that belong to another array."""
    for other in results:
        if other.name == table.result.name or other.shape != table.shape or not table.complete:
            continue
        numeric = {c.index: c.numeric for c in other.coordinates}
        values = np.array([numeric.get(i, np.nan) for i in table.index])
        if table.n.size > 1 and np.any(values) and table.same(values, table.a):
            return f"these are the values that belong to '{other.name}': exchanged?"
    return ""


def _unrelated(table, subject):
    a, n = table.a, table.n
    if _of_first_call(table, subject):
        return "right for the inputs of the first call, which were slightly others: backward keeps what it had there"
    norms = float(np.linalg.norm(a) * np.linalg.norm(n))
    if norms == 0.0 or a.size < 3:
        return "no simple pattern"
    alike = float(a @ n) / norms
    ratio = float(np.linalg.norm(a) / np.linalg.norm(n))
    if subject.frozen and 0.1 < ratio < 10.0 and _unlike(table) and depends_on_draws(table, subject):
        text = f"right size, unrelated values (signs agree at {np.sum(a * n > 0)} of {a.size}): as if backward used "
        return f"{text}another draw than forward (fresh noise in backward)"
    wrong, each = table.wrong, np.abs(table.gap) - table.blur
    share = float(np.linalg.norm(table.gap[wrong]) / (np.linalg.norm(n[wrong]) or 1.0))
    if np.all(each <= NEARLY * np.abs(n)):
        eps = EPS if share < 1e-3 else ""
        return f"nearly right (errors are {share:.0e} of the values): a small term is missing or extra{eps}"
    if alike > 0.999 and np.all(np.abs(a - ratio * n) <= NEARLY * np.abs(n)):
        return f"nearly {ratio:.3g} times the right values (cosine {alike:.6f})"
    return f"no simple pattern (cosine {alike:.3f}, size {ratio:.3g}){sums_seen(table)}"


def _of_first_call(table, subject):
    """Whether the claim is that of the rehearsal, and was right there."""
    (values, claims), name = subject.rehearsed, table.result.name
    if name not in claims or not np.array_equal(claims[name], table.claimed):
        return False
    if agrees(subject, {name: table.claimed}, None, 0.0):
        return False  # too coarse to tell the two places apart
    with put_back(subject.values.values()):
        for n, array in values.items():
            subject.values[n][...] = array
        return agrees(subject, {name: claims[name]}, None, 0.0)


def _unlike(table):
    """Whether the cosine of claim and truth is small, where no value counts for more than another."""
    size = np.maximum(np.abs(table.a) + np.abs(table.n), table.blur + 1e-300)
    a, n = table.a / size, table.n / size
    return abs(float(a @ n)) < UNRELATED * float(np.linalg.norm(a) * np.linalg.norm(n))


def _other_draw(table, subject):
    """Claim * noise / truth looks like standard normals: another draw in the place of forward's."""
    if not _unlike(table) or not depends_on_draws(table, subject):
        return ""
    for noise in subject.fixed.values():
        if isinstance(noise, np.ndarray) and noise.shape == table.shape and noise.dtype.kind == "f" and table.n.all():
            other = table.a * table.at(noise) / table.n
            spread = float(np.std(other))
            if other.size >= 6 and 0.5 < spread < 1.7 and np.max(np.abs(other)) < 4.5 and abs(np.mean(other)) < 0.8:
                text = (
                    "as if backward used another draw of the noise than forward (fresh noise in backward): divided by "
                )
                return f"{text}the noise of forward it is right but for a random factor"
    return ""


# By how many coordinates are wrong: at most half, or more.
FEW = (rearranged, clipped, _confined, masked, term, path, factor, assigned, by_part, rough)
MANY = (
    *(
        rearranged,
        clipped,
        exchanged_sides,
        replaced,
        term,
        path,
        reduced,
        factor_by_index,
        factor,
        sums,
        instead,
        rough,
        _other_draw,
    ),
    *(by_part, assigned, _confined, masked),
)
