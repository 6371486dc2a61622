"""The site (docs/conf.py) has every page and every public name, and is drawn without a network."""

import html
import importlib
import inspect
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from .code_links import ROOT
from .minivae.explorer.chromium import EXECUTABLE, launch

DOCS = ROOT / "docs"
MODULES = (
    "minivae",
    "minivae.gradcheck",
    "minivae.sklearn",
    "minivae.datasets",
    "minivae.plotting",
    "minivae.estimators",
    "minivae.lab.exam",
)


def listed():
    """(module, name) of each entry of docs/api.rst."""
    module, entries = None, []
    for line in (DOCS / "api.rst").read_text(encoding="utf-8").splitlines():
        if named := re.match(r"\.\. (?:currentmodule|automodule):: (\S+)", line):
            module = named[1]
        elif entry := re.fullmatch(r"   (\w+)", line):
            entries.append((module, entry[1]))
    return entries


def test_every_page_is_in_the_table_of_contents():
    contents = re.findall(r"```{toctree}\n(.*?)```", (DOCS / "index.md").read_text(encoding="utf-8"), re.DOTALL)
    entries = [line for block in contents for line in block.splitlines() if line and not line.startswith(":")]
    pages = [path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")]
    assert sorted(entries) == sorted({*pages, "api"} - {"index"}), "docs/index.md lists each page once"


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_reference(module):
    if module == "minivae.sklearn":
        pytest.importorskip("sklearn")
    package = importlib.import_module(module)
    entries = listed()
    assert len(entries) == len(set(entries))
    of_these = [entry for entry in entries if entry[0] in ("minivae", module)]
    found = {(name, id(getattr(importlib.import_module(where), name))) for where, name in of_these}
    assert [name for name in package.__all__ if (name, id(getattr(package, name))) not in found] == []
    assert [name for where, name in entries if where == module and name not in package.__all__] == []


@pytest.mark.parametrize("module", MODULES)
def test_every_public_method_is_described(module):
    if module == "minivae.sklearn":
        pytest.importorskip("sklearn")
    for name in (name for where, name in listed() if where == module):
        value = getattr(importlib.import_module(module), name)
        members = inspect.getmembers(value, inspect.isroutine) if inspect.isclass(value) else []
        public = [(member, of) for member, of in members if not member.startswith("_") or member == "__call__"]
        ours = [member for member in public if str(getattr(member[1], "__module__", "")).startswith("minivae")]
        assert [member for member, of in ours if not inspect.getdoc(of)] == [], name
        assert not callable(value) or value.__doc__, name


class Loaded(HTMLParser):
    """What a page loads when it is opened."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.addresses.append(attributes.get("src") or (attributes.get("href") if tag == "link" else None) or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("sphinx")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", str(DOCS), str(folder)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return folder


@pytest.mark.slow
def test_no_page_loads_anything_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 100
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        assert loaded.addresses
        for address in filter(None, loaded.addresses):
            if not address.startswith(("data:", "#")):
                assert (page.parent / re.sub(r"[?#].*", "", address)).exists(), f"{page.name}: {address}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()[\s\"']*(?:https?:)?//", style.read_text(encoding="utf-8")), style


@pytest.mark.slow
def test_names_formulas_and_links_are_on_the_site(site):
    reference = "".join(path.read_text(encoding="utf-8") for path in (site / "api").glob("*.html"))
    names = set(re.findall(r'<dt [^>]*id="(minivae[\w.]+)"', reference))
    assert {f"{module}.{name}" for module, name in listed()} <= names
    assert {"minivae.VAE.forward", "minivae.Bernoulli.forward", "minivae.gradcheck.GradientReport.passed"} <= names
    assert {"minivae.Evaluator.__call__", "minivae.Cosine.__call__"} <= names
    text = html.unescape(re.sub("<.*?>", "", reference))
    assert "train: ArrayLike," in text, "not all that it is made of"
    assert '"bf16"' in text, "strings as they are typed"
    for name in ("backprop-through-sampling", "zh-CN/backprop-through-sampling", "derivations"):
        page = (site / f"{name}.html").read_text(encoding="utf-8")
        blocks = (DOCS / f"{name}.md").read_text(encoding="utf-8").count("```math")
        assert page.count('display="block"') == blocks > 0
        assert "$" not in re.sub(r"<(pre|script).*?</\1>", "", page, flags=re.DOTALL)
        assert not re.search(r'href="[^"]*\.(py|md)\b', page)
    commands = (site / "command-line.html").read_text(encoding="utf-8")
    assert "--checkpoint-every" in commands
    assert "usage: minivae decompress" in commands
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert "reparameter" in index
    assert all(json.dumps(word) in index for word in ("梯度", "采样", "方差")), "words within a run of Chinese"
    assert '<html class="no-js" lang="zh-CN"' in (site / "zh-CN" / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(EXECUTABLE is None, reason="there is no chromium: apt install chromium")
def test_the_search_quotes_pages_that_are_opened_from_a_disk(site):
    """Where a browser fetches nothing; a single character of Chinese is found too."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as library:
        browser = launch(library)
        page, said = browser.new_page(), []
        page.on("console", lambda message: said.append(message.text))
        for word in ("reparameterization", "后验坍塌", "梯"):
            page.goto(f"{(site / 'search.html').as_uri()}?q={word}")
            page.get_by_text("Search finished").wait_for()
            found = page.locator("#search-results li")
            assert found.count() >= 2
            assert all("\n" in text for text in found.all_inner_texts()), "a title, and an excerpt below it"
            assert any(word in text for text in found.locator(".context").all_inner_texts())
        browser.close()
        assert said == []
