"""The page of every kind of run opens, says nothing to the console, and can be used by everyone."""

import pytest

import minivae as mv

from . import kinds
from .chromium import READY, VIEWS, show

NARROW = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


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


@pytest.mark.parametrize(
    "fragment",
    ["#", "#%", "#%E0%A4%A&lang=xx&theme=<b>", "#__proto__&__proto__=1&=&lang", "#bits&&&", "#bits&name=x"],
)
def test_any_address_opens_a_view(open_page, fragment):
    page = open_page("points", fragment)
    shown = [view for view in VIEWS if page.locator(f"#view-{view}").is_visible()]
    assert shown == ["bits" if "bits" in fragment else "model"]


def test_a_browser_that_cannot_unpack_the_page_says_so(open_page, messages):
    page = open_page(kinds.page("points").html.replace('"data":"', '"data":"!'), ready=False)
    page.get_by_role("note").wait_for()
    assert "This browser cannot show the page: " in page.locator("#main").inner_text()
    assert all("raised" in message for message in messages)
    messages.clear()


@pytest.mark.parametrize("kind", ["default", "points", "table", "foreign"])
def test_a_phone_shows_it_all(open_page, kind):
    page = open_page(kind, "#model&lang=zh", **NARROW)
    for view in VIEWS:
        show(page, view)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view


TEXTS = """() => {
  const { clearRect, fillText } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.clearRect = function (...box) {
    this.canvas.written = [];
    clearRect.apply(this, box);
  };
  CanvasRenderingContext2D.prototype.fillText = function (text, x, y, room) {
    const { a, b, e } = this.getTransform(), wide = this.measureText(text), part = Math.min(1, room / wide.width || 1);
    const ends = [x - part * wide.actualBoundingBoxLeft, x + part * wide.actualBoundingBoxRight];
    if (!b) this.canvas.written?.push([text, ...ends.map((end) => (a * end + e) / devicePixelRatio)]);
    fillText.call(this, text, x, y, room);
  };
}"""
CUT = """[...document.querySelectorAll(".view:not([hidden]) canvas")].flatMap((canvas) => (canvas.written ?? []).filter(
  ([, left, right]) => left < -2 || right > canvas.clientWidth + 2))"""
PLACES = "#head :is(p, bdi, button), .view:not([hidden]) :is(p, li, label, td, th)"
OUTSIDE = f"""[...document.querySelectorAll("{PLACES}")].filter((element) => element.checkVisibility()
  && !element.closest(".strip, .scroll, .sideways") && element.scrollWidth > element.clientWidth + 6
  && getComputedStyle(element).display !== "inline" && getComputedStyle(element).overflow === "visible"
).map((element) => element.textContent)"""


@pytest.mark.parametrize("kind", ["far", "table"])
@pytest.mark.parametrize("width", [360, 1280])
def test_no_text_is_cut(open_page, kind, width):
    """Nor leaves its place; in the picture of a curve what lies at its edge may."""
    page = open_page(kind, viewport={"width": width, "height": 900})
    page.evaluate(TEXTS)
    for view in VIEWS:
        show(page, view)
        page.get_by_role("button", name="中文").click()
        page.evaluate("explorer.frame.flush()")
        assert [text for text, *_ in page.evaluate(CUT) if len(text) > 2] == [], view
        assert page.evaluate(OUTSIDE) == [], view
        page.get_by_role("button", name="English").click()


LOOKS = [
    ("latents-2", "en", "light"),
    ("latents-2", "zh", "dark"),
    ("points", "en", "dark"),
    ("table", "zh", "light"),
    ("foreign", "zh", "dark"),
]


@pytest.mark.parametrize(("kind", "language", "theme"), LOOKS)
def test_axe_finds_nothing_serious(open_page, grave, kind, language, theme):
    page = open_page(kind, f"#model&lang={language}&theme={theme}")
    assert page.evaluate("document.documentElement.lang") == {"en": "en", "zh": "zh-CN"}[language]
    for view in VIEWS:
        show(page, view)
        assert grave(page) == [], view


def test_classes_are_seen_on_dark_paper(open_page):
    """By 3 to 1 at least, the line of WCAG 1.4.11; and the legend has the picture's colours when the theme changes."""

    def luminance(colour):
        parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    page = open_page("latents-2", "#model&lang=en&theme=dark")
    spot = page.locator(".spot").first
    background = "(spot) => getComputedStyle(spot).backgroundColor"
    for theme in ("dark", "light"):
        found = page.evaluate("explorer.plot.colours()")
        first = [int(found["class-0"][i : i + 2], 16) for i in (1, 3, 5)]
        assert spot.evaluate(background) == "rgb({}, {}, {})".format(*first)
        if theme == "dark":
            for i in range(10):
                assert (luminance(found[f"class-{i}"]) + 0.05) / (luminance(found["paper"]) + 0.05) >= 3, i
            dark = first
            page.get_by_role("button", name="Theme: dark").click()
    assert first != dark


def test_a_name_from_right_to_left_turns_nothing_else_round(open_page):
    """Its exclamation mark is at its end, which is left, and not where the sentence goes on."""
    rows = [[0.0, 0.0], [1.0, 1.0]]
    made = mv.explore(mv.VAE(2, 2, (3,), likelihood="gaussian", backend="numpy"), rows, labels=["\u05d0\u05d1!"] * 2)
    page = open_page(made, "#model&lang=en")
    places = page.evaluate("""() => {
      const text = document.querySelector(".nearby").firstChild, range = document.createRange();
      return [":", "!", "\u05d1", "\u05d0"].map((sign) => {
        range.setStart(text, text.data.indexOf(sign));
        range.setEnd(text, text.data.indexOf(sign) + 1);
        return range.getBoundingClientRect().left;
      });
    }""")
    assert places == sorted(places)


def test_axe_is_asked(open_page, grave):
    found = grave(open_page("<html lang=en><title>t</title><main><h1>t</h1><input></main>", ready=False))
    assert [rule for rule, _ in found] == ["label"]


CONTROLS = """[...document.querySelectorAll("button, input, select, summary, a[href], [tabindex]")].filter(
    (element) => element.tabIndex >= 0 && !element.disabled && element.checkVisibility())"""


@pytest.mark.parametrize("kind", ["latents-2", "table"])
def test_tab_reaches_every_control(open_page, kind):
    """And the views and the examples by arrow keys, as in a list."""
    page = open_page(kind)
    page.evaluate("document.addEventListener('focusin', (event) => { event.target.dataset.reached = ''; })")
    page.locator("#tab-model").focus()
    for i, view in enumerate(VIEWS):
        if i:
            page.locator(f"#tab-{VIEWS[i - 1]}").focus()
            page.keyboard.press("ArrowRight")
        assert page.locator(f"#view-{view}").is_visible()
        for _ in range(page.evaluate(f"{CONTROLS}.length") + 3):
            page.keyboard.press("Tab")
        missed = page.evaluate(f"{CONTROLS}.filter((e) => !('reached' in e.dataset)).map((e) => e.outerHTML)")
        assert missed == [], view
    strip = page.locator(".strip button")
    strip.nth(0).focus()
    page.keyboard.press("ArrowRight")
    page.locator(".strip button:nth-child(2)[aria-selected=true]").wait_for()
    assert page.evaluate("explorer.state.state.index") == 1


@pytest.mark.parametrize("kind", ["latents-2", "points"])
def test_fingers_meet_what_they_aim_at(open_page, kind):
    """On a phone all controls are 40 pixels tall at least."""
    page = open_page(kind, **NARROW)
    assert page.evaluate("matchMedia('(pointer: coarse)').matches")
    for view in VIEWS:
        page.locator(f"#tab-{view}").tap()
        assert page.locator(f"#view-{view}").is_visible()
        small = page.evaluate(f"""{CONTROLS}.map((element) => element.closest(".toggle") ?? element)
            .filter((element) => element.getBoundingClientRect().height < 39.5).map((element) => element.outerHTML)""")
        assert small == [], view


@pytest.mark.parametrize("address", ["http://localhost:9/a.ipynb", None], ids=["server", "file"])
def test_a_notebook_shows_the_page_in_a_frame(open_page, browser, messages, address):
    """With a page of its own around it, which the scripts in the frame cannot reach."""
    made = mv.explore(*kinds.made("points")[:2])
    html = f'<!doctype html><meta charset="utf-8"><title>notebook</title>{made._repr_html_()}'
    if address is None:
        page = open_page(html, ready=False)
    else:
        page = browser.new_context().new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.route("**/*", lambda route: route.fulfill(body=html, content_type="text/html"))
        page.goto(address)
    frame = page.frames[1]
    frame.locator(READY).wait_for(state="attached")
    assert frame.locator(".about").inner_text() == "2-32-32-2, gaussian", "called by its widths, once"
    for view in VIEWS:
        show(frame, view)
        assert frame.locator(f"#view-{view}").inner_text().strip()
    assert frame.evaluate("try { parent.document } catch (error) { error.name }") == "SecurityError"
    if address:
        page.context.close()
