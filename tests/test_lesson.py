"""The pages of the lesson: formulas that show on GitHub and name their code, words in which gradients are spoken of."""

import re

import pytest

from .code_links import PAGES, ROOT

LESSON, DERIVATIONS = ROOT / "docs" / "backprop-through-sampling.md", ROOT / "docs" / "derivations.md"
BEYOND = [ROOT / "docs" / name for name in ("discrete-estimators.md", "richer-posteriors.md")]
CHINESE = ROOT / "docs" / "zh-CN" / LESSON.name
SOURCES = sorted(path for folder in ("minivae", "kernels") for path in (ROOT / folder).rglob("*.py"))

# What a derivative was once said to be taken by.
NAMES = "mu|sigma|rho|theta|phi"
OF_WHAT = (
    rf"(?:[$`]|(?:{NAMES}|alpha|[ztx]|it|this|each|both|one)\b|the\s+(?:layer|parameter|output|input|scale|weight))"
)
BY = re.compile(
    rf"\b(?:gradients?|derivatives?|slopes?|differentiated|taken)\s+(?:of\s+(?:\S+\s+){{1,5}})?by\s+{OF_WHAT}"
    rf"|(?<!divided\s)(?<!multiplied\s)\bby\s+(?:\$\\(?:{NAMES})\b|(?:{NAMES})\s+and\s+(?:{NAMES})\b)"
)


@pytest.mark.parametrize(
    "text",
    [
        "the gradient by $x$",
        "turns the gradient by\n$\\sigma$ into",
        "the derivative of the result by $\\theta$",
        "| by $\\mu$ |",
        "We want the gradient of the bound by mu and sigma",
        "the gradient of nll by z",
        "the gradient of the loss by the layer's output",
        "The derivative is taken by alpha",
    ],
)
def test_words_that_are_looked_for(text):
    assert BY.search(text)


@pytest.mark.parametrize(
    "text", ["gradients written by hand", "moves $\\rho$ by $-89.9$", "gradients by name", "divided by $\\sigma$"]
)
def test_words_that_are_right(text):
    assert not BY.search(text)


def test_a_gradient_is_with_respect_to_something():
    """In the docs and in what the package says of itself."""
    found = [
        f"{path.relative_to(ROOT)}: {match[0]!r}"
        for path in (*PAGES, *SOURCES)
        for match in BY.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def formulas(text):
    """Formulas within lines, of a page without its blocks and quoted code: for each paragraph with a $, its pieces."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return [paragraph.split("$") for paragraph in re.split(r"\n\s*\n", text) if "$" in paragraph]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_formulas_within_lines_are_whole(page):
    """Each $ has a partner. A backslash before punctuation is taken by Markdown before it reaches the formula."""
    text = page.read_text(encoding="utf-8")
    for pieces in formulas(text) if re.search(r"\$[\\\w]|```math", text) else ():
        assert len(pieces) % 2, f"odd number of $ near {pieces[0][:80]!r}"
        for inside in pieces[1::2]:
            assert inside == inside.strip(), inside
            assert not re.search(r"\\[^A-Za-z]", inside), inside
            assert inside.count("{") == inside.count("}"), inside


@pytest.mark.parametrize("page", [LESSON, CHINESE, *BEYOND], ids=lambda page: page.name)
def test_each_formula_of_the_lesson_names_its_code(page):
    """Between a formula in a block and the next formula or heading stands a line with links to code."""
    text = page.read_text(encoding="utf-8")
    pieces = re.split(r"(```math\n.*?```|^## [^\n]*$)", text, flags=re.DOTALL | re.MULTILINE)
    marks, texts = pieces[1::2], pieces[2::2]
    assert sum(mark.startswith("```math") for mark in marks) >= 7
    for mark, after in zip(marks, texts, strict=True):
        assert not mark.startswith("```math") or "\nCode: [" in after, mark


def test_links_between_sections_lead_to_headings():
    """GitHub's name for a heading: lower case, without punctuation, hyphens for spaces."""

    def names(page):
        headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}

    for page in (LESSON, DERIVATIONS):
        links = re.findall(r"\]\(([\w.-]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
        assert links
        for target, name in links:
            assert name in names(page.parent / target if target else page), name


def test_each_derivation_names_its_code_and_is_checked():
    sections = re.split(r"^## \d", DERIVATIONS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert len(sections) == 9
    for section in sections:
        assert "\nCode: [" in section
        assert re.search(r"^\*\*Check\*\* \(\[minivae/lab/derivations.py:\d+ `\w+`\]", section, re.MULTILINE)
