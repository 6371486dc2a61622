"""Exams as students hand them in: the sheet with functions put in the place of its blanks."""

import inspect
import re

from minivae.lab.exam import sheet
from minivae.lab.exam.subjects import subjects

from . import solution

SOLUTIONS = {name: inspect.getsource(getattr(solution, name)) for name in subjects()}


def filled(functions, text=None):
    """The sheet, or this text, with these functions, of which only the last name before the bracket is changed."""
    text = inspect.getsource(sheet) if text is None else text
    for name, source in functions.items():
        blank = re.compile(rf"^def {name}\(.*?(?=^(?:\S|\Z))", re.MULTILINE | re.DOTALL)
        assert len(blank.findall(text)) == 1, name
        text = blank.sub(lambda _, source=source: source + "\n\n", text)
    return text
