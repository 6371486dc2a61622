"""check_gradients and assert_gradients: a claimed gradient against the function's own values."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..errors import expect
from .arguments import check_options, expect_known
from .conduct import observe, only_float32, recheck
from .diagnosis.diagnose import diagnose, locate
from .elsewhere import elsewhere as look_elsewhere
from .foreign.translate import translated
from .linearity import linearity
from .numerics.judge import Judge, resolve
from .numerics.kinks import beside_kinks
from .numerics.probe import ComplexProbe
from .result import GradientReport
from .subject.keeping import left_as_it_was
from .subject.targets import Finding, Target, flat

LEAK = 2e-10  # noise relative to the outputs beyond this, in float64, is float32 inside


@left_as_it_was
@translated
def check_gradients(
    target: Any,
    inputs: np.ndarray | Sequence[Any] | Mapping[str, Any],
    *,
    gradient: Any = None,
    parameters: Mapping[str, Any] | None = None,
    parameter_gradients: Any = None,
    fixed: Mapping[str, Any] | Sequence[Any] = (),
    constant: Sequence[str] = (),
    generator: "np.random.Generator | np.random.RandomState | Callable[[], object] | None" = None,
    cotangent: np.ndarray | Sequence[np.ndarray] | None = None,
    method: str = "auto",
    rtol: float | None = None,
    atol: float = 0.0,
    full: int = 256,
    coordinates: int = 24,
    directions: int = 3,
    accumulates: bool = False,
    allow_unresolved: bool = False,
    elsewhere: bool = True,
    seed: int = 0,
    name: str | None = None,
) -> GradientReport:
    """Check the gradient of a function, a layer, a model or a pair of functions against differences.

    Examples for each kind of target: docs/gradient-checking-your-code.md; how it works: docs/gradient-checking.md.

    Parameters
    ----------
    target : one of
        a scalar function, with `gradient`: a callable of the same arguments, or the array(s) it should give;
        a layer: `forward(*inputs, **fixed) -> y` (or a tuple) and `backward(dy)` (one per output) returning the
        gradient of each input, checked with a seeded random dy;
        a model: `forward` returns an object with `loss`, `backward()` fills `gradients`;
        a pair `(forward, backward)`: `forward(*inputs) -> (y, cache)`, `backward(dy, cache)`;
        of torch a Function (the class), a Module, a function of tensors; of JAX a function of arrays. Their own
        differentiation is the claim.
    inputs : array, sequence of arrays (handed over by position) or mapping (by keyword)
        Of float32 or float64, or complex; nested in dicts, lists and tuples if need be (of JAX in any pytree).
        Gradients come in the same nest, or flat; leaves are named as in "params.layers.0.weight". Floats are
        differentiated, integers and other objects passed as they are. All are copied; nothing is changed. The gradient
        of a complex array is dL/dRe + i dL/dIm, as in torch, and L = Re sum(conj(dy) * y) for complex outputs.
    gradient : callable or array(s), for a scalar function; "torch" or "jax": for a plain function of NumPy's arrays,
        the library that differentiates it
    parameters : mapping of name to float or complex array, or nest of them; default: those that are found.
        Perturbed in place and put back. A layer's are found by the usual spellings (`parameters` and `gradients`,
        `params` and `grads`, W and dW, ..., also in the layers it holds); if an array of it that moves the outputs has
        no gradient, the check fails. Given, even as {}, they are these and no others.
    parameter_gradients : mapping like `parameters`, or a callable returning one; default: found.
        Read after backward.
    fixed : mapping (by keyword) or sequence (after the inputs)
        Passed along and not differentiated: frozen noise, labels.
    constant : names of inputs and parameters, or what they begin with up to a dot, that are not differentiated.
        Without it a gradient that does not come fails the check, if the outputs depend on the array.
    generator : numpy Generator, RandomState, or callable
        What the target draws from, set back (called) before every forward, so that every evaluation sees the same draw.
        torch's global generator is frozen without it.
    cotangent : array(s) like the outputs, not all zeros
        Default: seeded standard normals; ones where backward takes none, and then no others are taken.
    method : "auto", "differences" or "complex"
        "auto" adds the complex step where a function or pair accepts complex inputs and both agree; "complex" makes it
        a problem where they do not.
    rtol, atol : float
        Tolerance: rtol * size + atol + 10 * estimated error of the differences + 64 roundings of the array's largest
        derivative. rtol < 1. Default rtol: sqrt(machine epsilon), 1.5e-8 in float64 and 3.5e-4 in float32.
    full, coordinates, directions : int
        Arrays up to `full` entries are checked at every coordinate, larger ones at `coordinates` random ones and along
        `directions` random directions; the report states the probability of missing a wrong coordinate.
    accumulates : bool
        The target adds to its parameter gradients; they are zeroed before each backward. False: adding is reported;
        True: assigning.
    allow_unresolved : bool
        Pass arrays whose derivatives drown in rounding. Default: report them, since nothing was shown.
    elsewhere : bool
        What is right is also checked, along one random direction each, with another draw (`generator` moved on, or the
        rows of the float arrays in `fixed` in another order), with one row more and one alone, at 1/16 and 4 times the
        inputs, with other parameters (each moved at random by up to a third of its size, a zero by that of its array or
        of 1; of pairs and functions also the inputs beyond the first that are no whole numbers, no probabilities and
        not normalized, or all the same), and in the other mode (training or evaluation). Where forward does not go
        along nothing is said; where it does and backward raises, or gives what does not fit, an object fails and
        functions get a note.
    seed : int, of dy, coordinates and directions
    name : str, of the target in the report

    At the end, however it comes, the target is as it was, bit for bit: parameters, running averages, modes, generators,
    caches and gradients (but for arrays from 256 MiB on, and what functions enclose in variables, lists and dicts).

    Returns
    -------
    GradientReport, true when the gradient is right. What the target does wrong beside numbers (it draws at random,
    changes an input, returns another dtype, ...) is in `report.problems`, and the numbers are compared all the same
    where there are any. Only a wrong call of this function raises ValueError.
    """
    started = time.perf_counter()
    rtol, atol, full, coordinates, directions, seed = check_options(
        *(method, rtol, atol, full, coordinates, directions, seed, name),
        **{"accumulates": accumulates, "allow_unresolved": allow_unresolved, "elsewhere": elsewhere},
    )
    given = {"gradient": gradient, "parameters": parameters, "parameter_gradients": parameter_gradients}
    held = {"fixed": fixed, "constant": constant, "generator": generator, "cotangent": cotangent, "seed": seed}
    subject = Target(target, inputs, **given, **held, accumulates=accumulates)
    report = GradientReport(name or subject.name, allow_unresolved=allow_unresolved)
    report.problems, report.notes = subject.problems, subject.notes
    try:
        with np.errstate(all="ignore"):
            claimed = observe(subject, report)
            _compare(subject, claimed, report, (full, coordinates, directions), method, rtol, atol, seed)
            linearity(subject, claimed, report)
            recheck(subject, claimed, report)
            if elsewhere and report.passed:
                compare = partial(_compare, subject, method="differences", rtol=rtol, atol=atol, seed=seed)
                look_elsewhere(subject, claimed, generator, report, compare, rtol, atol)
                recheck(subject, claimed, report)
    except Finding as finding:
        report.problems.append((finding.kind, str(finding)))
        report.cause = finding.__cause__
    report.evaluations = subject.evaluations
    report.seconds = time.perf_counter() - started
    return report


def assert_gradients(
    target: Any, inputs: np.ndarray | Sequence[Any] | Mapping[str, Any], **options: Any
) -> GradientReport:
    """check_gradients for tests: AssertionError with the report's text if the check fails, else the report."""
    expect_known("assert_gradients", options, check_gradients)
    report = check_gradients(target, inputs, **options)
    if not report.passed:
        raise AssertionError(str(report)) from report.cause
    return report


def _compare(subject, claimed, report, effort: tuple[int, int, int], method, rtol, atol, seed):
    arrays = {name: subject.arrays[name] for name in subject.differentiated}
    if not arrays:
        return
    lowest = max((a.dtype for a in arrays.values()), key=lambda dtype: np.finfo(dtype).eps)
    eps = max(float(np.finfo(lowest).eps), subject.coarse.get("outputs", 0.0))
    report.dtype = str(lowest)
    rtols = {n: np.sqrt(max(eps, subject.coarse.get(n, 0.0))) if rtol is None else rtol for n in arrays}
    start = subject.vector()
    cotangent = flat(subject.cotangents)
    rng = np.random.default_rng((seed, 2))
    probe = ComplexProbe.offered(subject, start) if _wants_complex(method, subject) else None
    takes = "a target that takes complex inputs and keeps the imaginary part"
    expect(method != "complex" or probe is not None, "method", method, takes)
    beyond = max(float(np.max(np.abs(claimed[name]), initial=0.0)) for name in arrays)
    judges = {
        name: Judge(subject, name, array, claimed[name], start, cotangent, eps, rtols[name], atol, probe, beyond)
        for name, array in arrays.items()
    }
    for judge in judges.values():
        report.arrays.append(judge.run(*effort, rng))
    beside_kinks(subject, judges, rng)
    resolve([judge.result for judge in judges.values()], eps)
    for name, judge in judges.items():
        result = judge.result
        if judge.noise > LEAK and eps < 1e-10:
            text = f"outputs move by {judge.noise:.0e} of their size at random when '{name}' moves by a few roundings"
            report.problems.append(("noise", f"{text}: part of forward runs in less than float64"))
        if result.wrong:
            result.diagnosis = diagnose(result, report.arrays, claimed, subject)
        elif name not in subject.coarse and only_float32(claimed[name]) and not only_float32(subject.arrays[name]):
            # Data that were born in float32 may be the gradient; only differences tell them from rounded numbers.
            rounded = judge.rounded()
            text = f"every gradient of '{name}' is a float32 number"
            if rounded:
                report.problems.append(("dtype", f"{text}: backward rounds to float32"))
            elif rounded is None:
                report.notes.append(f"{text}, and the differences are not sharp enough to tell whether it was rounded")
        if method == "complex" and judge.misled:
            report.problems.append(("complex", f"the complex step was not used for '{name}': {judge.misled}"))
    where = locate(report, subject)
    if where:
        report.notes.append(where)
    if probe is not None and probe.used:
        report.method = "differences and complex step"


def _wants_complex(method, subject):
    if subject.is_complex:  # a step into the complex plane would be one in another direction of it
        return False
    return method == "complex" or (method == "auto" and subject.kind in ("function", "pair"))
