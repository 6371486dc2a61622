"""Grading: the gradient checker and the checks of samplers, in words."""

import inspect
import traceback
from dataclasses import dataclass, field

import numpy as np

from ...errors import brief, described
from ...gradcheck import check_gradients, check_kl, check_same_draw, check_sampler
from . import sheet
from .subjects import subjects, surrogate
from .submission import Submission

PASSED, UNWRITTEN, WRONG = "passed", "not yet written", "wrong"
ALIKE = 1e-6  # of the largest value: up to which two gradients are one


@dataclass
class Mark:
    """What became of one blank. status: PASSED, UNWRITTEN or WRONG; findings: sentences, why; notes: beside that."""

    title: str
    function: str
    status: str = PASSED
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def find(self, sentence: str) -> None:
        self.status = WRONG
        self.findings.append(sentence)


@dataclass
class Report:
    """Result of grading a file; true when all of it passed. bug: its number where the file is one of `find the bug`."""

    name: str
    marks: list[Mark]
    notes: list[str] = field(default_factory=list)
    bug: int | None = None

    @property
    def passed(self) -> bool:
        return all(mark.status == PASSED for mark in self.marks)

    def __bool__(self) -> bool:
        return self.passed

    def __getitem__(self, function: str) -> Mark:
        return next(mark for mark in self.marks if mark.function == function)

    def __str__(self) -> str:
        counts = {status: sum(mark.status == status for mark in self.marks) for status in (PASSED, UNWRITTEN, WRONG)}
        told = [f"{count} {status}" for status, count in counts.items() if count and status != PASSED]
        head = ", ".join([f"{counts[PASSED]} of {len(self.marks)} passed", *told])
        if self.bug is not None:
            head = f"bug {self.bug} is gone" if self.passed else f"bug {self.bug} is still there"
        lines = [f"{self.name}: {head}"]
        lines += [f"  note: {note}" for note in self.notes]
        width = max(len(mark.title) for mark in self.marks)
        for mark in self.marks:
            lines.append(f"  {mark.title:{width}}  {mark.status}")
            lines += [f"    {finding}" for finding in mark.findings]
            lines += [f"    note: {note}" for note in mark.notes]
        return "\n".join(lines)


def grade(path) -> Report:
    """Run a student's file and grade what is written in it: of an exam each blank, of a bug the one function.

    Nothing that the file does raises or prints here; it is not run in a sandbox. ValueError, in one line, for a path
    that holds no exam of this version.
    """
    student = Submission(path)
    every = list(subjects().values())
    if student.bug is not None:
        from .bugs import of_number

        every = [subjects()[of_number(student.bug).subject]]
    notes = [f"outside of the functions: {student.broken['']}"] if "" in student.broken else []
    printed = student.first_printed()
    notes += [f"it prints: {printed}"] if printed else []
    return Report(student.path.name, [_mark(student, subject) for subject in every], notes, student.bug)


def _mark(student, subject):
    mark = Mark(subject.title, subject.backward)
    with student.quiet():
        _look_at_forward(student, subject, mark)
        _look_at_backward(student, subject, mark)
    printed = student.first_printed()
    if printed:
        mark.notes.append(f"it prints: {printed}")
    return mark


def _look_at_backward(student, subject, mark):
    name = subject.backward
    function = student.names.get(name)
    if name in student.broken:
        return mark.find(f"{name}: {student.broken[name]}")
    if not callable(function):
        mark.status = UNWRITTEN
        return mark.findings.append(f"the file has no function {name}")

    def backward(*arguments):
        try:
            return function(*arguments)
        except SystemExit as error:
            raise RuntimeError("the function ends the program (SystemExit)") from error

    try:
        result = backward(*subject.arguments)
    except NotImplementedError as error:
        mark.status = UNWRITTEN
        inner = traceback.extract_tb(error.__traceback__)[-1].name
        if inner != name and inner in subjects():
            mark.findings.append(f"it calls {inner}, which is not yet written")
        return None
    except Exception as error:
        fit = any(word in str(error) for word in ("matmul", "broadcast", "aligned"))
        shapes = ": shapes that do not fit; is something to be transposed, or an axis missing?" if fit else ""
        return mark.find(f"{name} {student.said(error)}{shapes}")
    claims, complaint = returned(subject, result)
    if complaint:
        return mark.find(f"{name} {complaint}")
    for sentence in compare(subject, backward, claims, hints=student.bug is None):
        mark.find(sentence)
    if mark.status == PASSED:
        for sentence in beyond(subject, backward):
            mark.find(sentence)
    return None


def returned(subject, result):
    """(gradients by name, "") or ({}, what is wrong with them)."""
    names = list(subject.inputs)
    wanted = ", ".join(f"d{name} {subject.inputs[name].shape}" for name in names)
    if result is None:
        return {}, f"returns None, expected {wanted}: is the return statement missing?"
    many = isinstance(result, (tuple, list))
    values = list(result) if many and (len(names) > 1 or len(result) == 1) else [result]
    if len(values) != len(names):
        got = f"{len(values)} of them" if many else described(result)
        return {}, f"returns {got}, expected {wanted}"
    claims = {}
    for name, value in zip(names, values, strict=True):
        shape = subject.inputs[name].shape
        try:
            array = np.asarray(value)
        except ValueError:
            array = np.asarray(None)
        if array.dtype.kind not in "fiu":
            return {}, f"returns {described(value)} for d{name}, expected an array of real numbers of shape {shape}"
        if array.shape != shape:
            return {}, f"returns shape {array.shape} for d{name}, expected {shape}{_misshapen(array.shape, shape)}"
        if not np.all(np.isfinite(array)):
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            return {}, f"returns {array[place]} for d{name} at {list(place)}, expected finite numbers"
        claims[name] = array.astype(float)
    return claims, ""


def _misshapen(came, wanted):
    """What may have gone wrong, in brackets, or ""."""
    if came == wanted[::-1]:
        return " (transposed?)"
    more = [axis for axis in range(len(came)) if came[:axis] + came[axis + 1 :] == wanted]
    return f" (axis {more[0]}, of length {came[more[0]]}, is not summed over?)" if more else ""


def compare(subject, backward, claims, hints):
    """What the gradient checker finds, in sentences; with hints the likely mistake."""
    fixed = list(subject.fixed.values())
    if subject.dy is None:
        forward = surrogate if subject.backward == "score_function" else subject.forward
        report = check_gradients(
            forward, list(subject.inputs.values()), gradient=backward, fixed=fixed, name=subject.title
        )
    else:

        def keep(*arguments):
            return subject.forward(*arguments), arguments

        def undo(dy, arguments):
            given = backward(dy, *arguments)
            return given if isinstance(given, (tuple, list)) else (given,)

        keep.__signature__ = inspect.signature(subject.forward)  # whose names the checker says
        report = check_gradients(
            (keep, undo), list(subject.inputs.values()), fixed=fixed, cotangent=subject.dy, name=subject.title
        )
        report.reword({"dy": inspect.getfullargspec(getattr(sheet, subject.backward)).args[0]})
    wrong, reasons = [], {}
    for name, array in zip(subject.inputs, report.arrays, strict=False):
        if array.verdict != "wrong":
            continue
        worst = array.worst
        wrong.append(
            f"d{name} {array.shape}: wrong at {len([c for c in array.wrong if c.index is not None])} of {array.size}, "
            f"worst at {list(worst.index or ())}: {worst.analytic:.4g}, where differences of the forward give "
            f"{worst.numeric:.4g}"
        )
        truth = np.array([c.numeric for c in array.coordinates]).reshape(array.shape)
        reason = likely(subject, name, claims[name], truth) or array.diagnosis
        reasons.setdefault(reason, []).append(f"d{name}")
    sentences = [f"{', '.join(arrays)}: {reason}" for reason, arrays in reasons.items()] if hints else []
    sentences += wrong + [sentence for _, sentence in report.problems]
    if not report.passed and not sentences:
        sentences = [" ".join(str(report).split())]
    return sentences


def likely(subject, name, claim, truth):
    """The known mistake whose gradient this is, in words, or ""."""
    place = list(subject.inputs).index(name)
    known = []
    for mistake in subject.mistakes:
        gradients = mistake.function(*subject.arguments)
        gradient = np.asarray(gradients if len(subject.inputs) == 1 else gradients[place], dtype=float)
        if not alike(gradient, truth):
            known.append((gradient, mistake.text))
    for gradient, text in known:
        if alike(claim, gradient):
            return f"this is what one gets when {text}"
    for factor, text in factors(subject):
        if alike(claim, factor * truth):
            return f"this is the right gradient, {text}"
    for gradient, text in known:
        for factor, more in factors(subject):
            if alike(claim, factor * gradient):
                return f"this is what one gets when {text}; and it is {more}, besides"
    return ""


def alike(a, b):
    return bool(np.max(np.abs(a - b)) <= ALIKE * max(np.max(np.abs(b)), 1e-300))


def factors(subject):
    """Factors that get lost, and what is said of a gradient that has them."""
    yield -1.0, "turned in sign"
    for count, what in subject.sizes.items():
        more = f"{count} times too large, the number of {what}: summed, where a mean is meant"
        less = f"{count} times too small, the number of {what}: averaged, where a sum is meant"
        for factor, text in ((count, more), (1 / count, less)):
            yield factor, text
            yield -factor, f"turned in sign and {text}"


def beyond(subject, backward):
    """What the gradient checker does not try: extreme values, and draws that it did not freeze."""
    if subject.extreme:
        what, arguments, right = subject.extreme
        right = backward(arguments[0].copy(), subject.inputs["log_weight"].copy()) if right is None else right
        found = np.asarray(backward(*(a.copy() for a in arguments)))
        found = found[0] if found.ndim > right.ndim else found
        if not np.allclose(found, right, rtol=1e-9, atol=1e-12):
            at = tuple(np.argwhere(~np.isclose(found, right, rtol=1e-9, atol=1e-12))[0])
            yield (
                f"right for moderate numbers, but for {what} it gives {found[at]:.4g} where {right[at]:.4g} is right: "
                "an exp overflows, or all of them vanish; write it so that none gets a large positive number"
            )
    if subject.backward == "reparameterize_backward":
        yield from same_draw(subject, backward)


def same_draw(subject, backward):
    mu, sigma = subject.inputs.values()

    def draw(rng):
        noise, dz = rng.standard_normal((2, len(mu), 1, mu.shape[1]))
        z = subject.forward(mu, sigma, noise)
        return z[:, 0], dz[:, 0], backward(dz, mu.copy(), sigma.copy(), noise)[1]

    return check_same_draw(draw, mu).findings


def _look_at_forward(student, subject, mark):
    """A forward that is not the one given: no matter in an exam, where ours is used, but a bug in the file of one."""
    name = subject.forwards[-1]
    function, right = student.names.get(name), subject.forward(*subject.given)
    if name in student.broken:
        changed = f"{name}: {student.broken[name]}"
    elif not callable(function):
        changed = f"the file has no function {name}"
    else:
        changed = _difference(student, name, function, subject, right)
    if changed and student.bug is not None:
        mark.find(changed)
    elif changed:
        mark.notes.append(f"{changed}; graded with the one that was given")


def _difference(student, name, function, subject, right):
    """What tells the student's forward from ours, or ""."""
    try:
        found = np.asarray(function(*subject.given), dtype=float)
    except (Exception, SystemExit) as error:
        return f"{name} {student.said(error)}"
    if found.shape != right.shape:
        return f"{name} returns shape {found.shape}, where the one given returns {right.shape}"
    if np.allclose(found, right, rtol=1e-9, atol=1e-12):
        return ""
    at = tuple(int(i) for i in np.argwhere(~np.isclose(found, right, rtol=1e-9, atol=1e-12))[0])
    text = f"{name} is not as its first lines say: {found[at]:.4g} at {list(at)}, where {right[at]:.4g} is right"
    return ": ".join([text, *_sampled(function, subject)[:1]])


def _sampled(function, subject):
    """What the checks of samplers say of a forward that samples, or that is a KL."""
    if subject.backward == "gaussian_kl_backward":
        return check_kl(function(*subject.given), *subject.given).findings
    if subject.backward == "reparameterize_backward":
        mu, sigma, noise = subject.given

        def sample(rng):
            return function(mu.copy(), sigma.copy(), rng.standard_normal(noise.shape))

        wide = np.broadcast_to(mu[:, None], noise.shape), np.broadcast_to(sigma[:, None], noise.shape)
        return check_sampler(sample, mean=wide[0], std=wide[1], draws=1000).findings
    return []
