"""The corpus against plain central differences that share no code with the checker: right code is right, bugs are bugs.

A bug may show only with another dy, batch, scale, draw or mode, so each is tried in all of these circumstances.
"""

import numpy as np

from minivae.gradcheck.subject.trees import leaves, rebuild

from .corpus import FAMILIES

STEP = 3e-5
CLOSE = 2e-8  # of an array's largest derivative
FACTORS = {"dy x 1000": 1e3, "dy x 0.001": 1e-3, "dy = 0": 0.0}
ROWS = {"one row": 1, "two rows": 2}
ELSEWHERE = ("inputs x 5", *ROWS, "another draw", "evaluation", "after others", "backward twice")
CIRCUMSTANCES = ("as it is", *FACTORS, *ELSEWHERE)


def attribute_leaves(target, which):
    """The parameters (which = 0) or gradients (1) of an object, in the styles that the corpus has."""
    if isinstance(getattr(target, "layers", None), list):
        nested = [attribute_leaves(layer, which) for layer in target.layers]
        return {f"{i}.{name}": array for i, found in enumerate(nested) for name, array in found.items()}
    names = getattr(target, "names", ())
    if len(names) == 4:
        return {name: getattr(target, names[2 * which + i], None) for i, name in enumerate(names[:2])}
    names = names or (("params", "grads") if hasattr(target, "params") else ("parameters", "gradients"))
    found = getattr(target, names[which], {})
    return dict(found) if isinstance(found, dict) else {str(i): array for i, array in enumerate(found)}


class Subject:
    """A case in one circumstance: arrays to move, by name; outputs; and the gradients claimed."""

    def __init__(self, case, circumstance):
        self.target, inputs, *options = case.build()
        self.options = options[0] if options else {}
        self.inputs = inputs if isinstance(inputs, (tuple, dict)) else (inputs,)
        self.fixed, self.generator = self.options.get("fixed", ()), self.options.get("generator")
        self.scalar = "gradient" in self.options or type(self.target).__name__ == "Model"
        self.pair, self.circumstance, self.state = isinstance(self.target, tuple), circumstance, None
        if circumstance in ("another draw", "evaluation", *ROWS):
            self.claims(self.cotangents())
        if circumstance == "another draw":
            self.generator.random()
        if self.generator:
            self.state = self.generator.bit_generator.state
        if circumstance == "evaluation":
            self.target.training = self.target.training and False
        rows = np.shape(next(iter(leaves(self.inputs).values())))[:1]
        self.inputs, self.fixed = (
            rebuild(tree, iter([changed(leaf, circumstance, rows) for leaf in leaves(tree).values()]))
            for tree in (self.inputs, self.fixed)
        )
        self.outputs()
        self.arrays = {n: a for n, a in leaves(self.inputs).items() if a.dtype.kind in "fc"}
        if type(self.target).__name__ == "Model":
            self.arrays = {}
        if not self.pair:
            self.arrays.update({f"p.{n}": a for n, a in attribute_leaves(self.target, 0).items()})

    def outputs(self):
        if self.state:
            self.generator.bit_generator.state = self.state
        forward = self.target[0] if self.pair else getattr(self.target, "forward", self.target)
        result = self.called(forward)
        if self.pair:
            result, self.cache = result
        result = getattr(result, "loss", result)
        return [np.array(y) for y in (result if isinstance(result, tuple) else (result,))]

    def called(self, function):
        by_name = self.fixed if isinstance(self.fixed, dict) else {}
        by_place = () if by_name else self.fixed
        inputs = rebuild(self.inputs, iter([a.copy() for a in leaves(self.inputs).values()]))  # as a new batch would be
        if isinstance(inputs, dict):
            return function(*by_place, **inputs, **by_name)
        return function(*inputs, *by_place, **by_name)

    def cotangents(self):
        rng, outputs = np.random.default_rng(8), self.outputs()
        if self.scalar:
            assert self.circumstance not in FACTORS
            return [np.ones_like(y) for y in outputs]
        drawn = [rng.standard_normal(y.shape) + 1j * rng.standard_normal(y.shape) for y in outputs]
        factor = FACTORS.get(self.circumstance, 1.0)
        return [factor * (d if np.iscomplexobj(y) else d.real) for d, y in zip(drawn, outputs, strict=True)]

    def claims(self, cotangents):
        self.outputs()
        returned = self.backward(cotangents)
        if self.circumstance == "backward twice":
            returned = self.backward(cotangents)
        found = leaves(returned if isinstance(returned, tuple) else (returned,))
        if not self.pair:
            found.update({f"p.{n}": a for n, a in attribute_leaves(self.target, 1).items()})
        return {n: np.array(a) for n, a in found.items() if a is not None}

    def backward(self, cotangents):
        if "gradient" in self.options:
            return self.called(self.options["gradient"])
        handed = [c.copy() for c in cotangents]
        if self.pair:
            return self.target[1](*handed, self.cache)
        return self.target.backward(*([] if self.scalar else handed))

    def value(self, cotangents):
        return float(sum(np.sum(np.conj(c) * y).real for c, y in zip(cotangents, self.outputs(), strict=True)))


def changed(leaf, circumstance, rows):
    array = np.array(leaf)
    if circumstance in ROWS and array.shape[:1] == rows:
        array = array[: ROWS[circumstance]].copy()
    return 5 * array if circumstance == "inputs x 5" and array.dtype.kind in "fc" else array


def difference(subject, part, index, cotangents):
    """Of fourth order, of a real array."""
    kept = part[index]
    step = STEP * max(1.0, abs(kept))
    values = []
    for k in (1, -1, 2, -2):
        part[index] = kept + k * step
        values.append(subject.value(cotangents))
    part[index] = kept
    up, down, far_up, far_down = values
    return (8 * (up - down) - (far_up - far_down)) / (12 * step)


def faults(case, circumstance):
    """Names of arrays whose claim is missing, of another shape or dtype, or differs from the differences."""
    subject = Subject(case, circumstance)
    cotangents = subject.cotangents()
    given = [np.array(a) for a in subject.arrays.values()]
    if circumstance == "after others":
        for factor in (1.3, 1.0):
            for array, before in zip(subject.arrays.values(), given, strict=True):
                array[...] = factor * before
            claimed = subject.claims(cotangents)
    claimed = subject.claims(cotangents)
    wrong = []
    for (name, array), before in zip(subject.arrays.items(), given, strict=True):
        if not np.array_equal(array, before):
            wrong.append(f"{name} changed")
        claim = claimed.get(name)
        if claim is None or claim.shape != array.shape or claim.dtype.kind != array.dtype.kind:
            wrong.append(f"{name} {None if claim is None else claim.shape}")
            continue
        parts = [(array.real, claim.real), (array.imag, claim.imag)] if array.dtype.kind == "c" else [(array, claim)]
        largest = gap = 0.0
        for part, side in parts:
            places = range(part.size) if part.size < 500 else [*range(0, part.size, part.size // 60), part.size - 1]
            places = [*places, int(np.abs(claim).argmin())] if part.size > 500 else places
            for place in [*places, 1_234] if part.size == 2_000 else places:
                index = np.unravel_index(place, part.shape)
                measured = difference(subject, part, index, cotangents)
                largest = max(largest, abs(measured), abs(side[index]))
                gap = max(gap, np.nan_to_num(abs(measured - side[index]), nan=np.inf))
        size = sum(float(np.abs(c * y).sum()) for c, y in zip(cotangents, subject.outputs(), strict=True))
        if not gap <= CLOSE * largest + 1e-10 * size:
            wrong.append(f"{name} by {gap / largest:.0e}")
    return wrong


def shown(case):
    """The first circumstance in which a planted bug shows, and how; None where it shows in none."""
    for circumstance in CIRCUMSTANCES:
        try:
            found = faults(case, circumstance)
        except Exception:  # no such circumstance here: a loss takes no dy, a pair has no mode
            continue
        if found:
            return circumstance, found
    return None


def mistakes():
    """Lines on right code that is wrong, and on bugs that are none."""
    with np.errstate(all="ignore"):
        for family in FAMILIES.values():
            for seed in (0, 1):
                for circumstance in ("as it is", "after others"):
                    if found := faults(family.right(seed), circumstance):
                        yield f"{family.name} is wrong with seed {seed}, {circumstance}: {found}"
            yield from (f"{family.name}.{bug} is no bug" for bug in family.bugs if not shown(family.wrong(bug)))


def main(_):
    found = list(mistakes())
    print("\n".join(found) or "right code is right and every bug shows")
    return int(bool(found))
