"""The columns of a table: which are features, which one holds labels, which are left out; and their numbers."""

import re
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .options import LABEL
from .text import MISSING, NUMBERS, TRUTH, is_plain, kind_of
from .values import are_whole

HEADER, DECIMAL, DROP = "header= (--header)", "decimal= (--decimal)", "drop= (--drop)"
ROW_NAMES = re.compile(r"(Unnamed: [0-9]+(\.[0-9]+)?)?")  # what pandas, R and spreadsheets call a column of row names
LIKELY_ROW_NAMES = re.compile(
    r"|(?i:(.*[^a-z])?(id|idx|index|key|rows?|row_?names?|no|nr))|.*[a-z]I[dD]|(__index_)?level_[0-9]+(__)?"
)
LIKELY_LABELS = ("class", "classes", "labels", "target", "y", "species", "digit", "category")
IMAGE_AND_LABEL = 785  # 28 x 28 pixels and one more


class Columns:
    """Takes row after row; ValueError, naming the file, line and field, for what is no number.

    Parameters
    ----------
    number, row : the first row of values and the number of its line; it still has to be added
    names : those of the columns, or None
    headed : whether they stood in a line of their own; words of a comment may be as many by chance
    delimiter, decimal : one character each
    options : a `ReadOptions`
    """

    def __init__(self, name, number, row, names, headed, delimiter, decimal, options):
        self._name, self._options, self._decimal = name, options, decimal
        self._keeps_all = options.drop is not None and not options.drop
        self._first, self._headed, self._number = number, headed, NUMBERS[decimal]
        names = None if names is None else [field.strip() for field in names]
        self._fields = len(row)
        width = _filled(row) or len(row)
        if names is not None:
            width, names = self._under(names, row, delimiter)
        self._width, self.names = width, names
        self._places: dict[str, list[int]] = {}
        for column, called in enumerate(names or ()):
            self._places.setdefault(called, []).append(column)
        drop = set() if options.drop is None else {self._find("drop", column) for column in options.drop}
        self.label = self._find_label(drop)
        if options.keep and set(options.keep) <= self._places.keys():
            asked = {column for name in options.keep for column in self._places[name]}
            drop |= {*range(width)} - asked - {self.label}
        self._unnamed = [column for column in self._row_names() if column != self.label]
        self._drop = sorted({*drop, *(column for column in self._unnamed if kind_of(row[column]) == "text")})
        if self.label in self._drop:
            self._refuse(f"got column {self.call(self.label)} for the labels and to drop, expected one of them")
        dropped = set(self._drop)
        self.kept = [column for column in range(width) if column not in dropped]
        if not self.kept:
            self._refuse("got no column beside those to drop, expected one at least")
        self._truths = {column for column in self.kept if kind_of(row[column]) == "truth"}
        self._values = array("d")
        self._texts = self.label is not None and kind_of(row[self.label]) == "text"  # for labels
        self._classes: dict[str, int] = {}  # each one's number in the order of the lines

    def _under(self, names, row, delimiter):
        """(width, names) where the names stand over such a row."""
        named = _filled(names)
        if len(row) >= named and not _filled(row[named:]) and named:
            return named, names[:named]
        if len(row) == len(names):
            return len(names), names
        if len(row) != named + 1:
            self._refuse(
                f"line {self._first}: got {len(row)} fields under {named} names, expected as many: "
                "nothing but comments after # may stand above the names; delimiter= (--delimiter)"
            )
        asked = self._options.delimiter or self._options.decimal or self._options.drop is not None
        if named == 1 and delimiter == "," and not asked and kind_of(row[0]) != "text":
            expected = f"one; a decimal comma? delimiter= (--delimiter) other than {delimiter!r}, or two names"
            self._refuse(f"line {self._first}: got 2 fields under 1 name, expected {expected}")
        return named + 1, ["", *names[:named]]  # R gives the column of row names no name

    def _row_names(self):
        """The leading columns without a name, if others have one."""
        if self._keeps_all or self.names is None:
            return []
        unnamed = [bool(ROW_NAMES.fullmatch(name)) for name in self.names]
        return [] if all(unnamed) else list(range(unnamed.index(False)))

    def _find_label(self, drop):
        if self._options.label is not None:
            return None if self._options.label == "" else self._find("label", self._options.label)
        found = [c for c, name in enumerate(self.names or ()) if name.lower() == "label" and c not in drop]
        if len(found) > 1:
            self._refuse(f"got {len(found)} columns named label, expected {LABEL} with the number of one, from 1")
        return found[0] if found and self._width > 1 else None

    def _find(self, option, wanted):
        """The column of that name, or of that number from 1, or from -1 backwards."""
        found = self._places.get(wanted, [])
        if len(found) > 1:
            self._refuse(f"{option}: got {wanted!r:.80}, the name of {len(found)} columns, expected a number")
        if found:
            return found[0]
        number = int(wanted) if re.fullmatch("-?[0-9]{1,9}", str(wanted)) else 0
        if not 1 <= abs(number) <= self._width:
            known = f" or one of {self._listed(range(self._width))}" if self.names else ""
            self._refuse(f"{option}: got {wanted!r:.80}, expected a number from 1 to {self._width}{known}")
        return number - 1 if number > 0 else self._width + number

    def add(self, number: int, row: list[str], plain: bool) -> None:
        """The values of one more row; plain says that whatever float() takes in it is a number."""
        if len(row) != self._fields and len(row) != self._width:
            self._refuse(f"line {number}: got {len(row)} fields, expected {self._fields}")
        if _filled(row[self._width :]):
            self._refuse(f"line {number}: got {len(row)} fields, expected {self._width} and nothing after them")
        if self._texts:
            row = [*row]
            row[self.label] = self._class_of(number, row[self.label].strip())
        row = [row[column] for column in self.kept] if self._drop else row[: self._width]
        if not self._truths:
            text = "\0".join(row)
            if (plain or is_plain(text)) and (self._decimal == "." or "." not in text):
                try:
                    self._values.extend(map(float, row if self._decimal == "." else text.replace(",", ".").split("\0")))
                    return
                except ValueError:
                    pass  # which one is told below
        self._values.extend([self._value(number, *pair) for pair in zip(self.kept, row, strict=True)])

    def _class_of(self, number, label):
        """The number of a label that is a text, as a text."""
        code = self._classes.get(label)
        if code is None:
            if kind_of(label) != "text":
                expected = f"a text, as in the lines before; {DROP} leaves the column out"
                self._refuse(f"line {number}, field {self.call(self.label)}: got {cut(label)!r}, expected {expected}")
            code = self._classes[label] = len(self._classes)
        return str(code)

    def _value(self, number, column, field):
        text = field.strip().replace("\u2212", "-")
        if column in self._truths and text.lower() in TRUTH:
            return TRUTH[text.lower()]
        if self._number.fullmatch(text) and column not in self._truths:
            return float(text.replace(",", "."))
        if text.lower() in MISSING:
            expected = f"a finite value: fill it in, or leave its row or, by {DROP}, its column out"
        elif kind_of(text) == "number" and column not in self._truths:
            expected = f"a number with {self._decimal!r} as decimal mark: {DECIMAL}; thousands must not be separated"
        elif column == self.label:
            expected = f"a whole number, as in the lines before, or a text in all; {DROP} leaves the column out"
        elif column in self._truths:
            expected = "True or False, as in the lines before"
        else:
            expected = f"a number; {DROP} leaves a column out, {LABEL} makes classes of it, delimiter= (--delimiter) "
            expected += "says what separates fields"
        self._refuse(f"line {number}, field {self.call(column)}: got {cut(text)!r}, expected {expected}")

    def parts(self, form: str) -> tuple[dict[str, Any], str]:
        """What `read_table` returns, once all rows are in; form is what it says of the lines."""
        table = np.frombuffer(self._values, np.float64).reshape(-1, len(self.kept))
        self._check_first_row(table)
        return self.parts_of(table, form, self._classes if self._texts else None)

    def parts_of(
        self, table: np.ndarray, form: str, classes: Iterable[str] | None = None
    ) -> tuple[dict[str, Any], str]:
        """The same of a table (rows, columns that are not dropped), whose labels are numbers of these classes."""
        left_out = sorted({*self._drop, *self._unnamed})
        counting = self._check_row_names(table)
        apart = {*left_out, self.label}
        places = [place for place, column in enumerate(self.kept) if column not in apart]
        features = [self.kept[place] for place in places]
        if not features:
            self._refuse("got labels and no features, expected a column of them")
        said = [form, f"{len(features)} features{f' {self._listed(features)}' if self.names else ''}"]
        said += [f"perhaps numbers of the rows: {self._listed(counting)}"] if counting else []
        if left_out:
            said.append(f"left out {self._listed(left_out)}{' (names of the rows)' * bool(self._unnamed)}")
        if self.label is None and self._options.label is None and len(features) == IMAGE_AND_LABEL:
            expected = f"{LABEL} to say which column holds labels, or '' for none"
            self._refuse(f"got {IMAGE_AND_LABEL} columns, an image of 28 x 28 and one more, expected {expected}")
        arrays: dict[str, Any] = {"train": table if features == self.kept else table[:, places]}
        if self.names:
            arrays["columns"] = tuple(self.names[column] for column in features)
        if self.label is None:
            self._expect_no_labels(table, features)
            said.append("no labels")
        else:
            labels = table[:, self.kept.index(self.label)]
            called = f"field {self.call(self.label)}"
            if not are_whole(labels).all():
                self._refuse(
                    f"{called}: got fractions or numbers beyond 2**53, expected whole numbers for labels: {LABEL}"
                )
            labels = labels.astype(np.int64)
            arrays["train_labels"] = labels if classes is None else np.array([*classes], object)[labels]
            said.append(f"labels in {called}")
        return arrays, "; ".join(said)

    def _expect_no_labels(self, table, features):
        """ValueError where a feature may be labels by its name, and nothing was said of them; beside an x, a y is a
        coordinate."""
        if self.names is None or self._options.label is not None:
            return
        known = {*(self._options.keep or ()), *("yY" if {"x", "X"} & {*self.names} else "")}
        for column in features:
            name, values = self.names[column], table[:, self.kept.index(column)]
            if name.lower() in LIKELY_LABELS and name not in known and (values == np.round(values)).all():
                expected = f"{LABEL} to make labels of them, or '' for none"
                self._refuse(f"field {self.call(column)}: got what may be labels, expected {expected}")

    def _check_first_row(self, table):
        """ValueError where the first row may be names: pandas writes the numbers of columns that have none."""
        if self._texts:
            table = np.delete(table, self.kept.index(self.label), axis=1)
        first, rest = table[0], table[1:]
        if self._headed or self._options.header is not None or not len(rest):
            return
        whole, rising = ((first >= 0) & (first == np.round(first))).all(), (np.diff(first) > 0).all()
        counts = whole and first[0] in (0, 1) and (np.diff(first) == 1).all()
        risen = (np.diff(rest, axis=1) > 0).all(axis=1) if rising else np.zeros(1, bool)
        broken = whole and len(np.unique(first)) == len(first) and (rest != np.round(rest)).any(axis=0).all()
        if (
            counts
            or broken
            or (whole and len(first) == 1)
            or (rising and ((whole and (not risen.all() or len(rest) < 10)) or (len(first) >= 8 and not risen.any())))
        ):
            got = ", ".join([f"{value:g}" for value in first[:2]] + ["..."] * (len(first) > 2))
            expected = f"{HEADER} to say whether these are names of columns, or --no-header for values"
            self._refuse(f"line {self._first}: got {got}, expected {expected}")

    def _check_row_names(self, table):
        """ValueError where a column may be the numbers of the rows, and may not; returns those that are kept since
        others were dropped by name."""
        unnamed, counting = set(self._unnamed), []
        for place, column in enumerate(self.kept):
            values = table[:, place]
            if column in unnamed:
                if not _are_distinct(values):
                    expected = f"{DROP} to leave it out, or a name for it"
                    self._refuse(f"field {self.call(column)}: got a column without a name, expected {expected}")
            elif not self._keeps_all and column != self.label and self._may_name_rows(table, place, column):
                if self._options.drop:
                    counting.append(column)
                    continue
                got = f"what may be numbers of the rows, {values[0]:g} to {values[-1]:g}"
                expected = f"{DROP} to leave them out, or to leave out no column"
                self._refuse(f"field {self.call(column)}: got {got}, expected {expected}")
        return counting

    def _may_name_rows(self, table, place, column):
        """Whether a column counts the rows, or is called as if it did and has no number twice. Without names the first
        may, all the more where no other column has whole numbers."""
        values, rows = table[:, place], len(table)
        likely = LIKELY_ROW_NAMES.fullmatch(self.names[column]) if self.names else column == 0
        if rows < (2 if likely else 10) or len(self.kept) == 1:
            return False
        if values[0] in (0, 1) and values[-1] == values[0] + rows - 1 and (np.diff(values) == 1).all():
            return True
        if self.names and re.fullmatch(
            "(__index_)?level_[0-9]+(__)?", self.names[column]
        ):  # pandas' parts of a row's name
            return True
        if not likely or not _are_distinct(values):
            return False
        others = np.delete(table, place, axis=1)
        return self.names is not None or bool((others != np.round(others)).any(axis=0).all())

    def call(self, column):
        """A column in a message: its number from 1 and its name."""
        return f"{column + 1}" + (f" ({cut(self.names[column])!r})" if self.names else "")

    def _listed(self, columns):
        names = [repr(cut(self.names[column])) if self.names else f"field {column + 1}" for column in columns]
        return ", ".join(names if len(names) <= 4 else [*names[:2], "...", names[-1]])

    def _refuse(self, what):
        raise ValueError(f"{self._name}: {what}")


def _are_distinct(values):
    """Whether these are whole numbers, none of them twice."""
    return bool((values == np.round(values)).all()) and len(np.unique(values)) == len(values)


def _filled(row):
    """The number of fields up to the last that holds anything."""
    width = len(row)
    while width and not row[width - 1].strip():
        width -= 1
    return width


def shown(names: Sequence[str]) -> str:
    """The first names of columns, as a message shows them."""
    return ", ".join(repr(cut(name)) for name in names[:6]) + ", ..." * (len(names) > 6)


def cut(field: str) -> str:
    """A field as messages show it."""
    return field if len(field) <= 40 else field[:37] + "..."
