"""How a user's data are to be read, where their content does not tell."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import expect
from .text import NAMED

LABEL, ARRAY, SHAPE = "label= (--labels)", "array= (--array)", "image_shape= (--image-shape)"

# What takes an option that not everything takes.
TAKERS = {
    "encoding": "a table (.csv, .tsv or .txt)",
    "delimiter": "a table (.csv, .tsv or .txt)",
    "decimal": "a table (.csv, .tsv or .txt)",
    "header": "a table (.csv, .tsv or .txt)",
    "label": "a table, a data frame or an NPZ file",
    "drop": "a table or a data frame",
    "array": "an NPZ file",
    "image_shape": "a file or a data frame",
    "transpose": "a file or a data frame",
}


@dataclass(frozen=True)
class ReadOptions:
    """The options of `load_dataset` that say how to read; ValueError for what is none. Of a table that has all columns
    named in keep, others beside the labels are left out.
    """

    delimiter: str | None = None
    decimal: str | None = None
    header: bool | None = None
    label: str | int | None = None
    drop: Sequence[str | int] | None = None
    array: str | None = None
    image_shape: Sequence[int] | None = None
    transpose: bool | None = None
    encoding: str | None = None
    keep: Sequence[str] | None = None

    def __post_init__(self):
        mark = NAMED.get(self.delimiter, self.delimiter) if isinstance(self.delimiter, str) else self.delimiter
        one = isinstance(mark, str) and len(mark) == 1 and not mark.isalnum() and mark not in '"\r\n\0+-.#_'
        expect(mark is None or one, "delimiter", self.delimiter, "one character such as ';', 'tab' or 'space'")
        object.__setattr__(self, "delimiter", mark)
        known = self.decimal is None or self.decimal in (".", ",")
        expect(known, "decimal", self.decimal, "'.' or ','")
        expect(self.label is None or _names_a_column(self.label), "label", self.label, "a column's name or number")
        drop = [self.drop] if isinstance(self.drop, (str, int)) else self.drop
        named = drop is None or (isinstance(drop, (list, tuple)) and all(map(_names_a_column, drop)))
        expect(named, "drop", self.drop, "columns' names or numbers in a list")
        object.__setattr__(self, "drop", drop)
        expect(self.array is None or isinstance(self.array, str), "array", self.array, "the name of an array")
        try:
            io.TextIOWrapper(io.BytesIO(), "utf-8" if self.encoding is None else self.encoding)
        except (LookupError, ValueError, TypeError):
            expect(False, "encoding", self.encoding, "the name of an encoding, such as 'cp1252', 'gb18030' or 'cp949'")
        for name in ("header", "transpose"):
            value = getattr(self, name)
            expect(value is None or isinstance(value, bool), name, value, "True or False")
        shape: Any = self.image_shape
        sides = isinstance(shape, (list, tuple)) and all(type(n) is int and n > 0 for n in shape)
        right = sides and (len(shape) == 2 or (len(shape) == 3 and {shape[0], shape[2]} & {1, 3}))
        expected = "(height, width), (height, width, 3) or (3, height, width)"
        expect(shape is None or right, "image_shape", shape, expected)

    def expect_only(self, name: str, what: str, *taken: str) -> None:
        """Raises ValueError where one is given that data of this kind do not take."""
        for option, taker in TAKERS.items():
            value = getattr(self, option)
            expect(value is None or option in taken, option, value, f"{taker} with it; {name} is {what}")


def _names_a_column(value):
    return isinstance(value, (str, int)) and not isinstance(value, bool)
