"""The lines of a table's text, and what they tell of how it is written: encoding, delimiter, decimal mark."""

import contextlib
import csv
import io
import re
from codecs import lookup

from ..errors import expect
from ..files.stream import CHUNK

LONGEST_LINE = 1 << 20  # characters
SAMPLE = 1 << 16  # characters or bytes, from which encoding, delimiter and decimal mark are told
STRONG = ",;\t|"  # delimiters that stand in no number but a decimal comma
NAMED = {"tab": "\t", "\\t": "\t", "space": " "}
MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe\0\0": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
# Those of which a message shows how they read what is not UTF-8: Chinese, Japanese, Korean, then Western and Central
# European and Cyrillic letters as Windows writes them, and those of old Macs.
ENCODINGS = ("gb18030", "big5", "cp932", "euc_jp", "cp949", "cp1252", "cp1250", "cp1251", "mac_roman")
SAVED = "encoding= (--encoding) to say what it is in, or the table saved as UTF-8"
SIGNS = "\u00b0\u00b2\u00b3\u00b7\u00a0\u2013\u2019\u20ac"  # no letters, but in names: of degrees, squares, ...
UNDECODED = re.compile(r"[\udc80-\udcff]")

# What float() takes beyond these is refused: 1_000, and the digits of other scripts. No part of a pattern can end where
# the next may begin, so that a match takes linear time.
NUMBERS = {mark: re.compile(rf"[-+]?([0-9]+([{mark}][0-9]*)?|[{mark}][0-9]+)([eE][-+]?[0-9]+)?") for mark in ".,"}
POINT, COMMA = NUMBERS.values()
GROUPED = re.compile(
    r"[-+]?[1-9][0-9]{0,2}([.,' \u2019\u00a0\u202f][0-9]{3})+([.,][0-9]*)?"
)  # in thousands, or thousandths
MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "<na>", "?", "-", "."}
MISSING |= {f"{sign}{word}" for sign in ("", "-", "+") for word in ("inf", "infinity", "nan")}
CELL_ERROR = re.compile("#(N/A|NV|[A-Z/0]+[!?])")  # a spreadsheet's, and no comment
TRUTH = {"true": 1.0, "false": 0.0}


class Lines:
    """The lines of a text one by one, ends kept, as `csv.reader` takes them; ValueError where it is none.

    Comments before the table, lines that start with "#", and Excel's first line "sep=;" are left out.

    Attributes
    ----------
    number, line : the last one handed out, and its number from 1
    plain : whether the lines handed out since it was set are such that whatever float() takes in them is a number
    sample : the first lines
    comment : the last comment before them, or None
    declared : the delimiter that the first line declares, or None
    """

    def __init__(self, stream, encoding=None):
        self.name, self.number, self.line, self.plain = stream.name, 0, "", True
        self.comment = self.declared = None
        self._blanks = False
        text = _decoded(stream, encoding)
        self._coming = self._read(text)
        first, length = [], 0
        for number, line in self._coming:
            first.append((number, line))
            length += len(line)
            if length > SAMPLE:
                break
        if first and (found := re.fullmatch(r'"?sep=(.)"?\s*', first[0][1])):
            self.declared = found[1]
            del first[0]
        self.sample = [line for _, line in first]
        self._first = iter(first)

    def split_at(self, delimiter):
        """An iterator over rows, lists of texts; at a blank, runs of blanks and tabs separate them."""
        self._blanks = delimiter == " "
        return csv.reader(self, **form(delimiter), strict=True)

    def __iter__(self):
        return self

    def __next__(self):
        self.number, self.line = next(self._first, None) or next(self._coming)
        line = self.line
        self.plain = self.plain and is_plain(line)
        return one_blank(line) if self._blanks else line

    def _read(self, text):
        """(number, line) of each line that is no comment."""
        number, started = 0, False
        line = self._line(text, 1).lstrip("\ufeff")  # a mark may have been written before another
        while line:
            number += 1
            after = self._line(text, number + 1)
            if not after and line.rstrip().endswith("\x1a"):  # how DOS ends a text
                line = line.rstrip()[:-1]
            for character, what in (("\0", "NUL, as in no text or one in UTF-16"), ("\x1a", "Ctrl-Z")):
                if character in line:
                    expect(False, f"{self.name}: line {number}", what, f"text: {SAVED}")
            if not started and is_comment(line):
                self.comment = line.strip().lstrip("#")
            else:
                started = started or bool(line.strip())
                yield number, line
            line = after

    def _line(self, text, number):
        try:
            line = text.readline(LONGEST_LINE)
        except UnicodeError as error:
            raise ValueError(f"{self.name}: line {number}: not text in its encoding ({error})") from error
        if not line.isascii() and UNDECODED.search(line):
            ways = _readings(line) if text.encoding == "utf-8" else ""
            got = f"bytes that are not {text.encoding.upper()}"
            expect(False, f"{self.name}: line {number}", got, SAVED + ways)
        if len(line) == LONGEST_LINE:
            got = f"{len(line)} characters and no end"
            expect(line[-1] in "\r\n", f"{self.name}: line {number}", got, f"fewer than {LONGEST_LINE}")
        return line


def _decoded(stream, encoding):
    """A text file over a `minivae.files.stream.Stream`, whose lines end in LF, CR or both; bytes that are none in its
    encoding become surrogates."""
    content = io.BufferedReader(_Raw(stream), CHUNK)
    start = content.peek(4)[:4]
    marked = next((name for mark, name in MARKS.items() if start.startswith(mark)), None)
    fits = not (marked and encoding) or lookup(encoding).name.startswith(marked)
    expect(fits, "encoding", encoding, f"none for {stream.name}, which has the mark of {marked and marked.upper()}")
    return io.TextIOWrapper(content, marked or encoding or "utf-8", "surrogateescape", newline="")


def _readings(line):
    """How a field of a line whose bytes are not UTF-8 reads in the encodings in which it may be a name."""
    field = next(filter(UNDECODED.search, re.split(r'[,;\t|"\r\n]', line)))
    ways: dict[str, str] = {}
    for encoding in ENCODINGS:
        with contextlib.suppress(UnicodeError):
            text = field.encode("utf-8", "surrogateescape").decode(encoding).strip()
            if all(c.isascii() or c.isalpha() or c in SIGNS for c in text):
                ways.setdefault(text, encoding)
    return ": " * bool(ways) + ", ".join(f"{encoding} reads {text[:12]!r}" for text, encoding in ways.items())


class _Raw(io.RawIOBase):
    """A `Stream` as Python's own readers take it."""

    def __init__(self, stream):
        self._stream, self._rest = stream, memoryview(b"")

    def readable(self):
        return True

    def readinto(self, buffer):
        self._rest = self._rest or memoryview(self._stream.more())
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def form(delimiter):
    """How `csv.reader` is to read fields."""
    return {"delimiter": delimiter, "skipinitialspace": True}


def one_blank(line):
    """The line with blanks for tabs and none at its end, as is read where blanks separate."""
    return line.replace("\t", " ").rstrip()


def is_plain(text):
    """Whether what float() takes of it is a number as NUMBERS has it: not 1_000, nan or digits of other scripts."""
    return text.isascii() and "_" not in text and "n" not in text and "N" not in text


def is_comment(line):
    """Whether a line, or its first field, starts as a comment does."""
    return line.lstrip().startswith("#") and not CELL_ERROR.match(line.lstrip())


def kind_of(field):
    """ "number" (with either decimal mark, or marks between thousands, to be refused), "missing" (or not finite),
    "truth" or "text"."""
    field = field.strip().replace("\u2212", "-")
    if POINT.fullmatch(field) or COMMA.fullmatch(field) or GROUPED.fullmatch(field):
        return "number"
    lowered = field.lower()
    if lowered in MISSING:
        return "missing"
    return "truth" if lowered in TRUTH else "text"


def is_name(field):
    """Whether a text starts as names of columns do; numbers in a form that is not read do not."""
    return field[:1].isalpha() or field[:1] in ("_", "(")


def find_delimiter(lines):
    """The delimiter of a table from its first lines; ValueError where more than one makes a table of it."""
    tables = {mark: _sample(lines, mark) for mark in STRONG}
    right = [mark for mark, rows in tables.items() if _is_table(rows)]
    if len(right) > 1:
        found = " or ".join(map(repr, right))
        expect(False, lines.name, f"a table with {found} between fields", "delimiter= (--delimiter) to say which")
    if right:
        if right[0] == "," and (cut := _half_number(tables[","])):
            expected = "delimiter= (--delimiter) to say that commas separate fields, or what else does"
            expect(False, f"{lines.name}: perhaps behind a decimal comma", cut, expected)
        return right[0]
    tables[" "] = _sample(lines, " ")
    if _is_table(tables[" "]):
        return " "
    # None makes a whole table: by the one that comes nearest, the message says what is amiss.
    return max(tables, key=lambda mark: _share(tables[mark]))


def _sample(lines, delimiter):
    """Rows of the sample; the last, which may be cut inside quotes, matters little."""
    first = lines.sample[:100]
    first = map(one_blank, first) if delimiter == " " else first
    try:
        rows = [row for row in csv.reader(first, **form(delimiter)) if any(map(str.strip, row))]
    except csv.Error:
        return []
    for row in rows:
        while len(row) > 1 and not row[-1].strip():
            row.pop()
    return rows


def _is_table(rows):
    """Whether all rows but the first, a header perhaps, have as many fields, two or more, and all but row names are
    numbers."""
    body = rows[1:] or rows
    width = len(body[0]) if body else 0
    if width < 2 or any(len(row) != width for row in body):
        return False
    named = all(is_name(row[0]) or kind_of(row[0]) != "text" for row in body)
    return named and all(kind_of(field) != "text" for row in body for field in row[1:])


def _half_number(rows):
    """A field that may be what is behind a decimal comma: 05, which no one writes for 5, or one of two whole numbers
    that make a number of each line."""
    fields = (field for row in rows for field in row[1:])
    padded = next((field for field in fields if re.fullmatch("0[0-9]+", field)), None)
    whole = all(re.fullmatch(r"[-+]?[0-9]+,[0-9]+", ",".join(row)) for row in rows)
    return padded or (rows[0][1] if whole else None)


def _share(rows):
    fields = [field for row in rows[1:] or rows if len(row) > 1 for field in row]
    return sum(kind_of(field) == "number" for field in fields) / len(fields) if fields else 0.0


def find_decimal(lines, delimiter):
    """The decimal mark: a comma where a field has one that cannot separate thousands, and none has a point; ValueError
    where points can, as Europeans write them in a table with semicolons."""
    fields = [field.strip().replace("\u2212", "-") for row in _sample(lines, delimiter) for field in row]
    if points := [field for field in fields if "." in field and POINT.fullmatch(field)]:
        plain = delimiter != ";" or not all(map(GROUPED.fullmatch, points))
        expected = "decimal= (--decimal) to say that points are decimal marks, or no marks between thousands"
        expect(plain, f"{lines.name}: perhaps thousands", points[0], expected)
        return "."
    commas = [field for field in fields if "," in field and COMMA.fullmatch(field)]
    return "," if any(not GROUPED.fullmatch(field) for field in commas) else "."
