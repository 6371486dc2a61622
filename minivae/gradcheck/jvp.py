"""check_jvp: a Jacobian-vector product against differences along its vector, and against backward."""

from typing import Any

import numpy as np

from ..errors import expect
from .arguments import real_view
from .check import check_gradients
from .foreign.translate import bridged, duality
from .numerics.judge import rms
from .result import GradientReport
from .second import as_pair
from .subject.keeping import left_as_it_was
from .subject.targets import Finding, Target
from .subject.trees import leaves

ALL = 4096  # outputs up to this many are judged one by one: they share their evaluations


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
    **options: Any,
) -> GradientReport:
    """Check the Jacobian-vector product J v at every output, along a seeded random v.

    Parameters
    ----------
    target, inputs : a function of arrays, or whatever check_gradients takes
    jvp : callable(inputs, tangents) -> tangents of the outputs
        Both in the form of `inputs`, what is returned in that of the outputs. Default, with torch and JAX: the forward
        mode of the library.
    options : `rtol`, `atol`, `full`, ... as for check_gradients

    Returns
    -------
    GradientReport with an array for each output. Where the target has a backward too, <dy, J v> and <J' dy, v> must be
    one number; if not, that is a problem of the kind "jvp".
    """
    held = {"gradient": gradient, "fixed": fixed, "generator": generator}
    bridge = bridged(target, inputs, held)
    expect(jvp is not None or bridge is not None, "jvp", jvp, "a callable(inputs, tangents) -> tangents of the outputs")
    alone = bridge is None and gradient is None and callable(target) and not hasattr(target, "backward")
    try:
        form = ((lambda *args, **named: (target(*args, **named), None)), print) if alone else bridge or target
        subject = Target(form, bridge.values if bridge else inputs, **(bridge.options if bridge else held), seed=seed)
        name = name or f"Jacobian-vector product of {getattr(target, '__name__', subject.name)}"
        line = _Line(subject, inputs, jvp, bridge)
        try:
            start = line.at(0.0)
            problems = [] if alone else line.against_backward()
        except Finding as finding:
            return GradientReport(name, problems=[(finding.kind, str(finding))])
        arrays = {f"output{i}" if len(start) > 1 else "output": np.zeros_like(y) for i, y in enumerate(start)}
        options = {"full": ALL, "directions": 0, "method": "differences", "seed": seed, **options}
        ones = [np.ones_like(y) for y in start]
        pair = as_pair(line.forward, line.backward)
        report = check_gradients(pair, arrays, cotangent=ones, name=name, **options)
        report.problems += problems
        if bridge:
            bridge.finish(report)
        return report
    finally:
        if bridge:
            bridge.close()


class _Line:
    """The outputs at x + t v, each as a function of a t of its own, so that each is judged by itself."""

    def __init__(self, subject, given, jvp, bridge):
        self.subject, self.given, self.jvp, self.bridge = subject, given, jvp, bridge
        rng = np.random.default_rng((subject.seed, 4))
        self.x = {n: a.copy() for n, a in subject.values.items() if n in subject.holders}
        self.v = {}
        for name, a in self.x.items():
            v = rng.standard_normal(a.shape) + (1j * rng.standard_normal(a.shape) if np.iscomplexobj(a) else 0.0)
            self.v[name] = np.asarray(v * (rms(np.abs(a)) or 1.0), dtype=a.dtype)
        self.seen = {}

    def _outputs(self, t):
        for name, v in self.v.items():
            self.subject.values[name][...] = self.x[name] + t * v
        return [y.copy() for y in self.subject.outputs()]

    def at(self, t):
        if t not in self.seen:
            if len(self.seen) > 64:
                self.seen.clear()
            self.seen[t] = [_real(y) for y in self._outputs(t)]
        return self.seen[t]

    def pushed(self, t):
        """J v as claimed at x + t v."""
        outputs = self._outputs(t)
        self.subject._freeze()
        try:
            found = self.bridge.jvp(self.v) if self.jvp is None else self._claimed()
        except Exception as error:
            raise Finding("raises", f"jvp raised {type(error).__name__}: {error}") from error
        got, expected = [np.shape(y) for y in found], [y.shape for y in outputs]
        if got != expected:
            raise Finding("shape", f"jvp returned tangents of shapes {got} for outputs of {expected}")
        return found

    def _claimed(self):
        values = self.subject.values
        tangents = {n: self.v.get(n, np.zeros_like(a)) for n, a in values.items()}
        if self.bridge:
            found = self.jvp(self.bridge.as_given(self.given, values), self.bridge.as_given(self.given, tangents))
            return list(self.bridge.arrays_of(found))
        x, v = (self._as_given({n: a.copy() for n, a in nest.items()}) for nest in (values, tangents))
        return [np.asarray(y) for y in leaves(self.jvp(x, v)).values()]

    def _as_given(self, values):
        """These arrays in the form of the inputs."""
        inputs = self.subject.inputs
        arguments = inputs.arguments(values)
        if inputs.by_keyword:
            return arguments
        spread = isinstance(self.given, (tuple, list)) and len(self.given) == len(arguments)
        return tuple(arguments.values()) if spread else next(iter(arguments.values()))

    def against_backward(self):
        pushed = self.pushed(0.0)
        self.subject.draw_cotangents(self._outputs(0.0))
        gradients = {n: g for n, g in self.subject.claimed().items() if n in self.v}
        return duality(self.subject.cotangents, pushed, gradients, {n: real_view(v) for n, v in self.v.items()})

    def forward(self, times):
        self.times = list(times.values())
        return tuple(self._each(self.at))

    def backward(self, dys):
        found = self._each(lambda t: [_real(y) for y in self.pushed(t)])
        return tuple(dy * y for dy, y in zip(dys, found, strict=True))

    def _each(self, function):
        found = [np.empty_like(t) for t in self.times]
        for t in np.unique(np.concatenate([t.ravel() for t in self.times])):
            for out, times, y in zip(found, self.times, function(float(t)), strict=True):
                out[times == t] = y[times == t]
        return found


def _real(y):
    """A complex array as one of real and imaginary parts."""
    return np.stack([y.real, y.imag], axis=-1) if np.iscomplexobj(y) else y
