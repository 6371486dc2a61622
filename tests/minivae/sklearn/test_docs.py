"""docs/scikit-learn.md and examples/digits_pipeline.py say what is so."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
# scikit-learn before 1.7 calls newer SciPy by arguments that are to go
pytestmark = pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning")

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "scikit-learn.md").read_text()


def figures(text):
    """The head and the numbers of a table."""
    lines = text.strip().splitlines()
    return lines[:2], np.array([[float(cell) for cell in line.strip("| ").split("|")] for line in lines[2:]])


def test_the_example_gives_the_table_of_the_page(capsys):
    runpy.run_path(str(ROOT / "examples" / "digits_pipeline.py"), run_name="__main__")
    head, table = figures(capsys.readouterr().out)
    head_of_page, table_of_page = figures(re.search(r"<!-- digits -->\n(.*?)<!-- /digits -->", PAGE, re.DOTALL)[1])
    assert head == head_of_page
    # another processor rounds otherwise, which after 1500 steps may be as much as another seed
    for column, error in enumerate((0, 0.01, 0.04, 0.2, 1.5)):
        np.testing.assert_allclose(table[:, column], table_of_page[:, column], rtol=0, atol=error)
    assert (table[:3, 2] > table[:3, 1]).all(), "with few components the VAE is ahead"
    assert (table[:, 4] > table[:, 3]).all(), "its density is the better one"


def test_the_first_example_prints_what_it_says(capsys):
    code, printed = re.search(r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", PAGE, re.DOTALL).groups()
    exec(compile(code, "docs/scikit-learn.md", "exec"), {})
    assert capsys.readouterr().out == printed
