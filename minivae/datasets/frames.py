"""pandas data frames, and Parquet files, which are read as such: columns of numbers, one of them perhaps labels."""

import importlib
from numbers import Number
from typing import Any

import numpy as np

from ..errors import expect
from ..files.opening import regular_file
from ..files.stream import unreadable
from .columns import DROP, Columns, cut
from .npz import LARGEST_UNPACKED
from .options import LABEL, ReadOptions

OBJECTS = (
    "decimal",
    "integer",
    "floating",
    "mixed-integer-float",
    "boolean",
    "empty",
)  # that are numbers, or all missing


def require(module: str) -> Any:
    """An optional package; ValueError, with the command that installs it, where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(f"{module} is not installed, and is needed here: pip install 'minivae[data]'") from error


def is_frame(value: Any) -> bool:
    """Whether it is a `pandas.DataFrame`, without importing pandas."""
    kinds = type(value).__mro__
    return any(kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas" for kind in kinds)


def read_parquet(path: Any, options: ReadOptions) -> tuple[dict[str, Any], str]:
    """What `read_frame` returns for a Parquet file."""
    with regular_file(path) as (name, file, _):
        parquet = require("pyarrow.parquet")
        require("pandas")
        try:
            opened = parquet.ParquetFile(file)
            metadata, fields = opened.metadata, list(opened.schema_arrow)
            columns = [metadata.schema.column(place) for place in range(metadata.num_columns)]
            groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
            size = sum(_claimed(group, place, column) for group in groups for place, column in enumerate(columns))
        except Exception as error:  # damaged bytes make it raise more than its own
            raise unreadable(name, error) from error
        expect(size <= LARGEST_UNPACKED, name, f"a claim of {size} bytes unpacked", f"at most {LARGEST_UNPACKED}")
        is_nested = require("pyarrow").types.is_nested
        for number, column in enumerate(fields, 1):
            # Told before they are read: a few bytes can hold very many equal values in lists.
            fits = options.drop is not None or options.keep or not is_nested(column.type)
            called = f"{name}: field {number} ({cut(column.name)!r})"
            expect(fits, called, cut(str(column.type)), f"numbers; {DROP} leaves a column out")
        # Each different text once, however many rows have it.
        texts = [
            column.path
            for column in columns
            if column.physical_type == "BYTE_ARRAY" and column.logical_type.type != "DECIMAL"
        ]
        try:
            frame = parquet.ParquetFile(file, read_dictionary=texts).read().to_pandas()
        except Exception as error:
            raise unreadable(name, error) from error
    return read_frame(name, frame, options)


def _claimed(group, place, column):
    """Bytes that a column of a row group takes unpacked."""
    chunk = group.column(place)
    return max(chunk.total_uncompressed_size, chunk.num_values * max(8, column.length or 0))


def read_frame(name: str, frame: Any, options: ReadOptions) -> tuple[dict[str, Any], str]:
    """({"train": (rows, columns) float64, "columns": their names}, how it was read) of a data frame, and "train_labels"
    where a column is called label or the options name one; ValueError, naming row and column, for what is no number."""
    options.expect_only(name, "a data frame", "label", "drop", "image_shape", "transpose")
    expect(len(frame) and frame.shape[1], name, f"a frame of shape {frame.shape}", "rows and columns")
    types = require("pandas").api.types
    kinds = [_kind(types, frame.iloc[:, column]) for column in range(frame.shape[1])]
    first = ["0" if kind in ("number", "bool") else "text" for kind in kinds]  # all that Columns asks of it
    columns = Columns(name, 1, first, [str(called) for called in frame.columns], True, ",", ".", options)
    table, classes = np.empty((len(frame), len(columns.kept))), None
    for place, column in enumerate(columns.kept):
        series, called = frame.iloc[:, column], f"{name}: field {columns.call(column)}"
        missing = series.isna().to_numpy()
        if kinds[column] in ("number", "bool"):
            table[:, place] = series.to_numpy(np.float64, na_value=np.nan)
            missing = ~np.isfinite(table[:, place])
        elif column == columns.label:
            texts = [_as_text(called, label) for label in series.astype(object).where(~missing, "")]
            classes = sorted(set(texts))
            codes = {text: code for code, text in enumerate(classes)}
            table[:, place] = [codes[text] for text in texts]
        else:
            first = series.iloc[0]
            kind = series.dtype if isinstance(first, Number) else type(first).__name__
            got = f"{kind} such as {cut(repr(first))}"
            expect(False, called, got, f"numbers; {LABEL} makes classes of texts, {DROP} leaves a column out")
        if missing.any():
            row = int(missing.argmax())
            expected = f"a finite value: fill it in, or leave its row or, by {DROP}, its column out"
            expect(False, f"{called}, row {row}", str(series.iloc[row]), expected)
    index = ", ".join(repr(cut(str(called))) for called in frame.index.names if called is not None)
    form = f"{len(frame)} rows of a data frame" + f" without its index {index}" * bool(index)
    return columns.parts_of(table, form, classes)


def _as_text(called, label):
    """A label as a text: bytes, which Parquet files of some makers have in place of texts, are UTF-8."""
    try:
        return label.decode() if isinstance(label, bytes) else str(label)
    except UnicodeDecodeError as error:
        raise ValueError(f"{called}: labels that are no text ({error})") from error


def _kind(types, series):
    """ "number", "bool", or "text" for whatever else a column holds."""
    if types.is_bool_dtype(series.dtype):
        return "bool"
    if series.dtype == object and types.infer_dtype(series) in OBJECTS:
        return "number"
    return "number" if types.is_numeric_dtype(series.dtype) and not types.is_complex_dtype(series.dtype) else "text"
