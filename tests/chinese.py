"""The Chinese pages beside the English ones. `python -m tests.chinese` takes blocks and tables over from these.

What is the same in both is taken by this script: blocks between fences, commands, and the cells of tables that have no
words but those of WORDS. What is written twice is compared by `differences`, in each paragraph, item or row of a table:
code, numbers and formulas with a digit stand in the same order in both languages, and so do links, so that no two of
them can be exchanged; other formulas stand in any order, as words do.
"""

import re
import sys
from collections import Counter
from itertools import zip_longest

from .code_links import ROOT, renumbered

FOUND = sorted((ROOT / "docs" / "zh-CN").glob("*.md"))
PAGES = {page: ROOT / "docs" / page.name for page in FOUND if page.name != "index.md"}
PAGES[ROOT / "README.zh-CN.md"] = ROOT / "README.md"
WORDS = {"below ": "低于 ", " to ": " 至 ", "passes": "通过", "fails": "不通过", "yes": "是", "no": "否"}

BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(    \S.*?)(?=\s+#|$)", re.MULTILINE)
ROW = re.compile(r"^\|.*\|$", re.MULTILINE)
FACT = re.compile(
    r"\]\((?:\.\./)*(?P<link>[^)\s]+)\)|(?P<formula>\$[^$\n]+\$)|`[^`\n]+`|(?<![\w.])[+-]?\d+(?:[,.]\d+)*(?:e[+-]?\d+)?"
)
UNIT = re.compile(r"\n\s*\n|\n(?=[-*] |\d+\. |\|)")  # between paragraphs, items of a list and rows of a table


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


def facts(unit):
    """What a paragraph, an item or a row states: code and what has a digit, in order, and links; the other formulas."""
    ordered, links, others = [], [], Counter()
    for match in FACT.finditer(unit):
        if match["link"]:
            links.append(f"link {match['link'].replace('/zh-CN/', '/')}")
        elif match["formula"] and not re.search(r"\d", match[0]):
            others[match[0]] += 1
        else:
            ordered.append(match[0].lstrip("+"))
    return ordered + links, others


def units(section):
    text = re.sub(r"^Code: .*$|^<!--.*$", "", BLOCK.sub("", section), flags=re.MULTILINE)
    return [unit for unit in UNIT.split(text) if unit.strip()]


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
        pairs = [[title, *units(body)] for _, title, body in (theirs, ours)]
        if len({*map(len, pairs)}) > 1:
            left, right = (len(pair) - 1 for pair in pairs)
            found.append(f"{where}: {right} paragraphs, items and rows, expected {left}")
        for left, right in zip_longest(*pairs, fillvalue=""):
            (ordered, others), (ordered_here, others_here) = facts(left), facts(right)
            english, chinese = Counter(ordered) + others, Counter(ordered_here) + others_here
            found += [f"{where}: {fact} only in English, {count} times" for fact, count in (english - chinese).items()]
            found += [f"{where}: {fact} only in Chinese, {count} times" for fact, count in (chinese - english).items()]
            if english == chinese and ordered != ordered_here:
                wrong = next(pair for pair in zip(ordered, ordered_here, strict=True) if pair[0] != pair[1])
                found.append(f"{where}: {wrong[1]} where English has {wrong[0]}")
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
