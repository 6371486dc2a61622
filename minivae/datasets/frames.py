"""pandas data frames, and Parquet files, which are read as such: columns of numbers, one of them perhaps labels."""

import importlib
from typing import Any

import numpy as np

from ..errors import expect
from ..files.opening import regular_file
from ..files.stream import unreadable
from .columns import DROP, Columns, cut
from .npz import LARGEST_UNPACKED
from .options import LABEL, ReadOptions


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
            size = 8 * opened.metadata.num_rows * opened.metadata.num_columns
        except Exception as error:  # damaged bytes make it raise more than its own
            raise unreadable(name, error) from error
        expect(size <= LARGEST_UNPACKED, name, f"a claim of {size} bytes unpacked", f"at most {LARGEST_UNPACKED}")
        try:
            frame = opened.read().to_pandas()
        except Exception as error:
            raise unreadable(name, error) from error
    return read_frame(name, frame, options)


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
            texts = series.astype(object).where(~missing, "").map(str).to_numpy(dtype=object)
            classes = sorted(set(texts))
            codes = {text: code for code, text in enumerate(classes)}
            table[:, place] = [codes[text] for text in texts]
        else:
            got = f"{series.dtype} such as {cut(repr(series.iloc[0]))}"
            expect(False, called, got, f"numbers; {LABEL} makes classes of texts, {DROP} leaves a column out")
        if missing.any():
            row = int(missing.argmax())
            expected = f"a finite value: fill it in, or leave its row or, by {DROP}, its column out"
            expect(False, f"{called}, row {row}", str(series.iloc[row]), expected)
    return columns.parts_of(table, f"{len(frame)} rows of a data frame", classes)


def _kind(types, series):
    """ "number", "bool", or "text" for whatever else a column holds."""
    if types.is_bool_dtype(series.dtype):
        return "bool"
    return "number" if types.is_numeric_dtype(series.dtype) and not types.is_complex_dtype(series.dtype) else "text"
