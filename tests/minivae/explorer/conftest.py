"""A browser for the tests of the page, and pages of every kind. A page that says anything to the console, raises, or
asks for anything but itself fails the test that opened it.
"""

from pathlib import Path

import pytest

from . import kinds
from .chromium import EXECUTABLE, READY, launch


@pytest.fixture(scope="package")
def library():
    """It ends with this package's tests: while it is there, asyncio takes its loop for one that runs."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as library:
        yield library


@pytest.fixture(scope="package")
def browser(library):
    if EXECUTABLE is None:
        pytest.skip("there is no chromium: apt install chromium")
    browser = launch(library)
    yield browser
    browser.close()


@pytest.fixture
def messages():
    """What pages said that they should not; a test that wants them to clears it."""
    return []


@pytest.fixture
def open_page(browser, messages, tmp_path):
    """open_page(html, fragment="", ready=True, **options of a Playwright context) -> a Playwright page of a file with
    this HTML; `html` may be a `Page` of minivae's or the name of a kind in kinds.py.

    Options that are of use: viewport={"width": 360, "height": 740}, color_scheme="dark", has_touch=True,
    reduced_motion="reduce".
    """
    contexts = []

    def open_page(html, fragment="", ready=True, **options):
        if html in kinds.KINDS:
            html = kinds.page(html)
        path = tmp_path / f"page-{len(contexts)}.html"
        path.write_text(getattr(html, "html", html), encoding="utf-8")
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        watch(page, messages, path)
        page.goto(path.as_uri() + fragment)
        if ready:
            page.locator(READY).wait_for(state="attached")
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            page.evaluate("new Promise(requestAnimationFrame)")  # what it says on the way arrives first
        context.close()
    assert messages == []


def watch(page, messages, path: Path):
    """Adds to `messages` whatever a page says, raises, asks for or opens."""
    own = path.as_uri()
    page.on("console", lambda message: messages.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: messages.append(f"raised: {error}"))
    page.on("dialog", lambda dialog: (messages.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("popup", lambda other: messages.append(f"opened: {other.url}"))

    def asked(request):
        if request.url.partition("#")[0] != own and not request.url.startswith(("data:", "blob:", "about:")):
            messages.append(f"asked for: {request.url}")

    page.context.on("request", asked)


@pytest.fixture
def grave():
    """grave(page) -> what axe-core calls serious or critical in a page: pairs of a rule and an element."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python").Axe()

    def grave(page):
        found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
        rules = [rule for rule in found if rule["impact"] in ("serious", "critical")]
        return [(rule["id"], node["html"]) for rule in rules for node in rule["nodes"]]

    return grave
