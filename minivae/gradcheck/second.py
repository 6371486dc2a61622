"""check_second: a backward is a function of its own, and its derivatives are checked as those of any other."""

from typing import Any

import numpy as np

from ..errors import as_array, expect
from .arguments import expect_known
from .check import check_gradients
from .foreign.translate import bridged
from .numerics.differences import SAFETY
from .numerics.judge import rms
from .result import GradientReport
from .subject.keeping import left_as_it_was
from .subject.moving import put_back
from .subject.targets import Finding, Target

HALVINGS = 5  # of the step with which a gradient is differentiated along a direction
HELD = ("gradient", "parameters", "parameter_gradients", "fixed", "constant", "generator", "cotangent", "accumulates")
SYMMETRY = "no second derivative was claimed: that they are symmetric was checked, which holds for every gradient"


@left_as_it_was
def check_second(
    target: Any, inputs: Any, *, second: Any = None, hessian: Any = None, hessian_vector: Any = None, **options: Any
) -> GradientReport:
    """Check second derivatives: what backward returns, differentiated once more.

    Parameters
    ----------
    target, inputs, options : as check_gradients takes them
    second : callable, for a layer or a pair
        `second(*v, *inputs, *dy)`, with a v like each differentiated input: the gradients of sum <v, backward(dy)>
        with respect to each of those inputs, then to each dy (None: zero).
    hessian : array of shape `x.shape + x.shape` or callable(x), for a scalar function of one array with `gradient`
    hessian_vector : callable(*inputs, *v) returning H v, for a scalar function with `gradient`

    With none of the three, torch and JAX differentiate their own backward. Of anything else the symmetry of the second
    derivatives is checked: v' H w = w' H v for the gradient of any function, with dy held. That needs no claim and sees
    a gradient that belongs to no function; one that belongs to another function it does not see.

    Returns
    -------
    GradientReport: `report[name]` has the derivatives of <v, backward(dy)> with respect to the array of that name,
    for a random v.
    """
    expect_known("check_second", options, check_gradients)
    held = {key: options.pop(key) for key in HELD if key in options}
    claims = {"second": second, "hessian": hessian, "hessian_vector": hessian_vector}
    claims = {name: claim for name, claim in claims.items() if claim is not None}
    expect(len(claims) < 2, "second", " and ".join(claims), "one of second, hessian and hessian_vector")
    bridge = bridged(target, inputs, held)
    try:
        target, inputs, held = (bridge, bridge.values, bridge.options) if bridge else (target, inputs, held)
        subject = Target(target, inputs, **held)
        options.setdefault("name", f"second derivatives of {subject.name}")
        try:
            subject.draw_cotangents(subject.outputs())
            subject.claimed()
        except Finding as finding:
            return GradientReport(options["name"], problems=[(finding.kind, str(finding))])
        if bridge and bridge.differentiates and not claims:
            function, again = bridge.first_backward(subject.inputs.place, subject.inputs.named)
            report = check_gradients(function, {**subject.values, **named_cotangents(subject)}, **again, **options)
            bridge.finish(report)
            return report
        for name, claim in claims.items():
            kind = "a callable or an array" if name == "hessian" else "a callable"
            expect(callable(claim) or name == "hessian", name, claim, kind)
            fits = (subject.kind == "function") == (name != "second")
            expect(fits, name, "a claim", f"None for a {subject.kind}: second= goes with layers, hessian= with scalars")
        return _check(subject, claims, options)
    finally:
        if bridge:
            bridge.close()


def named_cotangents(subject):
    several = len(subject.cotangents) > 1
    return {f"dy{i}" if several else "dy": dy.copy() for i, dy in enumerate(subject.cotangents)}


def _check(subject, claims, options):
    arrays = {**subject.values, **named_cotangents(subject)} if "second" in claims else subject.arrays
    backward = _Backward(subject, arrays, claims)
    if "hessian" in claims and not callable(claims["hessian"]):
        backward.claimed([np.zeros_like(array) for array in subject.values.values()])  # of the right shape?
    with put_back(subject.arrays.values()):
        if not claims:
            options["atol"] = options.get("atol", 0.0) + SAFETY * backward.error()
        report = check_gradients(as_pair(backward.gradients, backward.claimed), arrays, **options)
        words = {"forward": "backward", "backward": next(iter(claims), "backward"), "dy": "v"}
        report.reword(words if claims else {"backward gives": "H v gives", "differences give": "v' H gives"})
        report.problems += [("mutates", text) for text in backward.changed]
        report.notes += [] if claims else [SYMMETRY]
        return report


def as_pair(forward, backward):
    """Methods of the checks' own as a pair: plain functions, of whose object no parameters are looked for."""
    return lambda **arrays: (forward(arrays), None), lambda *handed: backward(handed[:-1])


class _Backward:
    """The first backward as a pair of functions: what it returns, and what is claimed of its derivatives."""

    def __init__(self, subject, arrays, claims):
        self.subject, self.claims, self.dys = subject, claims, list(named_cotangents(subject))
        moved = subject.values if "second" in claims else subject.arrays
        self.names = [n for n in subject.differentiated if n in moved]
        self.here = {n: array.copy() for n, array in arrays.items()}
        self.changed = []

    def gradients(self, arrays):
        self.here = {n: array.copy() for n, array in arrays.items()}
        return self._at(arrays)

    def _at(self, arrays):
        for name, array in {**self.subject.values, **self.subject.arrays}.items():
            if name in arrays:
                array[...] = arrays[name]
        if "second" in self.claims:
            self.subject.cotangents = [arrays[name].copy() for name in self.dys]
        found = self.subject.claimed()
        return tuple(found[name] for name in self.names)

    def claimed(self, v):
        names = self.names + self.dys if "second" in self.claims else self.names
        found = self._asked(v) if self.claims else self.along(v)[0]
        found = found if isinstance(found, (tuple, list)) else [found]
        if len(found) != len(names):
            got = f"{next(iter(self.claims))} returned {len(found)} arrays"
            raise Finding("shape", f"{got}, expected one for each of {names}")
        return {n: np.zeros_like(self.here[n]) if g is None else g for n, g in zip(names, found, strict=True)}

    def _asked(self, v):
        """What the claim answers, with copies of all that it is handed, in case that it changes them."""
        ((name, claim),) = self.claims.items()
        values = {f"input '{n}'": a for n, a in self.subject.values.items()}
        vs = {f"v {i}" if len(v) > 1 else "v": a for i, a in enumerate(v)}
        if name == "hessian":
            handed = values
        elif name == "second":
            handed = {**vs, **values, **dict(zip(self.dys, self.subject.cotangents, strict=True))}
        else:
            handed = {**values, **vs}
        copies = [array.copy() for array in handed.values()]
        found = claim(*copies) if callable(claim) else claim
        for (what, array), copy in zip(handed.items(), copies, strict=True):
            text = f"{name} changed {what} in place: work on a copy"
            if not np.array_equal(array, copy) and text not in self.changed:
                self.changed.append(text)
        if name != "hessian":
            return found
        hessian, shape = as_array("hessian", found), next(iter(values.values())).shape * 2
        if len(values) > 1 or hessian.shape != shape:
            text = f"shape {hessian.shape}, expected {shape}, for one input"
            expect(callable(claim), "hessian", f"shape {hessian.shape}", f"{shape}, for one input")
            raise Finding("shape", f"hessian returned {text}")
        return np.tensordot(v[0], hessian, v[0].ndim).astype(v[0].dtype)

    def along(self, v):
        """(H v, its largest error) from differences of the gradients along v, extrapolated as in differences.py."""
        size = max(float(np.max(np.abs(a), initial=0.0)) for a in v)
        power = 2.0 ** np.floor(np.log2(size)) if size else 1.0  # of two: H v is then exactly in proportion to v
        v, eps = [a / a.dtype.type(power) for a in v], max(np.finfo(a.dtype).eps for a in v)
        step = 4.0 * eps**0.2 * min(rms(self.here[n]) or 1.0 for n in self.names)
        best: tuple[list, float] = ([], np.inf)
        previous: list[list] = []
        for k in range(HALVINGS):
            h, ends = step / 2.0**k, []
            for t in (h, -h):
                moved = {n: (self.here[n] + t * w).astype(w.dtype) for n, w in zip(self.names, v, strict=True)}
                ends.append(self._at({**self.here, **moved}))
            row = [[(a.astype(float) - b) / (2.0 * h) for a, b in zip(*ends, strict=True)]]
            for j, old in enumerate(previous[:3], 1):
                row.append([c + (c - p) / (4.0**j - 1.0) for c, p in zip(row[-1], old, strict=True)])
                error = max(float(np.max(np.abs(c - p), initial=0.0)) for c, p in zip(row[-1], row[-2], strict=True))
                best = (row[-1], error) if error < best[1] else best
            previous = row
        self._at(self.here)
        return [(power * found).astype(a.dtype) for found, a in zip(best[0], v, strict=True)], power * best[1]

    def error(self):
        """Of such a product, for a random v."""
        rng = np.random.default_rng(0)
        found = self._at(self.here)
        return self.along([rng.standard_normal(g.shape).astype(g.dtype) for g in found])[1]
