"""README.md says nothing that is not so."""

import re
import subprocess
import sys

import pytest

import minivae

from .code_links import PAGES, ROOT

README = ROOT / "README.md"
CHINESE = ROOT / "README.zh-CN.md"


def test_the_example_prints_what_it_says():
    text = README.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```\n\n(?:prints\n\n)?```text\n(.*?)```", text, re.DOTALL)
    assert blocks, "README.md has a Python example followed by what it prints"
    for code, printed in blocks:
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
        assert result.returncode == 0, result.stderr
        assert result.stdout == printed


@pytest.mark.parametrize("page", [README, CHINESE, *PAGES], ids=lambda page: page.name)
def test_links_and_pictures_exist(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), target


def test_ci_installs_and_tests_as_readme_says():
    text = README.read_text(encoding="utf-8")
    script = (README.parent / ".ci" / "run").read_text(encoding="utf-8")
    tests = 'pip install -e ".[test]"', "python -m pytest -n 2 --dist loadfile"
    site = 'pip install -e ".[docs]"', "sphinx-build -W docs"
    for command in (*tests, *site):
        assert command in text
        assert command in script.replace("--quiet ", "").replace("-q ", "")


def test_the_figures_of_the_results_stand_on_the_pages_they_link_to():
    bullets = re.findall(r"^\* (.*?)(?=^\* |^$)", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(bullets) > 5
    for bullet in bullets:
        pages = "".join(
            (README.parent / page).read_text(encoding="utf-8") for page in re.findall(r"\]\((docs/[^)]*)\)", bullet)
        )
        for number in re.findall(r"(?<![\w.-])\d[\d,.]*\d(?![\w-])", re.sub(r"\]\([^)]*\)", "", bullet)):
            assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d]|\.\d)", pages), f"{number} in: {bullet}"


def test_the_version_is_the_same_everywhere():
    assert f"\nversion: {minivae.__version__}\n" in (README.parent / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {minivae.__version__}\n" in (README.parent / "CHANGELOG.md").read_text(encoding="utf-8")
