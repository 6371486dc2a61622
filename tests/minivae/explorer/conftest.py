"""A browser for the tests of the page, and pages of every kind. A page that says anything to the console, raises, or
asks for anything but itself fails the test that opened it.

Chromium is the system's: Debian's package, or what CHROMIUM names.
"""

import os
import shutil
from pathlib import Path

import pytest

from . import kinds

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
READY = "performance.getEntriesByName('ready').length > 0"


@pytest.fixture(scope="package")
def browser():
    """Headless Chromium. The sandbox needs a user that is not root.

    It ends with this package's tests: while it is there, asyncio takes its loop for one that runs.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if CHROMIUM is None:
        pytest.skip("there is no chromium: apt install chromium")
    with playwright.sync_playwright() as library:
        browser = library.chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=os.name == "posix" and os.geteuid() != 0
        )
        yield browser
        browser.close()


@pytest.fixture
def messages():
    """What pages said that they should not; a test that wants them to clears it."""
    return []


@pytest.fixture
def open_page(browser, messages, tmp_path):
    """open_page(html, fragment="", ready=True, **options of a Playwright context) -> a Playwright page of the HTML, from
    a file of its own; `html` may be a `Page` of minivae's or the name of a kind in kinds.py.

    Options that are of use: viewport={"width": 360, "height": 740}, color_scheme="dark", has_touch=True,
    reduced_motion="reduce". The page is ready once main.js has set the performance mark "ready".
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
            page.wait_for_function(READY)
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
