"""check_jvp: a Jacobian-vector product against differences along its vector, and against backward."""

import functools
from contextlib import suppress
from typing import Any

import numpy as np

from ..errors import described, expect
from .arguments import expect_known, not_finite, real_view
from .check import check_gradients
from .elsewhere import elsewhere as look_elsewhere
from .foreign.translate import bridged, duality
from .linearity import linearity
from .numerics.joint import agrees
from .numerics.judge import rms
from .result import GradientReport
from .second import HELD, as_pair
from .subject.keeping import left_as_it_was
from .subject.targets import Finding, Target, flat
from .subject.trees import leaves

ALL = 4096  # outputs up to this many are judged one by one: they share their evaluations
WORDS = {"backward": "jvp", "dy": "v", "gradient": "tangent", "gradients": "tangents", "back from output": "of input"}


@left_as_it_was
def check_jvp(
    target: Any,
    inputs: Any,
    *,
    jvp: Any = None,
    gradient: Any = None,
    fixed: Any = (),
    generator: Any = None,
    seed: int = 0,
    name: str | None = None,
    elsewhere: bool = True,
    **options: Any,
) -> GradientReport:
    """Check the Jacobian-vector product J v at every output, along a seeded random v; and that it is linear in v.

    Parameters
    ----------
    target, inputs : a function of arrays, or whatever check_gradients takes
    jvp : callable(inputs, tangents) -> tangents of the outputs
        Both in the form of `inputs`, what is returned in that of the outputs. Default, with torch and JAX: the forward
        mode of the library.
    options : `rtol`, `atol`, `full`, ... as for check_gradients; `elsewhere` too

    Returns
    -------
    GradientReport with an array for each output. Where the target has a backward too, <dy, J v> and <J' dy, v> must be
    one number; if not, that is a problem of the kind "jvp".
    """
    expect_known("check_jvp", options, check_gradients, without=("cotangent", "accumulates"))
    held = {"gradient": gradient, "fixed": fixed, "generator": generator}
    held |= {key: options.pop(key) for key in HELD if key in options}
    expect(jvp is None or callable(jvp), "jvp", jvp, "a callable(inputs, tangents)")
    expect(isinstance(elsewhere, (bool, np.bool_)), "elsewhere", elsewhere, "True or False")
    bridge = bridged(target, inputs, held)
    expect(jvp is not None or bridge is not None, "jvp", jvp, "a callable(inputs, tangents) -> tangents of the outputs")
    alone = bridge is None and gradient is None and callable(target) and not hasattr(target, "backward")
    try:
        form = (_keeping_nothing(target), print) if alone else bridge or target
        held = bridge.options if bridge else held
        subject = Target(form, bridge.values if bridge else inputs, **held, seed=seed)
        options |= {"seed": seed, "name": name or f"Jacobian-vector product of {subject.name}"}
        line = _Line(subject, inputs, jvp, bridge)
        try:
            line.pushed(0.0)
            problems = [] if alone else line.against_backward()
        except Finding as finding:
            return GradientReport(options["name"], problems=[(finding.kind, str(finding))])
        report = line.check(**{"full": ALL, "directions": 0, **options})
        line.linear(report)
        if elsewhere and report.passed:
            line.elsewhere(report, held.get("generator"), options)
        report.reword(WORDS)
        report.problems += problems + line.problems
        if bridge:
            bridge.finish(report)
        return report
    finally:
        if bridge:
            bridge.close()


def _keeping_nothing(function):
    """A function as the forward of a pair."""

    @functools.wraps(function)
    def forward(*args, **named):
        return function(*args, **named), None

    return forward


class _Line(Target):
    """The outputs at x + t v, and the product claimed: a target that is differentiated with respect to t
    alone.

    In `check` each output has a t of its own, so that each is judged by itself.
    """

    def __init__(self, subject, given, jvp, bridge):
        vars(self).update(vars(subject))
        self.given, self.jvp, self.bridge = given, jvp, bridge
        self.varied = tuple(n for n in self.values if n in self.holders)
        expect(self.varied, "inputs", list(self.values), "a float array among them")
        lowest = max((self.values[n].real.dtype for n in self.varied), key=lambda dtype: np.finfo(dtype).eps)
        self.t = np.zeros((), lowest)
        self.directions, self.seen, self.problems = {}, {}, []
        self.plain = subject
        self.holders = self.arrays = {"t": self.t}

    def v(self, name):
        """The direction of an input, as large as it is: another one for another shape."""
        a = self.values[name]
        if (name, a.shape) not in self.directions:
            rng = np.random.default_rng((self.seed, 4, list(self.values).index(name)))
            v = rng.standard_normal(a.shape) + (1j * rng.standard_normal(a.shape) if np.iscomplexobj(a) else 0.0)
            self.directions[name, a.shape] = np.asarray(v * (rms(np.abs(a)) or 1.0), dtype=a.dtype)
        return self.directions[name, a.shape]

    def outputs(self, values=None):
        moved = {n: (self.values[n] + self.t * self.v(n)).astype(self.values[n].dtype) for n in self.varied}
        return super().outputs({**self.values, **moved})

    def at(self, t):
        """The outputs at x + t v as real arrays."""
        if t not in self.seen:
            if len(self.seen) > 64:
                self.seen.clear()
            kept, self.t[...] = float(self.t), t
            try:
                self.seen[t] = [_real(y.copy()) for y in self.outputs()]
            finally:
                self.t[...] = kept
        return self.seen[t]

    def pushed(self, t, directions=None):
        """J v as claimed at x + t v."""
        kept, self.t[...] = float(self.t), t
        v = directions or {n: self.v(n) for n in self.varied}
        try:
            outputs = [y.copy() for y in self.outputs()]
            self._freeze()
            found = self.bridge.jvp(v) if self.jvp is None else self._claimed(v)
        except Finding:
            raise
        except Exception as error:
            raise Finding("raises", f"jvp raised {type(error).__name__}: {error}") from error
        finally:
            self.t[...] = kept
        got, expected = [np.shape(y) for y in found], [y.shape for y in outputs]
        if got != expected:
            raise Finding("shape", f"jvp returned tangents of shapes {got} for outputs of {expected}")
        numbers = [y.dtype.kind in "biufc" for y in found]
        if not all(numbers):
            raise Finding("dtype", f"jvp returned {described(found[numbers.index(False)])}, no array of numbers")
        return found

    def _claimed(self, v):
        x = {n: (a + self.t * self.v(n)).astype(a.dtype) if n in self.varied else a for n, a in self.values.items()}
        before = {f"input '{n}'": a for n, a in x.items()}
        v = {n: v[n] if n in v else np.zeros_like(a) for n, a in x.items()}
        before.update({f"tangent '{n}'": a for n, a in v.items()})
        x, v = ({n: a.copy() for n, a in arrays.items()} for arrays in (x, v))
        if self.bridge:
            found = self.jvp(self.bridge.as_given(self.given, x), self.bridge.as_given(self.given, v))
            found = list(self.bridge.arrays_of(found))
        else:
            found = [np.array(y) for y in leaves(self.jvp(self._as_given(x), self._as_given(v))).values()]
        for (name, old), new in zip(before.items(), [*x.values(), *v.values()], strict=True):
            if not np.array_equal(old, new):
                self.problem("mutates", name, f"jvp changed {name} in place: work on a copy")
        return found

    def _as_given(self, values):
        """These arrays in the form of the inputs."""
        arguments = self.inputs.arguments(values)
        if self.inputs.by_keyword:
            return arguments
        spread = isinstance(self.given, (tuple, list)) and len(self.given) == len(arguments)
        return tuple(arguments.values()) if spread else next(iter(arguments.values()))

    def against_backward(self):
        pushed = self.pushed(0.0)
        self.plain.draw_cotangents(self.plain.outputs())
        gradients = {n: g for n, g in self.plain.claimed().items() if n in self.varied}
        return duality(self.plain.cotangents, pushed, gradients, {n: real_view(self.v(n)) for n in gradients})

    def backward(self, outputs):
        """The derivative of the outputs with respect to t, weighted with the cotangents."""
        return {"t": np.asarray(np.vdot(flat(self.cotangents), flat(self.pushed(0.0))), self.t.dtype)}

    def check(self, **options):
        """The report on every output where the inputs are now."""
        self.seen.clear()
        start = self.at(0.0)
        names = [f"output{i}" if len(start) > 1 else "output" for i in range(len(start))]
        pair = as_pair(self._each_output, self._each_product)
        arrays = {name: np.zeros_like(y) for name, y in zip(names, start, strict=True)}
        options = {"method": "differences", **options, "elsewhere": False}
        return check_gradients(pair, arrays, cotangent=[np.ones_like(y) for y in start], **options)

    def linear(self, report):
        """Add to the report what the product is not linear in."""
        with np.errstate(all="ignore"), suppress(Finding):  # which `check` has told
            claims = _InV(self)
            linearity(claims, claims.claimed(), report)

    def elsewhere(self, report, generator, options):
        """The same check in other places."""

        def compare(claimed, alone, effort):
            efforts = dict(zip(("full", "coordinates", "directions"), effort, strict=True))
            alone.arrays = self.check(**{**options, **efforts}).arrays

        with np.errstate(all="ignore"):
            self.draw_cotangents(self.outputs())
            told = self.jvp is None or not any(isinstance(f, np.ndarray) for f in self.fixed.values())
            tolerance = options.get("rtol"), options.get("atol", 0.0)
            look_elsewhere(self, self.claimed(), generator, report, compare, *tolerance, noise=told)

    def _each_output(self, times):
        self.times = list(times.values())
        return tuple(self._each(self.at))

    def _each_product(self, dys):
        found = self._each(lambda t: [_real(y) for y in self.pushed(t)])
        return tuple(dy * y for dy, y in zip(dys, found, strict=True))

    def _each(self, function):
        found = [np.empty_like(t) for t in self.times]
        for t in np.unique(np.concatenate([t.ravel() for t in self.times])):
            for out, times, y in zip(found, self.times, function(float(t)), strict=True):
                out[times == t] = y[times == t]
        return found


class _InV:
    """A Jacobian-vector product as a backward, for `linearity`: what its dy is there, is v here."""

    kind, given_cotangent, strict = "pair", None, False

    def __init__(self, line):
        self.line, self.seed = line, line.seed
        self.cotangents = [line.v(n) for n in line.varied]
        self.arrays = self.claimed()

    def outputs(self):
        return None  # each product has a forward of its own

    def backward(self, _):
        pushed = [_real(y) for y in self.line.pushed(0.0, dict(zip(self.line.varied, self.cotangents, strict=True)))]
        found = {f"output{i}" if len(pushed) > 1 else "output": y for i, y in enumerate(pushed)}
        for name, y in found.items():
            if bad := not_finite(y):
                raise Finding("non-finite", f"tangent of '{name}' is {bad}")
        return found

    def claimed(self):
        return self.backward(None)

    def fits(self, claimed):
        """Whether these are the derivatives along the cotangents."""
        line, (name,) = self.line, claimed
        kept = line.directions, line.cotangents
        line.directions = {(n, v.shape): v for n, v in zip(line.varied, self.cotangents, strict=True)}
        try:
            line.draw_cotangents(line.outputs())
            index = int(name[6:] or 0)
            line.cotangents = [c if i == index else np.zeros_like(c) for i, c in enumerate(line.cotangents)]
            total = np.vdot(flat([line.cotangents[index]]), claimed[name].ravel())
            return agrees(line, {"t": np.asarray(total, line.t.dtype)}, None, 0.0)
        finally:
            line.directions, line.cotangents = kept


def _real(y):
    """A complex array as one of real and imaginary parts."""
    return np.stack([y.real, y.imag], axis=-1) if np.iscomplexobj(y) else y
