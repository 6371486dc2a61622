"""The pages quote the code as it is, and their links lead to the lines that they name."""

import re

import pytest

from . import code_links
from .code_links import PAGES, ROOT, renumbered

LESSON = [ROOT / "docs" / f"{name}.md" for name in ("backprop-through-sampling", "derivations", "discrete-estimators")]

SOURCE = """class A:
    def forward(self):
        a = 1
        b = 2

        return a + b

class B:
    def forward(self):
        pass
"""
PAGE = """Code: [minivae/a.py:3](../minivae/a.py#L3)
<!-- from minivae/a.py -->
```python
        a = 1
        b = 2

        return a + b
```

Code: [minivae/a.py:8 `B`](../minivae/a.py#L8), [minivae/a.py:2 `A.forward`](../minivae/a.py#L2)
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_the_lines_they_name(page):
    text = page.read_text(encoding="utf-8")
    new, problems = renumbered(text)
    assert problems == []
    assert new == text, "python -m tests.code_links writes the numbers anew"


@pytest.mark.parametrize("page", LESSON, ids=lambda page: page.name)
def test_all_code_of_the_lesson_is_quoted(page):
    """A block of Python without the mark above it would be compared with nothing."""
    text = page.read_text(encoding="utf-8")
    assert text.count("```python\n") == len(re.findall(r"^<!-- from \S+ -->\n```python\n", text, re.MULTILINE))


@pytest.fixture
def root(tmp_path):
    (tmp_path / "minivae").mkdir()
    (tmp_path / "minivae" / "a.py").write_text(SOURCE)
    return tmp_path


def test_numbers_follow_the_code(root):
    assert renumbered(PAGE, root) == (PAGE, [])
    assert renumbered(PAGE.replace(":3]", ":9]").replace("L8", "L70"), root) == (PAGE, [])
    (root / "minivae" / "a.py").write_text("import numpy\n\n" + SOURCE)
    new, problems = renumbered(PAGE, root)
    assert problems == []
    assert re.findall(r":(\d+)", new) == re.findall(r"#L(\d+)", new) == ["5", "10", "4"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("        b = 2\n", "", "no such lines one after the other"),
        ("        a = 1\n        b = 2\n", "        b = 2\n        a = 1\n", "no such lines one after the other"),
        ("        a = 1\n", "    a = 1\n", "no such lines one after the other"),
        ("Code: [minivae/a.py:3](../minivae/a.py#L3)\n", "\n", "a quotation needs a line"),
        ("from minivae/a.py", "from minivae/b.py", "neither a name nor a quotation"),
        ("`A.forward`", "`forward`", "defined 2 times"),
        ("`B`", "`C`", "defined 0 times"),
        (" `B`", "", "neither a name nor a quotation"),
        ("(../minivae/a.py#L8)", "(../minivae/b.py#L8)", "leads to minivae/b.py"),
        ("minivae/a.py:8 `B`](../minivae/a.py", "minivae/c.py:8 `B`](../minivae/c.py", "No such file"),
        ("[minivae/a.py:8 `B`]", "[B]", "not a link like"),
    ],
)
def test_what_is_wrong_beyond_a_number_is_told(root, old, new, problem):
    assert PAGE.count(old) == 1
    _, problems = renumbered(PAGE.replace(old, new), root)
    assert problems
    assert any(problem in text for text in problems), problems


def test_the_command_mends_the_pages(root, monkeypatch, capsys):
    monkeypatch.setattr(code_links, "ROOT", root)
    monkeypatch.setattr(code_links.renumbered, "__defaults__", (root,))
    page = root / "page.md"
    page.write_text(PAGE.replace("L2)", "L3)"))
    assert not code_links.main([page])
    assert page.read_text() == PAGE
    page.write_text(PAGE.replace("`B`", "`C`"))
    assert code_links.main([page])
    assert "`C` is defined 0 times" in capsys.readouterr().out
