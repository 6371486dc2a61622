"""The Chinese pages beside the English ones. `python -m tests.chinese` takes blocks and tables over from these.

What is the same in both is taken by this script: blocks between fences, commands, and the cells of tables that have no
words but those of WORDS. What is written twice is compared by `differences`, section by section: the formulas, numbers,
code and links of the text, in any order, since words stand in another order there.
"""

import re
import sys
from collections import Counter
from itertools import zip_longest

from .code_links import ROOT, renumbered

FOUND = sorted((ROOT / "docs" / "zh-CN").glob("*.md"))
PAGES = {page: ROOT / "docs" / page.name for page in FOUND if page.name != "index.md"}
WORDS = {"below ": "低于 ", " to ": " 至 ", "passes": "通过", "fails": "不通过", "yes": "是", "no": "否"}

BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(    \S.*?)(?=\s+#|$)", re.MULTILINE)
ROW = re.compile(r"^\|.*\|$", re.MULTILINE)
CODE, FORMULA, TARGET = re.compile(r"`[^`\n]+`"), re.compile(r"\$[^$\n]+\$"), re.compile(r"\]\((?:\.\./)*([^)\s]+)\)")
NUMBER = re.compile(r"(?<![\w.])[+-]?\d+(?:[,.]\d+)*(?:e[+-]?\d+)?")


def cell(english, chinese):
    """The English cell in Chinese where its words are among WORDS, else the Chinese one."""
    words = re.sub(r"\$[^$]*\$|`[^`]*`|\b\d\S*e[+-]?\d+\b", "", english)
    for word in WORDS:
        words = words.replace(word, "")
    if re.search(r"[A-Za-z]{2}", words):
        return chinese
    for word, ours in WORDS.items():
        english = re.sub(rf"(?<![A-Za-z]){re.escape(word)}(?![A-Za-z])", ours, english)
    return english


def row(english, chinese):
    cells = [line.strip("|").split("|") for line in (english, chinese)]
    if len(cells[0]) != len(cells[1]):
        raise ValueError(f"a row of {len(cells[1])} cells, expected {len(cells[0])}: {chinese}")
    return "|" + "|".join(cell(*pair) for pair in zip(*cells, strict=True)) + "|"


def taken_over(english, chinese):
    """The Chinese page with the blocks, commands and cells of the English one; as many of each are expected."""
    for pattern in (BLOCK, COMMAND, ROW):
        theirs = pattern.findall(english)
        if len(theirs) != len(found := pattern.findall(chinese)):
            raise ValueError(f"{len(found)} places like {(found or theirs)[0]!r}, expected {len(theirs)}")
        news = iter(theirs)
        if pattern is ROW:
            chinese = pattern.sub(lambda match, news=news: row(next(news), match[0]), chinese)
        else:
            chinese = pattern.sub(lambda _, news=news: next(news), chinese)
    return chinese


def facts(section):
    """What one section states in formulas, code, numbers and links: how often each."""
    text = BLOCK.sub("", section)
    found = Counter(f"link {target}" for target in TARGET.findall(text))
    text = re.sub(r"\]\([^)\s]*\)|^Code: .*$|^<!--.*$", "", text, flags=re.MULTILINE)
    for pattern in (CODE, FORMULA):
        found.update(pattern.findall(text))
        text = pattern.sub(" ", text)
    return found + Counter(number.lstrip("+") for number in NUMBER.findall(text))


def sections(page):
    """Level of each heading and the text below it; the line that leads to the other language is no part of it."""
    text = re.sub(r"^\[English\].*$|^.*\[简体中文\].*$", "", page, flags=re.MULTILINE)
    pieces = re.split(r"^(#+) (.*)$", BLOCK.sub(lambda match: match[0].replace("\n#", "\n "), text), flags=re.MULTILINE)
    return [(level, title, body) for level, title, body in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True)]


def differences(english, chinese):
    """What the one page states and the other does not: a list of sentences."""
    found = []
    for theirs, ours in zip_longest(sections(english), sections(chinese), fillvalue=("", "none", "")):
        where = f"{theirs[1]!r}, {ours[1]!r}"
        if theirs[0] != ours[0]:
            found.append(f"{where}: a heading {theirs[0]!r} and one {ours[0]!r}")
        left, right = facts("\n".join(theirs[1:])), facts("\n".join(ours[1:]))
        found += [f"{where}: {fact} only in English, {count} times" for fact, count in (left - right).items()]
        found += [f"{where}: {fact} only in Chinese, {count} times" for fact, count in (right - left).items()]
    return found


def main():
    wrong = []
    for chinese, english in PAGES.items():
        old = chinese.read_text(encoding="utf-8")
        source = english.read_text(encoding="utf-8")
        new, _ = renumbered(taken_over(source, old))
        if new != old:
            chinese.write_text(new, encoding="utf-8")
            print(f"{chinese.relative_to(ROOT)}: taken over from {english.relative_to(ROOT)}")
        wrong += [f"{chinese.relative_to(ROOT)}: {text}" for text in differences(source, new)]
    print("\n".join(wrong))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
