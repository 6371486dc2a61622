"""The pages on gradient checking: examples run, and print what is said to be printed, up to the digits."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE, YOURS = (ROOT / "docs" / f"gradient-checking{which}.md" for which in ("", "-your-code"))
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]\d+)?")
PLACE = re.compile(r"worst at \[[^]]*\]")


def shape(text):
    """The text without its numbers and without the place of the worst error."""
    return NUMBER.sub("#", PLACE.sub("worst at", text)).split("\n")


def examples_print_what_is_said(page, language):
    """Runs the page's blocks in this language, one after the other; returns how many there are."""
    blocks = re.findall(rf"```{language}\n(.*?)```(?:\n\n```text\n(.*?)```)?", page.read_text(), re.DOTALL)
    namespace = {}
    for code, printed in blocks:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, str(page), "exec"), namespace)
        assert shape(out.getvalue()) == shape(printed), out.getvalue()
    return len(blocks)


@pytest.mark.parametrize("page", [PAGE, YOURS], ids=lambda page: page.stem)
def test_examples_print_what_the_page_says(page):
    assert examples_print_what_is_said(page, "python") >= 8


def test_every_message_is_on_the_page():
    source = "".join(path.read_text() for path in (ROOT / "minivae" / "gradcheck").rglob("*.py"))
    table = YOURS.read_text().split("| word |")[1]
    rows = re.findall(r"^\| ([a-z][a-z -]+) \| (.+?) \| .+ \|$", table, re.MULTILINE)
    told = re.findall(r'(?:Finding|problem|problems\.append|return )[([]+\s*"([a-z -]+)", ', source)
    assert {word for word, _ in rows} == set(told)
    unknown = [text for _, cell in rows for text in re.findall(r'"(.+?)"', cell) if text not in source]
    assert not unknown


def test_the_tables_are_those_of_the_suite():
    from tests.mutants import MUTANTS

    rows = re.findall(r"^\| `(\w+)` \| .* \| (.*?) \| .*? \| .*? \| .*? \|$", PAGE.read_text(), re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(MUTANTS), "run python -m tests.mutants.table"
    assert all(seen != "**nothing**" for _, seen in rows)
