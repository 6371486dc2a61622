"""Find the bug: each is there, is told by what it does and not by its name, and is gone once it is mended."""

import ast
import inspect

import numpy as np
import pytest

from minivae.command.main import main
from minivae.lab import exam
from minivae.lab.exam import sheet
from minivae.lab.exam.bugs import of_number, order
from minivae.lab.exam.subjects import subjects

from . import solution
from .filling import SOLUTIONS, filled

CALLED = "".join(SOLUTIONS[name] + "\n\n" for name in subjects() if name != "elbo_backward")  # by that of the ELBO


def test_there_are_many_each_subject_in_turn():
    bugs = order()
    assert len(bugs) == len({bug.text + bug.subject for bug in bugs}) >= 20
    assert [bug.subject for bug in bugs[:16]] == [*subjects(), *subjects()]
    assert of_number(len(bugs) + 3) is of_number(3)


def gap(one, other):
    """How far two results are from each other, against the size of the second."""
    one, other = (result if isinstance(result, tuple) else (result,) for result in (one, other))
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(one, other, strict=True))


def test_every_bug_is_one(tmp_path):
    """Its numbers are not those of the solution, by far; its file has it, and nothing that names it."""
    for number, bug in enumerate(order()):
        subject = subjects()[bug.subject]
        assert gap(bug.function(*subject.arguments), getattr(solution, bug.subject)(*subject.arguments)) > 0.03, bug
        assert bug.forward is None or gap(bug.forward(*subject.given), subject.forward(*subject.given)) > 0.03
        text = exam.write_bug(tmp_path, number).read_text()
        assert bug.function.__name__ not in text
        assert bug.text not in text
        names = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
        assert names == [*subject.forwards, bug.subject]


@pytest.mark.parametrize("number", [n for n, bug in enumerate(order()) if n < 8 or bug.forward])
def test_a_bug_is_told_by_what_it_does_and_gone_when_mended(tmp_path, number):
    bug, path = of_number(number), exam.write_bug(tmp_path, number)
    there = exam.grade(path)
    assert not there.passed
    assert str(there).startswith(f"bug-{number}.py: bug {number} is still there\n")
    assert there.marks[0].findings
    assert bug.text not in str(there)
    called = CALLED if bug.subject == "elbo_backward" else ""
    path.write_text(filled({bug.subject: called + SOLUTIONS[bug.subject]}, path.read_text()))
    gone = exam.grade(path)
    if bug.forward:
        forward = subjects()[bug.subject].forwards[-1]
        assert not gone.passed
        assert gone.marks[0].findings[0].startswith(f"{forward} is not as its first lines say")
        mended = {forward: inspect.getsource(getattr(sheet, forward))}
        path.write_text(filled(mended, path.read_text()))
        gone = exam.grade(path)
    assert str(gone).startswith(f"bug-{number}.py: bug {number} is gone; it was that {bug.text}\n")


def said(capsys):
    out, err = capsys.readouterr()
    assert err.count("\n") <= 1
    return out.splitlines(), err.strip()


def test_both_through_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["lab", "exam", "--out", "mine"]) == 0
    assert said(capsys)[0] == ["mine/exam.py: fill in its eight functions, then: minivae lab exam mine/exam.py"]
    assert main(["lab", "exam", "mine/exam.py"]) == 1
    assert said(capsys)[0][0] == "exam.py: 0 of 8 passed, 8 not yet written"
    path = tmp_path / "mine" / "exam.py"
    path.write_text(filled(SOLUTIONS, path.read_text()))
    answered = path.read_bytes()
    assert main(["lab", "exam", "--out", "mine"]) == 2  # answers are not written over
    assert "mine/exam.py: it is there already, expected a new file" in said(capsys)[1]
    assert path.read_bytes() == answered
    assert main(["lab", "exam", "mine/exam.py"]) == 0
    assert said(capsys)[0][0] == "exam.py: 8 of 8 passed"

    assert main(["lab", "exam", "--find-the-bug"]) == 0
    assert said(capsys)[0] == ["lab/bug-0.py: mend the one mistake in it, then: minivae lab exam lab/bug-0.py"]
    assert main(["lab", "exam", "--find-the-bug"]) == 0  # the next
    assert main(["lab", "exam", "--find-the-bug", "--seed", "12"]) == 0
    assert sorted(file.name for file in (tmp_path / "lab").iterdir()) == ["bug-0.py", "bug-1.py", "bug-12.py"]
    said(capsys)
    assert main(["lab", "exam", "--find-the-bug", "--seed", "12"]) == 2
    assert main(["lab", "exam", "--find-the-bug", "--seed", "12", "--out", "again"]) == 0
    assert (tmp_path / "again" / "bug-12.py").read_bytes() == (tmp_path / "lab" / "bug-12.py").read_bytes()
    capsys.readouterr()
    bug = tmp_path / "lab" / "bug-1.py"
    assert main(["lab", "exam", str(bug)]) == 1
    assert said(capsys)[0][0] == "bug-1.py: bug 1 is still there"
    bug.write_text(filled({"softplus_backward": SOLUTIONS["softplus_backward"]}, bug.read_text()))
    assert main(["lab", "exam", str(bug)]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["exam", "nothing.py"], "nothing.py: No such file or directory, expected the file of an exam"),
        (["exam", "."], "Is a directory, expected the file of an exam"),
        (["exam", "--seed", "3"], "--seed: got 3, expected --find-the-bug with it"),
        (["exam", "--out", "notes.txt"], "cannot make the folder notes.txt"),
        (["sigma", "exam.py"], "FILE: got 'exam.py' with sigma, expected it with exam only"),
        (["all", "--find-the-bug"], "--find-the-bug: got True with all, expected it with exam only"),
        (["exam", "notes.txt"], "notes.txt: line 1: SyntaxError"),
        (["--out", "lab", "exam", "notes.txt"], "--out: got 'lab' with FILE, expected none"),
    ],
)
def test_what_does_not_go_together_is_one_line(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no exam, but notes\n")
    assert main(["lab", *arguments]) == 2
    assert words in said(capsys)[1]
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
