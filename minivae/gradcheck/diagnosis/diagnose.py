"""What a pattern of errors looks like: the first guess an experienced reader would make, from the numbers alone.

Each pattern is a function of the table of coordinates and the subject that returns a phrase, or "" if it is not what is
seen; what it says must be true wherever it is printed. The first that speaks is taken: from what explains all values
to what only describes them.
"""

import numpy as np

from ..numerics.joint import agrees
from ..subject.moving import put_back
from ..subject.targets import Finding
from .evidence import Table, relation
from .experiments import assigned, by_part, rough, rounded
from .places import REPEATED, clipped, confined, masked, rearranged
from .terms import factor, factor_by_index, instead, path, reduced, replaced, sums, sums_seen, term

NEARLY = 0.1  # relative size, in the norm, of what is called a small error


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
        return "wrong only along random directions: few or small coordinates, not among those looked at"
    everywhere = relation(table, subject) or _exchanged(table, results) or rounded(table, subject)
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
    if subject.frozen and 0.1 < ratio < 10.0 and _signs_differ(table):
        text = f"right size, unrelated values (cosine {alike:.2f}): as if backward used another draw than forward"
        return f"{text} (fresh noise in backward)"
    share = float(np.linalg.norm(table.gap) / np.linalg.norm(n))
    if share < NEARLY:
        eps = " (an eps inside a logarithm or root?)" if share < 1e-3 else ""
        return f"nearly right (errors are {share:.0e} of the values): a small term is missing or extra{eps}"
    if alike > 0.999:
        return f"nearly {ratio:.3g} times the right values (cosine {alike:.6f})"
    return f"no simple pattern (cosine {alike:.3f}, size {ratio:.3g}){sums_seen(table)}"


def _of_first_call(table, subject):
    """Whether the claim is that of the rehearsal, and was right there."""
    (values, claims), name = subject.rehearsed, table.result.name
    if name not in claims or not np.array_equal(claims[name], table.claimed):
        return False
    with put_back(subject.values.values()):
        for n, array in values.items():
            subject.values[n][...] = array
        return agrees(subject, {name: claims[name]}, None, 0.0)


def _signs_differ(table):
    return abs(float(np.mean(np.sign(table.a) * np.sign(table.n)))) < 0.6


def _other_draw(table, subject):
    """Claim * noise / truth looks like standard normals: another draw in the place of forward's."""
    for noise in subject.fixed.values() if _signs_differ(table) else ():
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
    *(rearranged, clipped, replaced, term, path, reduced, factor_by_index, factor, sums, instead, rough, _other_draw),
    *(by_part, assigned, _confined, masked),
)
