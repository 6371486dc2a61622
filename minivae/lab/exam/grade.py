"""Grading: the gradient checker and the checks of samplers, in words."""

import traceback
from dataclasses import dataclass, field

import numpy as np

from ...errors import described
from .bugs import of_number
from .checks import beyond, compare, difference
from .subjects import subjects
from .submission import Submission

PASSED, UNWRITTEN, WRONG = "passed", "not yet written", "wrong"


@dataclass
class Mark:
    """What became of one blank. status: PASSED, UNWRITTEN or WRONG; findings: sentences, why; notes: beside that."""

    title: str
    function: str
    status: str = PASSED
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def find(self, sentence: str) -> None:
        """Takes a finding up; the blank is wrong."""
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
    def total(self) -> int:
        """How many passed."""
        return sum(mark.status == PASSED for mark in self.marks)

    @property
    def passed(self) -> bool:
        return self.total == len(self.marks)

    def __bool__(self) -> bool:
        return self.passed

    def __getitem__(self, function: str) -> Mark:
        return next(mark for mark in self.marks if mark.function == function)

    def __str__(self) -> str:
        counts = {status: sum(mark.status == status for mark in self.marks) for status in (UNWRITTEN, WRONG)}
        told = [f"{count} {status}" for status, count in counts.items() if count]
        head = ", ".join([f"{self.total} of {len(self.marks)} passed", *told])
        if self.bug is not None:
            gone = f"bug {self.bug} is gone; it was that {of_number(self.bug).text}"
            head = gone if self.passed else f"bug {self.bug} is still there"
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
        every = [subjects()[of_number(student.bug).subject]]
    told = {name for subject in every for name in (subject.backward, subject.forwards[-1])}
    lost = {name: reason for name, reason in student.broken.items() if name not in told}
    notes = [f"{name or 'outside of the functions'}: {reason}" for name, reason in lost.items()]
    printed = student.first_printed()
    notes += [f"it prints: {printed}"] if printed else []
    return Report(student.path.name, [_mark(student, subject) for subject in every], notes, student.bug)


def _mark(student, subject):
    mark = Mark(subject.title, subject.backward)
    with student.quiet():
        _look_at_forward(student, subject, mark)
        _look_at_backward(student, subject, mark)
    if subject.backward in student.twice:
        mark.notes.append(f"{subject.backward} stands in the file twice: the last one counts")
    printed = student.first_printed()
    if printed:
        mark.notes.append(f"it prints: {printed}")
    return mark


def _look_at_forward(student, subject, mark):
    """A forward that is not the one given: no matter in an exam, where ours is used, but a bug in the file of one."""
    name = subject.forwards[-1]
    function, right = student.names.get(name), subject.forward(*subject.given)
    if name in student.broken:
        changed = f"{name}: {student.broken[name]}"
    elif not callable(function):
        changed = f"the file has no function {name}"
    else:
        changed = difference(student, name, function, subject, right)
    if changed and student.bug is not None:
        mark.find(changed)
    elif changed:
        mark.notes.append(f"{changed}; graded with the one that was given")


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
        if isinstance(error, NameError) and error.name in student.broken:
            return mark.find(f"it calls {error.name}, which could not be read")
        fit = any(word in str(error) for word in ("matmul", "broadcast", "aligned"))
        shapes = ": shapes that do not fit; is something to be transposed, or an axis missing?" if fit else ""
        return mark.find(f"{name} {student.said(error)}{shapes}")
    claims, complaint = returned(subject, result)
    if complaint:
        return mark.find(f"{name} {complaint}")
    what = ""
    try:
        for sentence in compare(subject, backward, claims, hints=student.bug is None):
            mark.find(sentence)
        if mark.status == PASSED:  # is a size of the first arguments written into it?
            what, other = "with 6 examples, 2 draws: ", subjects(6, 2)[name]
            claims, complaint = returned(other, backward(*other.arguments))
            for sentence in [f"{name} {complaint}"] if complaint else compare(other, backward, claims, hints=False):
                mark.find(what + sentence)
        if mark.status == PASSED:
            what = ""
            for sentence in beyond(subject, backward):
                mark.find(sentence)
    except Exception as error:  # for other arguments than the first
        mark.find(f"{what}{name} {student.said(error)}")
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
        got = f"{len(values)} values" if many else described(result)
        return {}, f"returns {got}, expected {wanted}"
    claims = {}
    for name, value in zip(names, values, strict=True):
        shape = subject.inputs[name].shape
        try:
            array = np.asarray(value)
        except Exception:
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
    if more and came[more[0]] == 1:
        return f" (axis {more[0]}, of length 1, is one too many: keepdims?)"
    return f" (axis {more[0]}, of length {came[more[0]]}, is not summed over?)" if more else ""
