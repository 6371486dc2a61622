"""The first view: what it shows is the model's, and mouse, finger and keyboard all move it."""

import math

import numpy as np
import pytest

import minivae as mv
from minivae.kernels import philox

from . import kinds
from .reading import values

VIEW = "#view-model"
SETTLED = "() => { explorer.frame.flush(); }"
PAGE_STREAM = 100  # noise.js


NUMBERS = """() => {
  explorer.frame.flush();
  const outputs = document.querySelectorAll("#view-model output[data-name]");
  return Object.fromEntries([...outputs].map(({ dataset }) => [dataset.name, Number(dataset.value)]));
}"""


def shown(page, *names):
    """The numbers that the view shows under these names, in full."""
    values = page.evaluate(NUMBERS)
    return [values[name] for name in names]


def array(page, expression):
    return np.array(page.evaluate(f"() => Array.from({expression})"))


def canvas(page, label):
    """The figure whose label begins so."""
    return page.locator(f'{VIEW} canvas[aria-label^="{label}"]')


def drag(page, figure, *places):
    """The mouse goes through places, (x, y) as parts of the figure's width and height, with its button down."""
    figure.scroll_into_view_if_needed()
    box = figure.bounding_box()
    for number, (x, y) in enumerate(places):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=1 if number == 0 else 6)
        if number == 0:
            page.mouse.down()
    page.mouse.up()
    page.evaluate(SETTLED)


def close(found, expected):
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    assert np.all(np.abs(found - expected) <= 1e-5 * np.maximum(1, np.abs(expected))), (found, expected)


@pytest.mark.parametrize("kind", ["default", "latents-2", "points", "table", "latent-1", "beta-binomial", "logistic"])
def test_the_numbers_of_twenty_examples_are_those_of_the_model(open_page, kind):
    model, _, _ = kinds.made(kind)
    page = open_page(kind, "#model")
    noise = np.empty(model.latent, model.dtype)
    philox.fill_normals(0, PAGE_STREAM, 0, noise)
    second = min(1, model.latent - 1)
    all_found = page.evaluate(f"""() => Array.from({{ length: 20 }}, (_, i) => {{
      explorer.flow.pick(i);
      const numbers = ({NUMBERS})();
      return {{ numbers, x: [...explorer.state.state.x], z: [...explorer.state.state.z] }};
    }})""")
    for found in all_found:
        terms = model.forward(np.array([found["x"]], model.dtype), noise[None])
        numbers, sampler = found["numbers"], model.sampler
        for suffix, j in [("", 0), ("2", second)][: 1 + second]:
            for name, value in {"mu": model.head, "sigma": sampler.sigma, "z": sampler.z}.items():
                close(numbers[name + suffix], value[0, j])
        close([numbers[name] for name in ("nll", "kl", "elbo")], [terms.nll, terms.kl, -terms.nll - terms.kl])
        close(found["z"], sampler.z[0])
    assert len({tuple(found["x"]) for found in all_found}) == 20


def test_z_follows_mouse_finger_keys_and_sliders(open_page):
    page = open_page("default", "#model", has_touch=True)
    plane = canvas(page, "The plane")
    drag(page, plane, (0.4, 0.4), (0.8, 0.3))
    z, z2 = shown(page, "z", "z2")
    assert min(z, z2) > 1
    assert page.evaluate("explorer.state.state.moved")
    held = array(page, "explorer.state.state.z")[2:]

    plane.press("ArrowLeft")
    plane.press("Shift+ArrowDown")
    close(shown(page, "z", "z2"), (z - 0.05, z2 - 0.5))
    np.testing.assert_array_equal(array(page, "explorer.state.state.z")[2:], held)

    box = plane.bounding_box()
    page.touchscreen.tap(box["x"] + 0.3 * box["width"], box["y"] + 0.7 * box["height"])
    assert max(shown(page, "z", "z2")) < -0.5

    slider = page.locator(f"{VIEW} .sliders input").nth(7)
    slider.focus()
    before = array(page, "explorer.state.state.z")[7]
    slider.press("ArrowRight")
    assert abs(array(page, "explorer.state.state.z")[7] - before) == pytest.approx(0.01, abs=0.0051)


def test_buttons_draw_noise_return_to_mu_and_draw_from_the_prior(open_page):
    page = open_page("default", "#model")
    state = {name: array(page, f"explorer.state.state.{name}") for name in ("noise", "z")}
    press = lambda name: page.get_by_role("button", name=name).click()  # noqa: E731
    press("New noise")
    assert not np.any(array(page, "explorer.state.state.noise") == state["noise"])
    mu, sigma = (array(page, f"explorer.state.state.head.{name}") for name in ("mu", "sigma"))
    noise = array(page, "explorer.state.state.noise")
    np.testing.assert_allclose(array(page, "explorer.state.state.z"), mu + sigma * noise, rtol=1e-12)
    press("Back to μ")
    np.testing.assert_array_equal(array(page, "explorer.state.state.z"), mu)
    press("z from the prior")
    drawn = np.empty(20, np.float32)
    philox.fill_normals(0, PAGE_STREAM + 3, 0, drawn)
    np.testing.assert_array_equal(array(page, "explorer.state.state.z"), drawn)
    assert page.evaluate("explorer.state.state.moved")


def test_a_latent_is_chosen_in_the_chart_and_in_the_lists(open_page):
    page = open_page("latents-100", "#model")
    chart = canvas(page, "The posterior of each latent")
    chart.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown"):
        chart.press(key)
    assert page.evaluate("explorer.state.state.axes") == [3, 0]
    chart.click(position={"x": 60, "y": 14 + 10.5 * 7.5})
    assert page.evaluate("explorer.state.state.axes") == [7, 0]
    page.get_by_label("across").select_option("99")
    page.get_by_label("up", exact=True).select_option("99")  # the two change places
    assert page.evaluate("explorer.state.state.axes") == [0, 99]
    mu = array(page, "explorer.state.state.head.mu")
    assert shown(page, "mu", "mu2") == [mu[0], mu[99]]
    assert page.get_by_label("across").input_value() == "0"


SEVEN = ((0.15, 0.2), (0.6, 0.2), (0.4, 0.85))


def test_what_is_drawn_is_centred_encoded_and_cleared(open_page):
    page = open_page("default", "#model")
    pad = canvas(page, "Drawing pad")
    drag(page, pad, *SEVEN)
    x = array(page, "explorer.state.state.x").reshape(28, 28)
    assert page.evaluate("explorer.state.state.drawn")
    rows, columns = (np.flatnonzero((x > 0.3).any(axis)) for axis in (1, 0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20, 21)
    places = np.arange(28) + 0.5
    for axis in (0, 1):
        assert (x.sum(axis) @ places) / x.sum() == pytest.approx(14.5, abs=0.51)
    np.testing.assert_allclose(np.rint(255 * x) / 255, x, rtol=1e-6)

    model, _, _ = kinds.made("default")
    mu, sigma = model.encode(x.astype(np.float32).reshape(1, -1))
    close(array(page, "explorer.state.state.head.mu"), mu[0])
    close(array(page, "explorer.state.state.head.sigma"), sigma[0])

    page.get_by_label("centre it").uncheck()
    moved = array(page, "explorer.state.state.x").reshape(28, 28)
    assert moved.sum() == pytest.approx(x.sum(), rel=0.3)
    assert np.flatnonzero((moved > 0.3).any(1))[0] < 8 <= np.flatnonzero((moved > 0.3).any(1))[-1]
    page.get_by_role("button", name="Undo").click()
    assert not array(page, "explorer.state.state.x").any()
    drag(page, pad, *SEVEN)
    page.get_by_role("button", name="Clear").click()
    assert not array(page, "explorer.state.state.x").any()


def test_the_keyboard_draws(open_page):
    page = open_page("default", "#model")
    pad = canvas(page, "Drawing pad")
    pad.focus()
    for key in ["ArrowUp"] * 6 + [" "] + ["ArrowDown"] * 12 + [" "] + ["ArrowRight"] * 3:
        pad.press(key)
    x = array(page, "explorer.state.state.x").reshape(28, 28)
    assert 2 <= (x > 0.3).any(0).sum() <= 5  # a long line, upright
    assert (x > 0.3).any(1).sum() >= 18
    pad.press("Delete")
    assert not array(page, "explorer.state.state.x").any()


def test_colours_are_painted_upon_the_example(open_page):
    page = open_page("rgb", "#model")
    before = array(page, "explorer.state.state.x").reshape(8, 8, 3)
    page.get_by_label("Colour of the pen").fill("#ff0080")
    drag(page, canvas(page, "Drawing pad"), (0.56, 0.56), (0.57, 0.56))
    after = array(page, "explorer.state.state.x").reshape(8, 8, 3)
    np.testing.assert_allclose(after[4, 4], (1, 0, 128 / 255), atol=1e-6)
    untouched = np.ones((8, 8), bool)
    untouched[3:6, 3:6] = False
    np.testing.assert_array_equal(after[untouched], before[untouched])


def test_a_value_of_a_profile_and_a_point_of_a_plane_are_moved(open_page):
    page = open_page("table", "#model")
    bars = canvas(page, "The values of the example")
    bars.focus()
    bars.press("ArrowRight")
    before = array(page, "explorer.state.state.x")
    bars.press("ArrowUp")
    change = array(page, "explorer.state.state.x") - before
    assert change[1] > 0
    assert np.count_nonzero(change) == 1
    assert page.get_by_label("Value", exact=True).input_value() == "1"

    page = open_page("points", "#model")
    drag(page, canvas(page, "The plane of the data"), (0.5, 0.5), (0.85, 0.2))
    x = array(page, "explorer.state.state.x")
    assert page.evaluate("explorer.state.state.drawn")
    assert x.min() > 3  # to the right, and up
    canvas(page, "The plane of the data").press("ArrowRight")
    assert array(page, "explorer.state.state.x")[0] > x[0]


MADE = """async (count) => {
  const z = new Float64Array(count), limits = { x: [-2, 2], y: [-1, 3], columns: 4, rows: 2 };
  globalThis.plane = { axes: [0, 1], z, ink: "#000000", ...limits };
  await new Promise((resolve) => {
    globalThis.made = new explorer.manifold.Manifold(() => made.done && resolve());
    made.want(plane);
  });
}"""
# Whether all pictures are still there when another plane is asked for.
KEPT = "(other) => { made.want({ ...plane, ...other, z: Float64Array.from(other.z ?? plane.z) }); return made.done; }"


def test_pictures_of_the_plane_are_the_decoders_and_stay_while_z_moves(open_page):
    page = open_page("latents-2", "#model")
    page.evaluate(MADE, 2)
    model, _, _ = kinds.made("latents-2")
    z = np.array([(x, y) for y in (2, 0) for x in (-1.5, -0.5, 0.5, 1.5)], np.float32)
    expected = model.decode(z).reshape(2, 4, 28, 28).swapaxes(1, 2).reshape(56, 112)
    found = array(page, "made.g.getImageData(0, 0, 112, 56).data").reshape(56, 112, 4)[..., 3]
    assert np.abs(found - 255 * expected).max() <= 1
    assert page.evaluate(KEPT, {"z": [0.3, 0.4]})
    assert not page.evaluate(KEPT, {"x": [-1, 1]})

    page = open_page("rgb", "#model")
    page.evaluate(MADE, 3)
    assert page.evaluate(KEPT, {"z": [0.3, 0.4, 0]})
    assert not page.evaluate(KEPT, {"z": [0, 0, 0.1]})


@pytest.mark.parametrize("kind", ["latents-2", "classes-40"])
def test_the_nearest_point_is_named(open_page, kind):
    model, _, _ = kinds.made(kind)
    page = open_page(kind, "#model")
    mu = array(page, "explorer.payload.payload.data.points.mu").reshape(-1, model.latent)[:, :2]
    labels = array(page, "explorer.payload.payload.data.points.labels")
    for z in np.add(mu[::40][:5], (0.01, -0.02)):
        page.evaluate(f"() => {{ explorer.flow.moveZ({{ 0: {z[0]}, 1: {z[1]} }}); explorer.frame.flush(); }}")
        expected = labels[np.argmin(((mu - z) ** 2).sum(1))]
        name = page.evaluate(f"explorer.payload.className({expected})")
        assert page.locator(f"{VIEW} .nearby").text_content() == f"Nearest held-out point to z: class {name}"


@pytest.mark.parametrize("kind", ["foreign", "latent-1", "points-latent-1"])
def test_other_kinds_are_moved_by_keys_as_well(open_page, kind):
    page = open_page(kind, "#model")
    figure = canvas(page, "The plane of two" if kind == "foreign" else "The axis")
    figure.focus()
    for _ in range(3):
        figure.press("ArrowRight")
    if kind == "foreign":
        assert "class" in page.locator(f"{VIEW} .nearby").text_content()
    else:
        before = shown(page, "z")[0]
        page.get_by_label("zoom").check()
        figure.press("ArrowLeft")
        close(shown(page, "z")[0], before - 0.05)


def test_noise_of_a_z_moved_by_hand_ends_with_the_example(open_page):
    """The next example has the noise that was drawn last, not what it would have taken to come to that z."""
    page = open_page("default", "#model&lang=en")
    noise = array(page, "explorer.state.state.noise")
    assert not math.isnan(values(page)["elbo"])
    page.evaluate("explorer.flow.moveZ({ 0: 9, 3: -8 })")
    assert math.isnan(values(page)["elbo"])  # no draw of q, so no estimate
    page.evaluate("explorer.flow.pick(4)")
    assert not math.isnan(values(page)["elbo"])
    np.testing.assert_array_equal(array(page, "explorer.state.state.noise"), noise)
    mu, sigma = (array(page, f"explorer.state.state.head.{name}") for name in ("mu", "sigma"))
    np.testing.assert_allclose(array(page, "explorer.state.state.z"), mu + sigma * noise, rtol=1e-12)


def test_the_seed_is_that_of_all_noise(open_page):
    """Also where it is more than a number of JSON holds."""
    model, data, options = kinds.made("latents-2")
    for seed in (5, 2**64 - 1):
        page = open_page(mv.explore(model, data, **options, seed=seed), "#model&lang=en")
        noise = np.empty(2, np.float32)
        philox.fill_normals(seed, PAGE_STREAM, 0, noise)
        np.testing.assert_array_equal(array(page, "explorer.state.state.noise"), noise)
        page.locator("#tab-estimators").click()
        shown = page.locator("#view-estimators [data-name=seed]")
        assert shown.inner_text() == str(seed)
        page.get_by_role("button", name="Next seed").click()
        values(page)
        assert shown.inner_text() == str((seed + 1) % 2**64)


def test_a_second_finger_and_another_button_draw_nothing(open_page):
    page = open_page("default", "#model", has_touch=True)
    drawing = canvas(page, "Drawing pad")
    box = drawing.bounding_box()
    client = page.context.new_cdp_session(page)
    at = lambda x, y, id: {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": id}  # noqa: E731
    script = "Array.from(explorer.state.state.x)"

    def touch(*points):
        for kind, fingers in points:
            client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
            page.evaluate("new Promise(requestAnimationFrame)")
        return page.evaluate(script)

    line = [("touchStart", [at(0.3, 0.2, 0)]), ("touchMove", [at(0.3, 0.7, 0)])]
    alone = touch(*line, ("touchEnd", []))
    drawing.press("Delete")
    both = [("touchStart", [at(0.3, 0.7, 0), at(0.8, 0.8, 1)]), ("touchMove", [at(0.3, 0.7, 0), at(0.9, 0.3, 1)])]
    assert touch(*line, *both, ("touchEnd", [])) == alone
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 0.9 * box["height"])
    page.mouse.down(button="right")
    page.mouse.up(button="right")
    assert page.evaluate(script) == alone
