"""The exam: solutions pass, planted mistakes fail and are named, and no file that is handed in upsets the grader."""

import ast
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae.lab import exam
from minivae.lab.exam import sheet
from minivae.lab.exam.bugs import order
from minivae.lab.exam.subjects import subjects

from .filling import SOLUTIONS, filled
from .planted import ELBO, NO_OTHER_CAUSE, PLANTED

PIECES = {name: source for name, source in SOLUTIONS.items() if name != ELBO}


@pytest.fixture
def graded(tmp_path):
    """Grades a text as exam.py."""

    def grade(text):
        path = tmp_path / "exam.py"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return exam.grade(path)

    return grade


def test_the_solutions_pass_and_blanks_are_not_yet_written(graded):
    report = graded(filled(SOLUTIONS))
    assert report.passed, str(report)
    assert report
    assert str(report).startswith("exam.py: 8 of 8 passed\n")
    blank = graded(inspect.getsource(sheet))
    assert [mark.status for mark in blank.marks] == ["not yet written"] * 8
    assert not blank
    assert "0 of 8 passed, 8 not yet written" in str(blank)


def test_there_are_five_planted_mistakes_for_each_blank():
    for name in subjects():
        assert sum(planted[0] == name for planted in PLANTED) >= 5, name


def rounds():
    """One mistake of each piece a time; those of the ELBO, which calls the pieces, each with right ones."""
    by_name = {name: [planted for planted in PLANTED if planted[0] == name] for name in subjects()}
    for i in range(max(map(len, by_name.values()))):
        yield [planted[i] for name, planted in by_name.items() if name != ELBO and i < len(planted)]
    yield from ([planted] for planted in by_name[ELBO])


def spoilt(name, old, new):
    head, body = SOLUTIONS[name].split("\n", 1)
    assert old in body
    return f"{head}\n{body.replace(old, new)}"


@pytest.mark.parametrize(("name", "old", "new", "words", "never"), NO_OTHER_CAUSE)
def test_no_other_mistake_is_named(graded, name, old, new, words, never):
    functions = SOLUTIONS | {name: spoilt(name, old, new)}
    mark = graded(filled(functions if name == ELBO else {name: functions[name]}))[name]
    assert words in "\n".join(mark.findings)
    assert never not in "\n".join(mark.findings)


@pytest.mark.parametrize("planted", list(rounds()), ids=lambda planted: planted[0][3].replace(" ", "_"))
def test_planted_mistakes_fail_and_are_named(graded, planted):
    functions = dict(SOLUTIONS if planted[0][0] == ELBO else PIECES)
    for name, old, new, _ in planted:
        functions[name] = spoilt(name, old, new)
    report = graded(filled(functions))
    for name, _, new, words in planted:
        mark = report[name]
        assert mark.status == "wrong", (new, str(report))
        assert words in "\n".join(mark.findings), (new, str(report))
    unharmed = [mark for mark in report.marks if mark.function not in [name for name, *_ in planted]]
    assert all(mark.status == ("passed" if mark.function in functions else "not yet written") for mark in unharmed)


AWKWARD = {
    "dense_backward": ("def dense_backward(dy, x, weight, bias)\n    return dy\n", "SyntaxError: expected ':'"),
    "softplus_backward": (
        "def softplus_backward(dsigma, rho):\n    return dsigma / undefined\n",
        "raises NameError: name 'undefined' is not defined (line ",
    ),
    "reparameterize_backward": (
        "def reparameterize_backward(dz, mu, sigma, noise):\n    return dz.sum(axis=1), dz * noise\n",
        "returns shape (5, 3, 4) for dsigma, expected (5, 4)",
    ),
    "gaussian_kl_backward": (
        "def gaussian_kl_backward(dkl, mu, sigma):\n    return dkl[:, None] * mu, np.log(-sigma)\n",
        "returns nan for dsigma at [0, 0], expected finite numbers",
    ),
    "bernoulli_nll_backward": (
        "def bernoulli_nll_backward(dnll, logits, x):\n    print('so far', 'so good')\n",
        "returns None, expected dlogits (5, 3, 7): is the return statement missing?",
    ),
    "elbo_backward": (
        SOLUTIONS[ELBO].replace("@ to_mu", "@ to_rho.T"),
        "shapes that do not fit; is something to be transposed",
    ),
    "iwae_backward": (
        "def iwae_backward(dloss, log_weight):\n    import sys\n    sys.exit('good bye')\n",
        "raises RuntimeError: the function ends the program (SystemExit)",
    ),
    "score_function": ("score_function = 3\n", "the file has no function score_function"),
}


def test_whatever_is_handed_in_is_told_in_a_line_for_each_blank(graded, capfd):
    report = graded(filled({name: source for name, (source, _) in AWKWARD.items()}))
    for name, (_, words) in AWKWARD.items():
        (finding,) = report[name].findings
        assert words in finding
        assert "\n" not in finding
    assert report["bernoulli_nll_backward"].notes == ["it prints: so far so good"]
    assert [mark.status for mark in report.marks] == ["wrong"] * 7 + ["not yet written"]
    assert capfd.readouterr() == ("", "")


MORE = {
    "dense_backward": (
        "dy *= 2; return dy @ weight.T, x.T @ dy, dy.sum(axis=0)",
        "changed its argument (dy 0) in place",
    ),
    "softplus_backward": (
        "rho *= 1; rho += 0.5; return dsigma / (1 + np.exp(-rho + 0.5))",
        "changed input 'rho' in place",
    ),
    "reparameterize_backward": (
        "return dz.sum(axis=1)",
        "returns float64 of shape (5, 4), expected dmu (5, 4), dsigma",
    ),
    "gaussian_kl_backward": (
        "return [[1, 2], [3]], 'sigma'",
        "returns [[1, 2], [3]] for dmu, expected an array of real",
    ),
    "bernoulli_nll_backward": ("return input()", "raises EOFError"),
    "elbo_backward": ("return bernoulli_nll_backward(x, x, x)", "raises EOFError"),
    "iwae_backward": (
        "1 / int(np.max(log_weight) < 99); w = np.exp(log_weight); return -dloss[:, None] * w / w.sum(axis=1)[:, None]",
        "raises ZeroDivisionError",
    ),
    "score_function": ("return score_function(mu, sigma, z, f)", "raises RecursionError"),
}


def test_more_of_it(graded):
    functions = {}
    for name, (body, _) in MORE.items():
        parameters = ", ".join(inspect.signature(getattr(sheet, name)).parameters)
        functions[name] = f"def {name}({parameters}):\n    {body}\n"
    report = graded(filled(functions))
    for name, (_, words) in MORE.items():
        assert report[name].status == "wrong"
        assert any(words in finding for finding in report[name].findings), report[name]
        assert not any("\n" in finding for finding in report[name].findings)


def test_a_blank_that_calls_one_not_yet_written_says_so(graded):
    mark = graded(filled({ELBO: SOLUTIONS[ELBO]}))[ELBO]
    assert (mark.status, mark.findings) == (
        "not yet written",
        ["it calls bernoulli_nll_backward, which is not yet written"],
    )
    broken = {"bernoulli_nll_backward": "def bernoulli_nll_backward(:\n    pass\n"}
    mark = graded(filled({ELBO: SOLUTIONS[ELBO]} | broken))[ELBO]
    assert mark.findings == ["it calls bernoulli_nll_backward, which could not be read"]


def test_the_forward_is_ours_whatever_stands_in_the_file(graded):
    """A forward made to suit a wrong backward does not help, and one that was changed does no harm to a right one."""
    text = filled(PIECES).replace("return np.tanh(x @ weight + bias)", "return x @ weight + bias")
    text = text.replace(" - np.log(sigma), axis=1)", ", axis=1)")
    text = filled({"gaussian_kl_backward": PIECES["gaussian_kl_backward"].replace(" - 1 / sigma", "")}, text)
    report = graded(text)
    assert report["gaussian_kl_backward"].status == "wrong"
    assert "the term -log sigma is left out" in report["gaussian_kl_backward"].findings[0]
    assert "KL is" in report["gaussian_kl_backward"].notes[0]  # what `check_kl` says of it
    assert report["dense_backward"].status == "passed"
    (note,) = report["dense_backward"].notes
    assert note.startswith("dense is not as its first lines say")
    assert note.endswith("graded with the one that was given")


def test_state_of_the_caller_is_kept_and_grading_repeats(graded):
    drawn = SOLUTIONS["reparameterize_backward"].replace("dz * noise", "dz * np.random.standard_normal(dz.shape)")
    text = filled({"reparameterize_backward": drawn}) + "\nnp.seterr(all='raise')\nnp.random.seed(7)\nprint('read')\n"
    before, errors = np.random.get_state()[1].copy(), np.geterr()  # noqa: NPY002
    first, second = graded(text), graded(text)
    assert str(first) == str(second)
    assert first.notes == ["it prints: read"]
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert np.geterr() == errors


def test_what_fails_outside_of_the_eight_functions_is_told_and_the_rest_graded(graded):
    text = filled({"softplus_backward": PIECES["softplus_backward"]}).replace("\nEXAM", "\nimport no_such_thing\nEXAM")
    report = graded(PIECES["dense_backward"] + text + "\n\ndef helper(:\n    pass\n")
    helper, outside = report.notes
    assert outside.startswith("outside of the functions: raises ModuleNotFoundError: No module named 'no_such_thing'")
    assert helper.startswith("helper: line ")
    assert report["softplus_backward"].status == "passed"
    assert report["dense_backward"].status == "not yet written"  # its blank follows on the answer
    assert report["dense_backward"].notes == ["dense_backward stands in the file twice: the last one counts"]


@settings(max_examples=12)
@given(cut=st.integers(0, 9000), junk=st.sampled_from(["", "(", '"""', "\0", "\\", "\n\tx", "é", "\n)\n"]))
def test_a_file_that_is_cut_is_graded_or_refused_in_one_line(tmp_path_factory, cut, junk):
    text = filled(PIECES)
    path = tmp_path_factory.mktemp("cut") / "exam.py"
    path.write_text(text[:cut] + junk + text[cut:][: 40 * len(junk)], encoding="utf-8")
    if cut < text.index("\nEXAM = 1") + 9:
        with pytest.raises(ValueError, match="expected"):
            exam.grade(path)
    else:
        report = exam.grade(path)
        assert all("\n" not in finding for mark in report.marks for finding in mark.findings)
        whole = [name for name, source in PIECES.items() if text.index(source) + len(source) + 1 < cut and not junk]
        assert all(report[name].status == "passed" for name in whole)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89PNG\r\n\x1a\n\xff", "no UTF-8 text, expected Python code"),
        ("Dear teacher, I could not do it.", "expected an exam"),
        ("open('traces', 'w')\n", "a file without a line EXAM = ..."),
        ("open('traces', 'w')\nEXAM = 2\n", "an exam of version 2"),
        ("EXAM = [1]\n", "an exam of version [1]"),
        ("EXAM = 1\nBUG = -1\n", "BUG = -1"),
        ("EXAM = 1\nBUG = 2**64\n", "BUG = 2 ** 64"),
        ("EXAM = 1\n#" + "x" * (1 << 20), "more than 1048576 bytes"),
    ],
)
def test_what_is_no_exam_is_refused_and_not_run(graded, tmp_path, monkeypatch, content, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"exam\.py") as caught:
        graded(content)
    assert [path.name for path in tmp_path.iterdir()] == ["exam.py"]
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_package_holds_no_solution():
    """Every function asked for is a blank in the sheet, and needs nothing but NumPy."""
    tree = ast.parse(inspect.getsource(sheet))
    assert [ast.unparse(node) for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))] == [
        "import numpy as np"
    ]
    blanks = {
        node.name: "\n".join(map(ast.unparse, node.body[1:])) for node in tree.body if isinstance(node, ast.FunctionDef)
    }
    assert all(blanks[name] == "raise NotImplementedError" for name in subjects())


def test_the_page_says_what_is_printed(graded, tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[4] / "docs" / "exam.md").read_text()
    (answers,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    functions = {re.match(r"\w+", part)[0]: f"def {part.rstrip()}\n" for part in answers.split("def ")[1:]}
    (printed,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    assert f"{graded(filled(functions))}\n" == printed
    (teacher,) = re.findall(r"```python teacher\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(teacher, "docs/exam.md", "exec"), {})
    assert capsys.readouterr().out == "exam.py 0 not yet written\n"
    assert f"after {len(order()) - 1} they begin again" in page
