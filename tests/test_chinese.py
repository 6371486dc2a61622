"""The Chinese pages say what the English ones say: the same sections, formulas, code, numbers, links, in one order."""

import os
import re
from itertools import pairwise

import pytest

from . import chinese
from .chinese import PAGES, differences, taken_over
from .code_links import ROOT, renumbered

ENGLISH = """# A page

Of $x$ and $y$, by `run`, 3 times in 20 s: [there](more.md), [here](this.md).

* if $k = 1$, then 7
* or $k = 2$

```python
a = 1
```

    run --it    # with words

## Numbers

| | value | verdict |
| --- | --: | --- |
| first row | 1.5 ± 0.2 (1 to 2) | passes |
| second row | below 0.005 | $k$ |
"""
OURS = """# 一页

[English](../a.md) | 简体中文

[那里](../more.md)用 `run` 得到 $y$ 和 $x$ 共 3 次和 20 s。[这里](../this.md)

* 若 $k = 1$ 则为 7
* 或 $k = 2$

```python
a = 1
```

    run --it    # 文字

## 数

| | 值 | 结论 |
| --- | --: | --- |
| 第一行 | 1.5 ± 0.2 (1 至 2) | 通过 |
| 第二行 | 低于 0.005 | $k$ |
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_state_the_same(page):
    english, text = (path.read_text(encoding="utf-8") for path in (PAGES[page], page))
    assert differences(english, text) == []
    assert renumbered(taken_over(english, text))[0] == text, "python -m tests.chinese takes it over"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_two_neighbouring_numbers_can_be_exchanged(page):
    english, text = (path.read_text(encoding="utf-8") for path in (PAGES[page], page))
    apart = re.compile(rf"{chinese.BLOCK.pattern}|^Code: .*?$", chinese.BLOCK.flags)  # what is taken over
    blank = apart.sub(lambda match: " " * len(match[0]), text)
    numbers = list(re.finditer(r"(?<![\w.])\d+(?:[,.]\d+)*", blank))
    assert len(numbers) > 40
    for one, two in pairwise(numbers):
        other = text[: one.start()] + two[0] + text[one.end() : two.start()] + one[0] + text[two.end() :]
        assert other == text or differences(english, other) or taken_over(english, other) != other, (one, two)


def test_the_lesson_the_article_and_the_readme_are_there():
    assert {page.name for page in PAGES} >= {"backprop-through-sampling.md", "the-article.md", "README.zh-CN.md"}
    for page in PAGES:  # each leads to the other
        for text, file, other in (("[English]({}) |", page, PAGES[page]), ("| [简体中文]({})", PAGES[page], page)):
            to = os.path.relpath(other, file.parent).replace(os.sep, "/")
            assert text.format(to) in file.read_text(encoding="utf-8")


def test_words_may_differ():
    assert taken_over(ENGLISH, OURS) == OURS
    assert differences(ENGLISH, OURS) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a = 1", "a = 2"),
        ("run --it ", "run --that "),
        ("1.5 ±", "1.6 ±"),
        ("(1 至 2)", "(1 至 3)"),
        ("通过", "不通过"),
    ],
)
def test_what_is_taken_over(old, new):
    assert OURS.count(old) == 1
    assert taken_over(ENGLISH, OURS.replace(old, new)) == OURS


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("共 3 次", "共 4 次", ": 4 only in Chinese"),
        ("共 3 次", "共三次", ": 3 only in English"),
        ("$y$ 和 $x$", "$y$ 和 $z$", "$x$ only in English"),
        ("`run`", "`runs`", "`run` only in English"),
        ("more.md", "less.md", "link more.md only in English"),
        ("## 数", "### 数", "a heading '##' and one '###'"),
        ("## 数\n", "", "'Numbers', 'none'"),
        ("3 次和 20 s", "20 次和 3 s", "'一页': 20 where English has 3"),
        ("$k = 1$ 则为 7\n* 或 $k = 2$", "$k = 2$ 则为 7\n* 或 $k = 1$", "$k = 1$ only in English"),
        ("`run` 得到 $y$ 和 $x$ 共 3 次", "3 次 `run` 得到 $y$ 和 $x$", "3 where English has `run`"),
        ("[那里](../more.md)", "[那里](../this.md)", "link more.md only in English"),
        ("第二行 | 低于 0.005 | $k$", "低于 0.05 | 第二行 | $k$", "0.05 only in Chinese"),
        ("\n* 或", "或", "3 paragraphs, items and rows, expected 4"),
    ],
)
def test_what_differs_is_told(old, new, said):
    assert OURS.count(old) == 1
    found = differences(ENGLISH, OURS.replace(old, new))
    assert any(said in text for text in found), found


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("| 第二行 | 低于 0.005 | $k$ |\n", "", "3 places like"),
        ("| $k$ |", "|", "a row of 2 cells, expected 3"),
        ("```python\na = 1\n```\n", "", "expected 1"),
    ],
)
def test_a_page_that_lacks_a_part_is_refused(old, new, said):
    with pytest.raises(ValueError, match=said):
        taken_over(ENGLISH, OURS.replace(old, new))


def test_the_command_mends_a_page(tmp_path, monkeypatch, capsys):
    (tmp_path / "a.md").write_text(ENGLISH, encoding="utf-8")
    (tmp_path / "ours.md").write_text(OURS.replace("1.5", "9.9"), encoding="utf-8")
    monkeypatch.setattr(chinese, "ROOT", tmp_path)
    monkeypatch.setattr(chinese, "PAGES", {tmp_path / "ours.md": tmp_path / "a.md"})
    assert not chinese.main()
    assert (tmp_path / "ours.md").read_text(encoding="utf-8") == OURS
    (tmp_path / "ours.md").write_text(OURS.replace("3 次", "5 次"), encoding="utf-8")
    assert chinese.main()
    assert "5 only in Chinese" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_formulas_and_marks_between_chinese_characters_show_on_github(page):
    """A formula needs a space before it, and so does a character after a closing ** that follows a full stop."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not re.search("[\u3000-\u9fff\uff00-\uffef]\n[\u3000-\u9fff\uff00-\uffef]", text)
    for line in text.splitlines():  # a line is a paragraph: a break would show as a space
        pieces = line.split("$")
        assert all(not before or before[-1] in " |" for before in pieces[0:-1:2]), line
        assert not any(re.match(r"\w", after) for after in pieces[2::2]), line
        marks = line.split("**")
        for inside, after in zip(marks[1::2], marks[2::2], strict=True):
            assert not (re.search(r"\W$", inside) and re.match(r"\w", after)), line


def test_the_command_speaks_english():
    """Its help and messages, and whatever else stands in the sources."""
    sources = [path for folder in ("minivae", "kernels") for path in (ROOT / folder).rglob("*.py")]
    assert [path.name for path in sources if re.search("[\u3000-\u9fff]", path.read_text(encoding="utf-8"))] == []
