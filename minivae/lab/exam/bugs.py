"""Files for the student: the exam, and "find the bug", one function with one mistake in it."""

import inspect
from pathlib import Path

from ...errors import expect_seed
from . import sheet
from .mistakes import MISTAKES, Mistake
from .subjects import subjects

HEAD = '''"""Find the bug: in one of the last two functions there is one mistake, something wrong or left out.

Mend it, and see whether it is gone:

    minivae lab exam {name}

What the functions take and return, the text under their names says, and that is right.
"""

import numpy as np

EXAM = {version}  # leave these two numbers: the grader goes by them
BUG = {number}
'''


def order() -> list[Mistake]:
    """All mistakes, each subject in turn."""
    turns = [[m for m in MISTAKES if m.subject == name] for name in subjects()]
    return [turn[i] for i in range(max(map(len, turns))) for turn in turns if i < len(turn)]


def of_number(number: int) -> Mistake:
    bugs = order()
    return bugs[number % len(bugs)]


def text(number: int) -> str:
    """The file of a bug: the forward, and the function that is asked for, one of them wrong."""
    mistake = of_number(number)
    subject = subjects()[mistake.subject]
    functions = [(getattr(sheet, name), name) for name in subject.forwards]
    if mistake.forward:
        functions[-1] = mistake.forward, subject.forwards[-1]
    parts = [_source(function, name) for function, name in [*functions, (mistake.function, subject.backward)]]
    head = HEAD.format(name=f"bug-{number}.py", version=sheet.EXAM, number=number)
    return "\n\n".join([head, *parts])


def _source(function, name):
    """The function under that name, with what the sheet says of it."""
    source = inspect.getsource(function)
    source = source[source.index("def ") :]
    if function is getattr(sheet, name):
        return source
    signature, body = source.split("\n", 1)
    signature = signature.replace(function.__name__, name, 1)
    said = inspect.getsource(getattr(sheet, name)).split('"""')[1]
    return f'{signature}\n    """{said}"""\n{body}'


def write(folder) -> Path:
    """The exam, as exam.py in a folder, which is made. ValueError where there is one already."""
    return _new(Path(folder) / "exam.py", inspect.getsource(sheet))


def write_bug(folder, number: int | None = None) -> Path:
    """A bug, as bug-NUMBER.py in a folder, which is made; without a number the first that is not there yet.

    ValueError where that file is there already.
    """
    folder = Path(folder)
    if number is None:
        number = next(i for i in range(2**64) if not (folder / f"bug-{i}.py").exists())
    return _new(folder / f"bug-{expect_seed(number)}.py", text(number))


def _new(path, content):
    """Writes a file that is not there yet, whole: a student's answers are never written over."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make the folder {path.parent}: {error.strerror or error}") from error
    try:
        with open(path, "x", encoding="utf-8", newline="\n") as file:
            file.write(content)
    except FileExistsError as error:
        raise ValueError(f"{path}: it is there already, expected a new file: answers are not written over") from error
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}") from error
    return path
