"""docs/gradient-checking.md: its examples run, and print what it says they print, up to the digits."""

import contextlib
import io
import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "gradient-checking.md"
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]\d+)?")
PLACE = re.compile(r"worst at \[[^]]*\]")


def shape(text):
    """The text without its numbers and without the place of the worst error."""
    return NUMBER.sub("#", PLACE.sub("worst at", text)).split("\n")


def test_examples_print_what_the_page_says():
    text = PAGE.read_text()
    blocks = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", text, re.DOTALL)
    assert len(blocks) >= 8
    namespace = {}
    for code, printed in blocks:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, str(PAGE), "exec"), namespace)
        assert shape(out.getvalue()) == shape(printed), out.getvalue()


def test_the_tables_are_those_of_the_suite():
    from tests.mutants import MUTANTS

    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*?) \| .*? \| .*? \| .*? \|$", PAGE.read_text(), re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(MUTANTS), "run python -m tests.mutants.table"
    assert all(seen != "**nothing**" for _, seen in rows)
