"""The page in another engine, Firefox: some of Chromium's tests with its pages."""

import os
import shutil

import pytest

from . import test_network, test_page, test_view_model
from .test_network import modules  # noqa: F401

EXECUTABLE = os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")


@pytest.fixture(scope="module")
def browser(library):
    """In the place of the package's, for `open_page` and `modules`."""
    if EXECUTABLE is None:
        pytest.skip("there is no firefox: apt install firefox-esr")
    browser = library.firefox.launch(channel="moz-firefox", executable_path=EXECUTABLE)
    try:
        browser.new_context().close()
    except Exception as error:
        browser.close()
        pytest.skip(f"this Playwright asks for what this Firefox does not know: {str(error).splitlines()[0]}")
    yield browser
    browser.close()


@pytest.mark.parametrize("kind", ["latents-2", "points-latent-1", "rgb", "foreign"])
def test_every_view_opens(open_page, kind):
    test_page.test_every_view_of_every_kind_opens(open_page, kind)


def test_what_is_drawn_is_encoded(open_page):
    test_view_model.test_what_is_drawn_is_centred_encoded_and_cleared(open_page)


def test_numbers(open_page, modules):  # noqa: F811
    test_view_model.test_the_numbers_of_twenty_examples_are_those_of_the_model(open_page, "latents-2")
    test_network.test_a_model_of_single_precision(modules, 100, (40, 30), 20, "gaussian")
    test_network.test_many_normals_bit_for_bit(modules)


def test_the_policy_lets_nothing_else_run_or_load(open_page, messages):
    page = open_page("points")
    with page.expect_event("pageerror", lambda error: "img-src" in str(error)):
        page.evaluate("""() => {
          const script = document.createElement("script"), image = document.createElement("img");
          script.textContent = "window.taken = 1";
          image.src = "http://localhost:9/";
          document.body.append(script, image);
        }""")
    assert page.evaluate("globalThis.taken") is None
    assert any("script-src" in message for message in messages)
    messages.clear()
