"""Tables in many dialects, as pandas, R, NumPy and spreadsheets write them: read as meant, or refused with the option.

    python -m benchmarks.tables [--tables 200] [--seed 0]        (needs pandas)

Each table is drawn, written by pandas or by hand, and read by `minivae.load_dataset` without a hint. What it gives is
compared with what pandas reads from the same bytes when told the writer's dialect. A table may be refused by one line,
which must name an option or the line and field of a missing value; told the dialect, the options must then read it. A
final JSON line counts what became of them; a table that is misread ends the run with its bytes printed.
"""

import argparse
import io
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from minivae import load_dataset

OPTIONS = ("encoding=", "delimiter=", "decimal=", "header=", "label=", "drop=")

# What is drawn for each table; `write` says what becomes of it.
CHOICES = {
    "writer": ("pandas", "pandas", "R", "spreadsheet", "numpy"),
    "rows": (2, 3, 5, 12),
    "columns": (1, 2, 3, 6, 12),
    "values": ("floats", "rounded", "large", "small", "whole", "bytes", "truths", "mixed", "missing"),
    "names": ("letters", "numbers", "some numbers", "phrases", "awkward", "none"),
    "label": (None, None, "label", "Label", "class", "texts"),
    "row_names": (None, "counted", "shuffled", "texts", "named"),
    "delimiter": (",", ";", "\t", "|", " "),
    "decimal": (".", ","),
    "quoting": (0, 1, 2),
    "end": ("\n", "\r\n", "\r"),
    "encoding": ("utf-8", "utf-8-sig", "utf-16", "latin-1"),
    "extra": (None, None, "sep", "trailing", "comment", "blank", "ctrl-z"),
    "seed": range(1 << 16),
}


def draw(rng):
    """One choice of each kind, as a dict."""
    return {key: options[int(rng.integers(len(options)))] for key, options in CHOICES.items()}


def frame(choice):
    """(features, labels or None) of a table: a data frame and whole numbers or texts."""
    rng = np.random.default_rng(choice["seed"])
    shape = choice["rows"], choice["columns"]
    kinds = {
        "floats": lambda: rng.standard_normal(shape),
        "rounded": lambda: rng.random(shape).round(3),
        "large": lambda: rng.standard_normal(shape) * 1e9,
        "small": lambda: rng.random(shape) * 1e-9,
        "whole": lambda: rng.integers(-5, 1200, shape),
        "bytes": lambda: rng.integers(0, 256, shape),
        "truths": lambda: rng.random(shape) < 0.5,
    }
    if choice["values"] in kinds:
        values = pd.DataFrame(kinds[choice["values"]]())
    else:
        drawn = [list(kinds.values())[int(rng.integers(len(kinds)))]()[:, 0] for _ in range(shape[1])]
        values = pd.DataFrame(dict(enumerate(drawn)))
    if choice["values"] == "missing":
        values = values.astype(float)
        values.iloc[int(rng.integers(shape[0])), int(rng.integers(shape[1]))] = np.nan
    letters = "bcdefghijkma"
    styles = {
        "letters": [letters[i] for i in range(shape[1])],
        "phrases": [f"height {i} (cm)" for i in range(shape[1])],
        "awkward": [f'caf\xe9, "{letters[i]}"; x' for i in range(shape[1])],
        "some numbers": sorted(rng.choice(1000, shape[1], replace=False).tolist()),
    }
    values.columns = styles.get(choice["names"], list(range(shape[1])))
    labels = None if choice["label"] is None else rng.integers(0, 10, shape[0])
    if choice["label"] == "texts":
        labels = np.array(["cat", "dog", "naval officer"])[labels % 3]
    if choice["row_names"] in ("shuffled", "texts"):
        order = rng.permutation(shape[0] + 3)[: shape[0]] + 7
        values.index = [f"row {i}" for i in order] if choice["row_names"] == "texts" else order
    if choice["row_names"] == "named":
        values.index.name = "id"
    return values, labels


def write(choice):
    """(bytes, dialect): a table, and how pandas is to be told to read it, with the label's place or None beside it."""
    values, labels = frame(choice)
    table = values.copy()
    if labels is not None:
        name = "label" if choice["label"] == "texts" else choice["label"]
        table.insert(int(choice["seed"]) % 2 * table.shape[1], name, labels)
    writer, delimiter, decimal = choice["writer"], choice["delimiter"], choice["decimal"]
    header, index = choice["names"] != "none", choice["row_names"] is not None
    if writer == "numpy":  # numbers alone
        decimal, index = ".", False
        table = table.select_dtypes(["number", "bool"])
        out = io.BytesIO()
        names = delimiter.join(map(str, table.columns)) if header and choice["names"] == "letters" else ""
        np.savetxt(out, table.astype(float), delimiter=delimiter, header=names)
        text, header = out.getvalue().decode(), False
    elif writer == "R":
        delimiter = ";" if delimiter == decimal else delimiter
        table = table.rename(columns={name: f"V{name}" for name in table if isinstance(name, int)})
        text = as_r(table, delimiter, decimal, index)
        header = True
    else:
        if writer == "spreadsheet":
            table = table.rename(columns=str)
            delimiter, decimal = (";", ",") if decimal == "," else (delimiter, decimal)
        quoting = choice["quoting"] if writer == "pandas" else 0
        settings = {"sep": delimiter, "decimal": decimal, "index": index, "header": header, "quoting": quoting}
        text = table.to_csv(lineterminator="\n", **settings)
    text = with_extra(text, choice, delimiter)
    label = None if labels is None or (writer == "numpy" and labels.dtype.kind not in "iu") else list(table).index(name)
    encoding = "utf-8" if choice["encoding"] == "latin-1" and max(text) > "\xff" else choice["encoding"]
    content = text.replace("\n", choice["end"]).encode(encoding)
    told = header or (writer == "numpy" and choice["names"] == "letters")
    dialect = {"sep": delimiter, "decimal": decimal, "index": index, "header": header, "columns": list(table)}
    return content, dialect | {"label": label, "encoding": encoding, "named": told and choice["label"] != "class"}


def as_r(table, delimiter, decimal, row_names):
    """As write.table, or write.csv where commas or semicolons separate: its header has no name for the row names."""

    def cell(value):
        if isinstance(value, str):
            return '"' + value.replace('"', '""') + '"'
        if isinstance(value, (bool, np.bool_)):
            return str(value).upper()
        return "NA" if value != value else f"{value:.15g}".replace(".", decimal)

    short = delimiter not in ",;"
    head = ([] if short or not row_names else ['""']) + [cell(str(name)) for name in table.columns]
    lines = [delimiter.join(head)]
    for name, row in zip(table.index, table.itertuples(index=False), strict=True):
        lines.append(delimiter.join(([cell(str(name))] if row_names else []) + [cell(value) for value in row]))
    return "\n".join(lines) + "\n"


def with_extra(text, choice, delimiter):
    extra, lines = choice["extra"], text.rstrip("\n").split("\n")
    if extra == "sep" and choice["writer"] == "spreadsheet":
        lines.insert(0, f"sep={delimiter}")
    if extra == "trailing" and choice["writer"] == "spreadsheet" and delimiter != " " and choice["names"] != "awkward":
        lines = [line + 2 * delimiter for line in lines]
    if extra == "comment" and choice["writer"] != "spreadsheet":
        lines.insert(0, "# made in May, by me")
    if extra == "blank":
        lines += ["", ""]
    return "\n".join(lines) + "\n" + ("\x1a" if extra == "ctrl-z" and choice["encoding"] != "utf-16" else "")


def meant(content, dialect):
    """What pandas reads when told the dialect: (features, labels or None), or None where not all is numbers."""
    text = content.decode(dialect["encoding"]).replace("\r\n", "\n").replace("\r", "\n").rstrip("\x1a")
    lines = [line for line in text.split("\n") if not line.startswith(("#", "sep="))]
    width = len(dialect["columns"])
    form = {"sep": dialect["sep"], "decimal": dialect["decimal"], "header": None, "skiprows": int(dialect["header"])}
    first = int(dialect["index"])
    frame = pd.read_csv(io.StringIO("\n".join(lines)), **form).iloc[:, first : first + width]
    label = dialect["label"]
    labels = None if label is None else frame.iloc[:, label]
    features = frame if label is None else frame.drop(columns=frame.columns[label])
    if labels is not None and labels.dtype.kind not in "biuf":
        labels = pd.Series(np.unique(labels.astype(str), return_inverse=True)[1])  # classes in the order of their names
    numbers = all(kind.kind in "biuf" for kind in features.dtypes) and (labels is None or labels.dtype.kind in "iuf")
    if not numbers or features.isna().any(axis=None) or not features.shape[1]:
        return None
    return features.to_numpy(float), None if labels is None else labels.to_numpy()


def rows_of(features, labels):
    """Rows in an order that does not depend on a split, labels in their last column."""
    table = features if labels is None else np.column_stack([features, labels])
    return table[np.lexsort(table.T)]


def all_rows(data):
    """Of a `Dataset`, train and test."""
    labels = None if data.train_labels is None else np.concatenate([data.train_labels, data.test_labels])
    return rows_of(np.concatenate([data.train, data.test]).astype(float), labels)


def judge(path, choice):
    """ "read", "refused, then read with its options" or "refused"; AssertionError where a table is misread."""
    content, dialect = write(choice)
    path.write_bytes(content)
    expected = meant(content, dialect)
    told = {"delimiter": dialect["sep"], "decimal": dialect["decimal"], "header": dialect["header"]}
    told |= {"encoding": dialect["encoding"] if dialect["encoding"] == "latin-1" else None}
    told |= {"drop": [1] if dialect["index"] else [], "label": ""}
    if dialect["label"] is not None:
        told["label"] = dialect["label"] + 1 + dialect["index"]
    try:
        got, outcome = all_rows(load_dataset(path)), "read"
    except ValueError as error:
        message, outcome, got = str(error), "refused, then read with its options", None
        named = any(option in message for option in OPTIONS)
        assert "\n" not in message, message
        assert len(message) < 400, message
        assert named or ": line " in message, message
    if expected is None:
        assert got is None, (choice, content, got)
        return "refused: not all numbers"
    features, labels = expected
    if dialect["index"] and not dialect["header"] and got is not None and got.shape[1] > features.shape[1]:
        # Numbers in no order under no name: nobody can tell them from a feature. What was read is said.
        outcome, got = "read, the row names as a feature", None
    if labels is not None and not dialect["named"] and got is not None:  # a feature, as far as anyone can tell
        assert_same(got, rows_of(np.insert(features, dialect["label"], labels, axis=1), None), choice, content)
    elif got is not None:
        assert_same(got, rows_of(features, labels), choice, content)
    assert_same(all_rows(load_dataset(path, **told)), rows_of(features, labels), choice, content)
    return outcome


def assert_same(got, expected, choice, content):
    same = got.shape == expected.shape and np.allclose(got, expected, rtol=1e-12, atol=0)
    assert same, (choice, content, got, expected)


def main():
    parser = argparse.ArgumentParser(description="Read tables in many dialects.")
    parser.add_argument("--tables", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng, outcomes = np.random.default_rng(args.seed), Counter()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.tables):
            outcomes[judge(Path(folder) / "table.csv", draw(rng))] += 1
    print(json.dumps({"tables": args.tables, **outcomes}))


if __name__ == "__main__":
    main()
