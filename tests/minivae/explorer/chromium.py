"""The browser of these tests and of benchmarks/explorer.py: the system's, or what CHROMIUM names."""

import os
import shutil

EXECUTABLE = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
READY = "html[data-ready]"  # a selector: a condition in JavaScript would be evaluated by what the page's policy forbids
VIEWS = ("model", "trick", "estimators", "bound", "bits")


def launch(library):
    """Headless Chromium by Playwright. Its sandbox needs a user that is not root."""
    sandbox = os.name == "posix" and os.geteuid() != 0
    return library.chromium.launch(executable_path=EXECUTABLE, chromium_sandbox=sandbox)


def show(page, view):
    """Opens a view, and waits until it is painted; `page` may be a frame."""
    page.locator(f"#tab-{view}").click()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
