"""Tables: lines of numbers with a delimiter between them, under a line of names or none, as pandas, R and spreadsheets
write them.

What can be read in one way only is read; where a table leaves two, a ValueError names the option that settles it.
"""

import csv
import itertools
import re

import numpy as np

from ..errors import expect
from ..files.stream import Stream
from .columns import DROP, HEADER, Columns, cut
from .options import LABEL, ReadOptions
from .text import Lines, find_decimal, find_delimiter, form, is_comment, is_name, kind_of


def read_table(stream: Stream, options: ReadOptions) -> tuple[dict[str, np.ndarray], str]:
    """({"train": (rows, columns) float64}, how it was read), and "train_labels" (int64, or texts) where a column holds
    labels, and "columns" with the names of the features where there are such.

    Fields may be quoted with ". Lines that hold nothing, and comments after #, are skipped. stream is a
    `minivae.files.stream.Stream`; ValueError, naming line and field, where a field is no number or lines differ in
    length, and where an option is needed.
    """
    lines = Lines(stream, options.encoding)
    delimiter = options.delimiter or lines.declared or find_delimiter(lines)
    decimal = options.decimal or find_decimal(lines, delimiter)
    rows = _rows(lines, delimiter)
    head = [(lines.number, row) for row in itertools.islice(rows, 2)]
    expect(head, stream.name, "no numbers", "at least one line of them")
    names = _names(lines, delimiter, options, *(row for _, row in head))
    named_by = "no names" if names is None else "names in a comment"
    headed = names is head[0][1]
    if headed:
        named_by = f"names in line {head.pop(0)[0]}"
        expect(head, stream.name, "no numbers, only names", "at least one line of them")
    (number, first), *_ = head
    units = headed and len(first) > 1 and all(kind_of(field) == "text" for field in first)
    expected = "numbers below one line of names: titles and units stand in lines that start with #"
    expect(not units, f"{stream.name}: line {number}", cut(", ".join(first)), expected)
    columns = Columns(stream.name, *head[0], names, headed, delimiter, decimal, options)
    for number, row in head:
        columns.add(number, row, plain=False)
    lines.plain = True
    for row in rows:
        columns.add(lines.number, row, lines.plain)
        lines.plain = True
    form = f"fields separated by {delimiter!r}{' with decimal commas' * (decimal == ',')}, {named_by}"
    return columns.parts(form)


def _rows(lines, delimiter):
    """The rows that hold anything but a comment."""
    reader, width = lines.split_at(delimiter), None
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            place = f"{lines.name}: line {lines.number}"
            raise ValueError(f"{place}: quotes or a field that cannot be read ({error})") from error
        if row is None:
            return
        if len(row) < 2 and not (row and (row[0].strip() or '"' in lines.line)):
            continue
        width = width or len(row)
        if len(row) == width or not is_comment(row[0]):
            yield row


def _names(lines, delimiter, options, first, second=None):
    """The first row, or the fields of the comment before it, if they are names of columns; else None."""
    if options.header is not None:
        return first if options.header else None
    apart = [*(options.drop or ()), options.label]
    dropped = {int(column) % (len(first) + 1) for column in apart if re.fullmatch("-?[0-9]{1,9}", str(column))}
    kinds = ["dropped" if column in dropped else kind_of(field) for column, field in enumerate(first, 1)]
    texts = [column for column, kind in enumerate(kinds) if kind == "text"]
    below = [kind_of(field) for field in second or ()]
    counting = _count([field for field, kind in zip(first, kinds, strict=True) if kind == "number"])
    if texts:
        starts = [is_name(first[column].strip()) for column in texts]
        if "number" not in kinds:
            right = any(starts)
        else:  # beside columns with a name; a row with texts of its own may only look so
            right = (
                counting
                and kinds.count("number") > 1
                and all(starts)
                and all(below[column : column + 1] != ["text"] for column in texts)
            )
    else:
        unnamed = second is not None and not first[0].strip() and second[0].strip() and "number" in kinds
        if not unnamed:
            return _names_in_comment(lines, delimiter, len(first))
        right = counting and (len(first) > 2 or second[0].strip() == "0")  # else a value may be missing
    if not right:
        column = texts[0] if texts else 0
        expected = (
            f"a number; or {HEADER} to say whether the first line holds names, {LABEL} or {DROP} for a column apart"
        )
        expect(False, f"{lines.name}: line 1, field {column + 1}", cut(first[column].strip()), expected)
    return first


def _names_in_comment(lines, delimiter, width):
    """As numpy.savetxt writes them."""
    fields = next(csv.reader([(lines.comment or "").strip()], **form(delimiter)), [])
    return fields if len(fields) == width > 1 and any(map(is_name, fields)) else None


def _count(fields):
    """Whether texts are 0, 1, 2, ... as pandas calls columns that have no names."""
    return all(field.strip() == str(i) for i, field in enumerate(fields))
