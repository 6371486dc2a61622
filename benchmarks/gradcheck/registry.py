"""How a family is written: a function that makes a target, its inputs and the options of the check from seeded data."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

FLOATS = ("float64", "float32")


class Data:
    """Seeded arrays of one dtype."""

    def __init__(self, seed=0, dtype="float64"):
        self.rng, self.dtype = np.random.default_rng(seed), np.dtype(dtype)

    def normal(self, *shape, scale=1.0):
        return np.asarray(scale * self.rng.standard_normal(shape)).astype(self.dtype)

    def uniform(self, low, high, *shape):
        return np.asarray(self.rng.uniform(low, high, shape)).astype(self.dtype)

    def complex(self, *shape):
        values = self.rng.standard_normal(shape) + 1j * self.rng.standard_normal(shape)
        return values.astype(np.result_type(self.dtype, np.complex64))


@dataclass(frozen=True)
class Case:
    """One call of check_gradients, and what it should answer.

    expected : "right" or "wrong"
    says : a regular expression for what a reader must be told: the array, or the circumstance
    """

    name: str
    build: Callable[[], tuple]
    expected: str
    says: str = ""


@dataclass(frozen=True)
class Family:
    """`build(data, bug)` -> (target, inputs) or (target, inputs, options); bug None is the right version."""

    name: str
    build: Callable
    bugs: dict[str, str]
    dtypes: tuple[str, ...]

    def right(self, seed, dtype="float64"):
        return Case(f"{self.name} {dtype} {seed}", lambda: self.build(Data(seed, dtype), None), "right")

    def wrong(self, bug, seed=0):
        dtype = "float32" if bug.endswith("float32") else "float64"
        return Case(f"{self.name}.{bug}", lambda: self.build(Data(seed, dtype), bug), "wrong", self.bugs[bug])


FAMILIES: dict[str, Family] = {}


def register(name, build, bugs, dtypes=FLOATS):
    FAMILIES[name] = Family(name, build, bugs, dtypes)


def family(dtypes=FLOATS, said=None, **arrays):
    """Registers a builder under its own name. Of each bug a report must name the array, `x="one_bug another_bug"`, or
    say something else, `said={"regular expression": "third_bug"}`.
    """
    patterns = {rf"\b{array}\b": names for array, names in arrays.items()} | (said or {})
    bugs = {bug: pattern for pattern, names in patterns.items() for bug in names.split()}

    def registered(build):
        register(build.__name__, build, bugs, dtypes)
        return build

    return registered


def complaints(report):
    """What a report says against the target: its text without the head, the notes and the arrays that are right."""
    problems = {sentence for _, sentence in report.problems}
    kept, keep = [], False
    for line in str(report).splitlines()[1:]:
        if not line.startswith("   "):
            keep = line.strip() in problems or "WRONG" in line or "NOT RESOLVED" in line
        if keep:
            kept.append(line)
    return "\n".join(kept)


def judged(case, check):
    """(verdict, text): the verdict is "ok", "refused", "missed", "unclear" or "raised"."""
    target, inputs, *options = case.build()
    try:
        report = check(target, inputs, **(options[0] if options else {}))
    except Exception as error:
        return "raised", f"{type(error).__name__}: {error}"
    if case.expected == "right":
        return "ok" if report else "refused", str(report)
    if report:
        return "missed", str(report)
    return "ok" if re.search(case.says, complaints(report), re.IGNORECASE) else "unclear", str(report)


def sigmoid(x):
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def softmax(x):
    shifted = np.exp(x - x.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def one_hot(labels, like):
    """Rows of the identity, in the shape and dtype of `like`."""
    return np.eye(like.shape[-1], dtype=like.dtype)[labels]
