"""The page of every kind of run opens, says nothing to the console, and can be used by everyone."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from . import kinds

VIEWS = ("model", "trick", "estimators", "bound", "bits")
NARROW = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


def show(page, view):
    page.locator(f"#tab-{view}").click()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_every_view_of_every_kind_opens(open_page, kind):
    """With nothing on the console, nothing beside the page, and something to see or a sentence that says why not."""
    page = open_page(kind)
    for view in VIEWS:
        show(page, view)
        panel = page.locator(f"#view-{view}")
        assert panel.is_visible()
        assert panel.inner_text().strip()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    if kind == "foreign":
        said = page.locator("#head .instead").inner_text()
        assert said == "The model cannot run in this page: encoder.1 is a Squash, no class of minivae."


@pytest.mark.parametrize("kind", ["default", "points", "table", "foreign"])
def test_a_phone_shows_it_all(open_page, kind):
    page = open_page(kind, "#model&lang=zh", **NARROW)
    for view in VIEWS:
        show(page, view)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view


@pytest.mark.parametrize(("language", "theme"), [("en", "light"), ("en", "dark"), ("zh", "light"), ("zh", "dark")])
@pytest.mark.parametrize("kind", ["latents-2", "points", "foreign"])
def test_axe_finds_nothing_serious(open_page, kind, language, theme):
    page = open_page(kind, f"#model&lang={language}&theme={theme}")
    assert page.evaluate("document.documentElement.lang") == {"en": "en", "zh": "zh-CN"}[language]
    for view in VIEWS:
        show(page, view)
        found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        grave = {(rule["id"], node["html"]) for rule in found if rule["impact"] in ("serious", "critical")
                 for node in rule["nodes"]}  # fmt: skip
        assert not grave, view
