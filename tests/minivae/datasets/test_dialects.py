"""Data as people have them: read as meant, or refused by a line that names the option with which they are."""

from pathlib import Path

import numpy as np
import pytest

from minivae.datasets import load_dataset

from . import dialects
from .dialects import DIALECTS, TESTS, flags, message

DOCS = Path(__file__).parents[3] / "docs"


def in_order(rows, labels):
    table = rows if labels is None else np.column_stack([rows, labels])
    return table[np.lexsort(table.T)]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.what)
def test_each_is_read_as_meant_or_refused(dialect, tmp_path):
    if dialect.needs:
        pytest.importorskip(dialect.needs)
    source = dialect.make(tmp_path)
    refused = message(source, tmp_path)
    if refused is not None:
        assert "\n" not in refused
        assert len(refused) < 400
    if dialect.rows is None:
        assert refused is not None
        assert "expected" in refused
        return
    if dialect.options and refused is not None:
        assert all(flag.split()[0] in refused for flag in flags(dialect.options).split(" --")[:1]), refused
    data = load_dataset(source, **dialect.options)
    labels = None if data.train_labels is None else np.concatenate([data.train_labels, data.test_labels])
    rows = np.concatenate([data.train, data.test])
    expected = np.asarray(dialect.rows).reshape(len(dialect.rows), -1)
    np.testing.assert_array_equal(in_order(rows, labels), in_order(expected, dialect.labels))
    assert data.train.dtype == dialect.dtype
    assert data.image_shape == dialect.image_shape
    assert data.classes == dialect.classes or dialect.classes is None
    assert data.split == (len(data.test) != TESTS)


def test_the_table_of_the_docs_is_what_they_do(monkeypatch):
    pytest.importorskip("pyarrow")
    assert len(DIALECTS) >= 30
    assert dialects.table() in (DOCS / "data.md").read_text(encoding="utf-8")
