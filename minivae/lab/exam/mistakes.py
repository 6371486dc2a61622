"""Mistakes that are made in the eight gradients, each as a whole function that makes it: what a wrong gradient is
compared with, and what "find the bug" serves.

Each has the arguments of the function of `sheet.py` that it stands for. The text ends "this is what one gets when ...".
"""

from collections.abc import Callable
from typing import Any, NamedTuple


class Mistake(NamedTuple):
    """function: the gradient; forward: the forward that is wrong as well, if it is."""

    subject: str
    text: str
    function: Callable[..., Any]
    forward: Callable[..., Any] | None


MISTAKES: list[Mistake] = []


def mistake(subject, text, forward=None):
    def add(function):
        MISTAKES.append(Mistake(subject, text, function, forward))
        return function

    return add
