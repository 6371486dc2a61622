"""Whatever a run, its labels and its columns are called: the page shows it as text, and runs nothing of it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivae as mv
from minivae.command.main import main
from minivae.explorer.page import as_json, render, script

from .chromium import VIEWS, show

HOSTILE = [
    "</script><script>window.taken = 1</script>",
    "<img src=x onerror=window.taken=1>",
    '"><svg onload=window.taken=1>',
    "<!--<script>",
    "{{script}}",
    "\u202eevil\u2066 \u2028window.taken = 1;\u2029",
    "${window.taken = 1}`'\\",
    "javascript:window.taken=1",
    "\ud800 \x00 \x1b[31m &lt;b&gt;",
    "l" * 10_000,
]


def hostile_page():
    """Every text that a data set or a user gives is hostile."""
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((40, len(HOSTILE))), np.arange(40) % len(HOSTILE)
    name = HOSTILE[0] + HOSTILE[1]
    data = mv.datasets.Dataset(name, x, x, labels, labels, columns=tuple(HOSTILE), classes=tuple(HOSTILE))
    model = mv.VAE(len(HOSTILE), 2, (8,), likelihood="gaussian", backend="numpy")
    return mv.explore(model, data, name=name)


def test_hostile_names_are_texts(open_page):
    made = hostile_page()
    assert made.html.count("</script") == 2
    assert "window.taken = 1</" not in made.html
    page = open_page(made)
    for view in VIEWS:
        show(page, view)
    assert page.locator(".about bdi").inner_text() == HOSTILE[0] + HOSTILE[1]
    titles = page.locator(".strip button").evaluate_all("items => items.map((item) => item.title)")
    assert titles[0].endswith(f"class {HOSTILE[0]}")
    assert any(r"\u202eevil\u2066" in title for title in titles)
    assert max(map(len, titles)) < 200
    assert page.title() == f"minivae: {HOSTILE[0] + HOSTILE[1]}"
    assert page.evaluate("globalThis.taken") is None
    assert page.locator("svg, img, iframe, object, embed").count() == 0


def test_a_hostile_run_folder(open_page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("unit.npy", np.random.default_rng(0).random((60, 4)))
    folder = "<img src=x onerror=window.taken=1>&lt;\u202e\x1b'\""
    train = ["train", "--data", "unit.npy", "--epochs", "1", "--hidden", "5", "--latent", "2", "--backend", "numpy"]
    assert main([*train, "--no-pictures", "--out", folder]) == 0
    config = json.loads((tmp_path / folder / "config.json").read_text())
    (tmp_path / folder / "config.json").write_text(json.dumps(config | {"seen": HOSTILE}))
    assert main(["explore", folder, "--backend", "numpy", "--no-open"]) == 0
    page = open_page((tmp_path / folder / "explorer.html").read_text(encoding="utf-8"))
    shown = page.locator(".about bdi").inner_text()
    assert shown == "<img src=x onerror=window.taken=1>&lt;\\u202e\\x1b'\""
    assert page.evaluate("globalThis.taken") is None


def test_the_policy_lets_nothing_else_run_or_load(open_page, messages):
    """What would have got into the page all the same: a script, a handler, a style, an address."""
    page = open_page("points")
    asked, refused = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: refused.append(request.failure))
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.taken = 1";
        const division = document.createElement("div");
        division.innerHTML = "<img src='http://localhost:9/' onerror='window.taken = 1'><b style='color: red'>b</b>";
        const frame = document.createElement("iframe");
        frame.src = "http://localhost:9/";
        document.body.append(script, division, frame);
        return fetch("http://localhost:9/").catch(() => null);
    }""")
    assert page.evaluate("globalThis.taken") is None
    assert refused == ["csp"] * len(asked)  # before anything is sent
    told = [message for message in messages if "Content Security Policy" in message]
    for directive in ("script-src", "img-src", "style-src", "connect-src", "frame-src"):
        assert any(directive in message for message in told), directive
    messages.clear()


def test_no_text_of_the_page_is_read_as_html_or_code():
    """Not even with the policy's leave."""
    sinks = (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "DOMParser",
        "srcdoc",
        "eval(",
        "new Function",
    )
    assert [sink for sink in (*sinks, "href", ".src ") if sink in script()] == []


@given(
    st.recursive(
        st.text() | st.sampled_from(HOSTILE), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_text_is_one_json_value(value):
    written = as_json({"value": value})
    assert not set("<>&\u2028\u2029") & set(written)
    written.encode()
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a pair
        return
    assert json.loads(written) == {"value": value}


@pytest.mark.parametrize("text", HOSTILE)
def test_any_name_is_one_title(text):
    page = render({"name": text.encode("utf-8", "replace").decode(), "data": None})
    assert page.count("</script") == 2
    assert page.count("<title>") == page.count("</title>") == 1
