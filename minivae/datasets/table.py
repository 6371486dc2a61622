"""CSV: lines of numbers with commas between them, under a line of names or none."""

import re
from array import array

import numpy as np

from ..errors import expect
from ..files.stream import Stream

LABEL = "label"
# What float() takes beyond a plain number is refused: 1_000, and the digits of other scripts.
NUMBER = re.compile(rb"[-+]?(\d+\.?\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|nan|inf(inity)?)", re.I)
LONGEST_LINE = 1 << 20


def read_csv(stream: Stream) -> dict[str, np.ndarray]:
    """{"train": (rows, columns) float64}, and "train_labels" (int64) from a column that is named `label`.

    The first line is one of names where no field of it is a number. Lines that hold nothing are skipped. stream is a
    `minivae.files.stream.Stream`; ValueError, naming the line, where the rest is not numbers, or lines differ in
    length.
    """
    values, names, columns = array("d"), None, 0
    for number, line in _lines(stream):
        fields = [field.strip().strip(b'"') for field in line.split(b",")]
        numbers = [NUMBER.fullmatch(field) is not None for field in fields]
        if not columns and not any(numbers):
            names, columns = fields, len(fields)
            continue
        columns = columns or len(fields)
        if len(fields) != columns:
            raise ValueError(f"{stream.name}: line {number}: got {len(fields)} fields, expected {columns}")
        if not all(numbers):
            column = numbers.index(False)
            place = f"{stream.name}: line {number}, field {column + 1}"
            raise ValueError(f"{place}: got {fields[column]!r:.80}, expected a number")
        values.extend(map(float, fields))
    expect(len(values), stream.name, "no numbers", "at least one line of them")
    table = np.frombuffer(values, np.float64).reshape(-1, columns)
    lowered = [name.lower() for name in names or ()]
    if LABEL.encode() not in lowered or columns == 1:
        return {"train": table.copy()}
    column = lowered.index(LABEL.encode())
    labels = table[:, column]
    whole = ((np.abs(labels) < 2**53) & (labels == np.round(labels))).all()
    expect(whole, f"{stream.name}: column {LABEL}", labels, "integers")
    return {"train": np.delete(table, column, axis=1), "train_labels": labels.astype(np.int64)}


def _lines(stream):
    """(number from 1, bytes without the line's end) of each line that holds anything."""
    rest, number = b"", 0
    while content := stream.more():
        *whole, rest = (rest + content).split(b"\n")
        place = f"{stream.name}: line {number + len(whole) + 1}"
        expect(len(rest) <= LONGEST_LINE, place, f"{len(rest)} bytes and no end", f"at most {LONGEST_LINE} bytes")
        for line in whole:
            number += 1
            if stripped := line.strip():
                yield number, stripped
    if rest.strip():
        yield number + 1, rest.strip()
