"""What a check found, and how it reads."""

import re
from dataclasses import dataclass, field
from math import erf, prod, sqrt

import numpy as np

from . import showing


@dataclass(frozen=True)
class Coordinate:
    """One derivative judged: by index, or along a random direction (index None)."""

    index: tuple[int, ...] | None
    analytic: float
    numeric: float
    error: float  # estimated error of `numeric`
    tolerance: float
    kind: str = "smooth"
    left: float = np.nan
    right: float = np.nan
    bend: str = ""  # the output that bends, for a kink
    low: float = np.nan  # on a kink: the sum over the outputs of the smaller and of the larger slope
    high: float = np.nan
    sides: dict[int, tuple[float, float]] = field(default_factory=dict)  # on a kink: the same of the outputs that move
    straight: bool = False  # a wrong claim where no output bends at any step
    fault: str = ""  # why the claim on a kink is wrong though it is right beside it
    reach: float = 0.0  # what the derivative would be if the changes of the outputs did not cancel
    beside: "Coordinate | None" = None  # the same derivative judged a little way off the kink

    @property
    def wrong(self) -> bool:
        """Whether the difference exceeds the tolerance; on a kink, where there is no derivative, beside it."""
        if self.fault or self.kind in ("jump", "undefined"):
            return True
        if self.kind == "kink":
            return self.beside is not None and self.beside.wrong
        if self.beside is not None and self.beside.wrong:
            return True
        return not abs(self.analytic - self.numeric) <= self.tolerance

    @property
    def between(self) -> bool:
        """On a kink: whether the claim lies between the two slopes (several kinks in one place may put it outside)."""
        low, high = min(self.low, self.left, self.right), max(self.high, self.left, self.right)
        return low - self.tolerance <= self.analytic <= high + self.tolerance

    @property
    def excess(self) -> float:
        """The error in units of the tolerance."""
        if self.fault:
            return 2.0
        if self.beside is not None and (self.kind == "kink" or self.beside.wrong):
            return self.beside.excess
        if self.kind == "kink":
            return 0.0
        gap = abs(self.analytic - self.numeric)
        return gap / self.tolerance if self.tolerance > 0 else (np.inf if gap > 0 else 0.0)


@dataclass
class ArrayResult:
    """All that was judged of one array."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    coordinates: list[Coordinate] = field(default_factory=list)
    directions: list[Coordinate] = field(default_factory=list)
    scale: float = 0.0  # the largest derivative seen, claimed or measured
    rms: float = 0.0  # root mean square of the claimed gradient
    unresolved: int = 0  # coordinates whose tolerance exceeds a tenth of `scale`
    blind: bool = False  # nothing at all could be resolved
    diagnosis: str = ""
    parts: bool = False  # of complex numbers, with the real and the imaginary part as a last axis

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=int))

    @property
    def judged(self) -> list[Coordinate]:
        return self.coordinates + self.directions

    @property
    def wrong(self) -> list[Coordinate]:
        return [c for c in self.judged if c.wrong]

    @property
    def kinks(self) -> list[Coordinate]:
        return [c for c in self.judged if c.kind == "kink" and not c.wrong]

    @property
    def near_kinks(self) -> list[Coordinate]:
        return [c for c in self.judged if c.kind == "near kink" and not c.wrong]

    @property
    def worst(self) -> Coordinate:
        """The wrong coordinate with the largest error against its tolerance; else the worst of all."""
        pool = [c for c in self.wrong if c.index is not None] or self.wrong or self.coordinates or self.judged
        return max(pool, key=lambda c: c.excess)

    @property
    def relative_error(self) -> float:
        """Largest |analytic - numeric|, relative to the largest derivative of the array, over what is off kinks and not
        hidden by rounding.
        """
        resolved = [c for c in self.coordinates if c.tolerance <= 0.1 * self.scale]
        gaps = [abs(c.analytic - c.numeric) for c in resolved if c.kind in ("smooth", "near kink")]
        return float(max(gaps, default=0.0) / self.scale) if self.scale > 0 else 0.0

    @property
    def miss_probability(self) -> float:
        """Probability that one coordinate wrong by the array's rms gradient goes unseen.

        Every coordinate judged: 0. Else each direction d has independent standard normal entries, so an error e shows
        as <e, d>, normal with standard deviation |e| whatever its pattern, and is missed with probability
        erf(tolerance / (|e| sqrt 2)); several directions multiply.
        """
        return self.miss(self.rms)

    def miss(self, error: float) -> float:
        """The same for an error of any norm (one coordinate or many)."""
        if len(self.coordinates) >= self.size:
            return 0.0
        if error <= 0.0:
            return 1.0
        # On a kink nothing between the slopes is told apart.
        widths = [c.tolerance + (abs(c.right - c.left) if c.kind == "kink" else 0.0) for c in self.directions]
        return prod(erf(width / (error * sqrt(2.0))) for width in widths)

    @property
    def verdict(self) -> str:
        if self.wrong:
            return "wrong"
        if self.blind:
            return "unresolved"
        return "kinks" if self.kinks else "right"


@dataclass(repr=False)
class GradientReport:
    """Result of check_gradients; true when the check passed.

    Attributes
    ----------
    arrays : list of ArrayResult
    problems : list of (kind, sentence)
        What is wrong beside numbers, whether it stopped the check or not. The kinds, and what to do about each, are
        listed in docs/gradient-checking-your-code.md.
    notes : list of sentences
    elsewhere : where else it was checked, and what that cost, as a sentence
    evaluations, seconds : cost; `method` : "differences" or "complex step"
    """

    name: str
    dtype: str = ""
    arrays: list[ArrayResult] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    elsewhere: str = ""
    method: str = "differences"
    evaluations: int = 0
    seconds: float = 0.0
    allow_unresolved: bool = False
    cause: BaseException | None = None  # what the target raised
    words: dict[str, str] = field(default_factory=dict)  # for those of a gradient, where the claim is another

    @property
    def passed(self) -> bool:
        bad = {"wrong"} if self.allow_unresolved else {"wrong", "unresolved"}
        return not self.problems and not any(a.verdict in bad for a in self.arrays)

    def __bool__(self) -> bool:
        return self.passed

    def __getitem__(self, name: str) -> ArrayResult:
        return next(a for a in self.arrays if a.name == name)

    @property
    def relative_error(self) -> float:
        return max((a.relative_error for a in self.arrays), default=0.0)

    @property
    def kinks(self) -> int:
        return sum(len(a.kinks) for a in self.arrays)

    @property
    def near_kinks(self) -> int:
        return sum(len(a.near_kinks) for a in self.arrays)

    def reword(self, words: dict[str, str]) -> None:
        """Speak of something else than backward and dy: in what was found so far, and in the numbers."""
        self.words = words
        self.problems = [(kind, self._said(sentence)) for kind, sentence in self.problems]
        self.notes = [self._said(sentence) for sentence in self.notes]
        for array in self.arrays:
            array.diagnosis = self._said(array.diagnosis)

    def _said(self, sentence):
        """With other words; names in quotes stay, and those of arrays before their shape."""
        if not self.words:
            return sentence
        known = "|".join(map(re.escape, sorted(self.words, key=len, reverse=True)))
        return re.sub(rf"(?<!['\w])({known})\b(?!'| +\([\d)])", lambda found: self.words[found[1]], sentence)

    def __repr__(self) -> str:
        return f"GradientReport({str(self).partition(chr(10))[0]}; {len(self.arrays)} arrays)"

    @property
    def _head(self):
        head = "gradients right" if self.passed else "gradient check failed"
        return f"{head}: {self.name}" + (f" ({self.dtype}, {self.method})" if self.dtype else "")

    @property
    def _in_order(self):
        return sorted(self.arrays, key=lambda a: a.verdict not in ("wrong", "unresolved"))

    def _repr_html_(self) -> str:
        rows = []
        for array in self._in_order:
            first, *rest = (self._said(line).strip() for line in _array_lines(array, 0))
            rows.append((_title(array), array.verdict, [first.removeprefix(_title(array)).strip(), *rest]))
        return showing.gradients(self, self._head, rows)

    def __str__(self) -> str:
        lines = [self._head]
        lines += [f"  {sentence}" for _, sentence in self.problems]
        order = self._in_order
        width = max((len(_title(a)) for a in order), default=0)
        for array in order:
            lines += map(self._said, _array_lines(array, width))
        lines += [f"  note: {sentence}" for sentence in self.notes]
        lines += [f"  {self.elsewhere}"] if self.elsewhere else []
        return "\n".join(lines)


def _title(array):
    return f"{array.name} {array.shape[:-1]} complex" if array.parts else f"{array.name} {array.shape}"


def _array_lines(array, width):
    looked = f"{len(array.coordinates)} of {array.size} coordinates"
    if array.directions:
        looked += f", {len(array.directions)} directions"
    title = f"  {_title(array):{width}}  "
    if array.verdict == "wrong":
        wrong = [c for c in array.wrong if c.index is not None]
        counted = f"{len(wrong)} of {len(array.coordinates)} coordinates looked at"
        if array.directions:
            counted += f" and {len(array.wrong) - len(wrong)} of {len(array.directions)} directions"
        lines = [f"{title}WRONG at {counted}: {array.diagnosis}", "    " + _describe(array.worst, array.parts)]
    elif array.verdict == "unresolved":
        lines = [
            f"{title}NOT RESOLVED: errors up to {max(c.tolerance for c in array.judged):.1e} cannot be told from "
            f"rounding and the derivatives are at most {array.scale:.1e}; use float64 or larger weights in the loss"
        ]
    else:
        lines = [f"{title}{looked}, error {array.relative_error:.1e}"]
        if array.directions:
            lines[0] += f", one wrong coordinate missed with p {_small(array.miss_probability)}"
    if array.kinks:
        c = array.kinks[0]
        where = _place(c, array.parts) + c.bend
        beside = sum(k.beside is not None and k.beside.kind != "kink" for k in array.kinks)
        lines.append(
            f"    {len(array.kinks)} on a kink, first at {where}: slope {c.left:.6g} to the left, "
            f"{c.right:.6g} to the right, backward gives {c.analytic:.6g} ({'between' if c.between else 'outside'}); "
            f"{beside} judged beside it instead"
        )
    if array.near_kinks:
        c = array.near_kinks[0]
        where = _place(c, array.parts) + c.bend
        beside = sum(k.beside is not None for k in array.near_kinks)
        how = f"by smaller steps or ({beside}) beside it" if beside else "by smaller steps"
        lines.append(f"    {len(array.near_kinks)} near a kink, settled {how}, first at {where}")
    if array.unresolved and array.verdict != "unresolved":
        lines.append(f"    {array.unresolved} too small against rounding to be resolved to a tenth of the largest")
    return lines


def _place(coordinate, parts=False):
    if coordinate.index is None:
        return "a random direction"
    *index, part = coordinate.index if parts else (*coordinate.index, 0)
    return f"{index}, {('real', 'imaginary')[part]} part" if parts else str(index)


def _small(probability):
    return "< 1e-12" if probability < 1e-12 else f"= {probability:.1e}"


def _describe(c, parts=False):
    place = _place(c, parts)
    if c.kind == "jump":
        return f"worst at {place}: the function jumps here by {c.error:.1e}{c.bend}, there is no derivative"
    if c.kind == "undefined":
        return f"worst at {place}: it gives no finite value on either side, at any step"
    if c.fault:
        return f"worst at {place}{c.bend}: {c.fault}"
    if c.beside is not None and c.beside.wrong:
        return _describe(c.beside, parts) + f" (moved off the kink{c.bend} that lies here)"
    where = "along a random direction" if c.index is None else f"at {place}"
    return (
        f"worst {where}: backward gives {c.analytic:.9g}, differences give {c.numeric:.9g} +- {c.error:.0e}; "
        f"error {abs(c.analytic - c.numeric):.2e}, tolerance {c.tolerance:.1e}"
    )
