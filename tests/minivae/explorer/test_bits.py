"""The view of bits, in Chromium: accounts of examples against Python's, and what is said where there are no bits."""

import math

import numpy as np
import pytest

import minivae as mv
from minivae.bounds import drawn_log_weights, log_mean_exp

from . import kinds
from .reading import ask, close, comes_to, examples, normals, values

VIEW = "#view-bits"
NAT = 1 / math.log(2)
PAGE_STREAM = 100  # noise.js
DIGITS = 10  # of z, where the slider is at first


def now(page):
    """The numbers that the view shows, after what waits for a frame."""
    page.evaluate("() => explorer.frame.flush()")
    return values(page)


def binary():
    """A model of 16 pixels that are 0 or 1, and some."""
    rng = np.random.default_rng(0)
    x = (rng.random((60, 16)) < 0.4).astype(np.float32)
    return mv.VAE(16, 3, (12,), backend="numpy", seed=1), x


def account(model, row, noise):
    """(bits of each value or None, of all values, of z under the prior, under q) of one row, in float64."""
    terms = model.forward(row, noise)
    z, sigma = (getattr(model.sampler, name)[0].astype(float) for name in ("z", "sigma"))
    mu, output = model.head[0, : model.latent].astype(float), model.decoder.values[-1][0].astype(float)
    pixels = None
    if model.likelihood.name == "bernoulli":
        pixels = NAT * np.logaddexp(0, np.where(row[0] > 0, -output, output))
    prior = NAT * (z**2 / 2 + 0.5 * math.log(2 * math.pi)).sum()
    posterior = NAT * (((z - mu) / sigma) ** 2 / 2 + np.log(sigma) + 0.5 * math.log(2 * math.pi)).sum()
    return pixels, NAT * terms.nll, prior, posterior


@pytest.mark.parametrize("kind", ["binary", "default", "beta-binomial", "logistic", "points"])
def test_the_account_of_twenty_examples(open_page, kind):
    """Grey images are thresholded first; of a density each value has 8 digits more."""
    model, x = binary() if kind == "binary" else (kinds.made(kind)[0], None)
    page = open_page(kind if x is None else mv.explore(model, x), "#bits")
    noise, k = normals(0, PAGE_STREAM, 0, 1, model.latent).astype(model.dtype), 16
    digits = 8 * model.features if kind == "points" else 0
    for i, row in enumerate(examples(page, model)):
        page.evaluate(f"() => explorer.flow.pick({i})")
        row = (row > 0.5).astype(model.dtype)[None] if kind == "default" else row[None]
        pixels, data, prior, posterior = account(model, row, noise)
        found = now(page)
        close(found["bits_data"], data + digits)
        close(found["bits_prior"], prior + DIGITS * model.latent)
        close(found["bits_posterior"], posterior + DIGITS * model.latent)
        net = data + prior - posterior
        close([found["bits_net"], found["bits_each"]], [net + digits, (net + digits) / model.features])
        close(found["bits_nats"], net / NAT)
        if pixels is not None:
            dearest = int(np.argmax(pixels))
            close([found["pixel_bits"], found["pixel_x"]], [pixels[dearest], row[0, dearest]])
            close(found["pixel_mean"], model.decode(model.sampler.z)[0, dearest])
            each = ask(page, f"""const x = Float32Array.from({row[0].tolist()}), head = headOf(x);
              const z = head.mu.map((m, j) => m + head.sigma[j] * explorer.state.state.noise[j]);
              return plain(explorer.coding.account(model, x, head, z).pixels);""")  # fmt: skip
            close(each, pixels)
    ((_, weight),) = drawn_log_weights(model, row, k, 0, progress=False)
    comes_to(page, "bits_k", -NAT * log_mean_exp(weight[0]) + digits)
    close(now(page)["bits_one"], -NAT * weight[0].mean() + digits)


def test_digits_of_z_are_paid_and_come_back(open_page):
    page = open_page("beta-binomial", "#bits")
    before = now(page)
    digits = page.locator(f"{VIEW} input[type=range]").first
    digits.focus()
    digits.press("ArrowRight")
    after = now(page)
    for name, more in {"bits_prior": 3, "bits_posterior": 3, "bits_net": 0, "bits_data": 0}.items():
        close(after[name] - before[name], more, 1e-9)


@pytest.mark.parametrize(
    ("amounts", "written"),
    [
        ((90.0, 30.0, 20.0), ["90.0", "+30.0", "-20.0", "100.0"]),
        ((-7.0, 3.0, -2.0), ["-7.0", "+3.0", "+2.0", "-2.0"]),  # of a density, above 1
        ((3.2e7, 1.0, 0.5), ["3.20e+7", "+1.0", "-0.5", "3.20e+7"]),
    ],
)
def test_the_bars_say_what_is_paid_with_its_sign(open_page, amounts, written):
    data, prior, posterior = amounts
    given = {"data": data, "prior": prior, "posterior": posterior, "net": data + prior - posterior}
    page = open_page("points", "#bits")
    texts = ask(page, """const said = [], g = document.createElement("canvas").getContext("2d");
      g.fillText = (text) => said.push(text);
      explorer.bits_figures.drawAccount(g, 400, 190, given);
      return said;""", given)  # fmt: skip
    texts = [text.replace("\N{MINUS SIGN}", "-") for text in texts]
    assert [texts[texts.index(name) + 1] for name in ("x given z", "z", "back", "net")] == written


def test_grey_pixels_have_no_bits_until_they_are_black_and_white(open_page):
    page = open_page("default", "#bits")
    box, account = page.locator(f"{VIEW} input[data-name=threshold]"), page.get_by_role("heading", name="Bits back")
    assert page.get_by_text("This example has values between 0 and 1").is_visible()
    assert account.is_visible()
    box.press(" ")
    assert not account.is_visible()
    assert page.get_by_text("This example has values between 0 and 1").is_visible()
    box.press(" ")
    assert account.is_visible()


@pytest.mark.parametrize(("kind", "said"), [("bound", False), ("beta-binomial", False), ("points", True)])
def test_what_is_said_of_other_data(open_page, kind, said):
    """Pixels of 0 and 1, and bytes, have bits; a density has none but those of its steps."""
    page = open_page(kind, "#bits")
    assert not page.get_by_text("This example has values between 0 and 1").is_visible()
    assert page.get_by_text("is a density of real numbers").is_visible() is said
    assert page.get_by_role("heading", name="Bits back").is_visible()
    before = now(page)["bits_data"]
    if said:
        slider = page.locator(f"{VIEW} input[type=range]").first
        slider.focus()
        slider.press("ArrowRight")
        close(now(page)["bits_data"] - before, 2, 1e-9)


def test_a_pixel_is_chosen_by_key_mouse_and_finger(open_page):
    page = open_page("default", "#bits", has_touch=True)
    place = now(page)["pixel_place"]
    picture = page.locator(f"{VIEW} canvas").first
    picture.focus()
    for key, change in {"ArrowRight": 1, "ArrowDown": 28, "ArrowLeft": -1, "ArrowUp": -28}.items():
        picture.press(key)
        place += change
        assert now(page)["pixel_place"] == place
    box = picture.bounding_box()
    cell = (box["width"] - 12) / 3 * 2 / 28
    page.touchscreen.tap(box["x"] + 14.5 * cell, box["y"] + 20 + 9.5 * cell)
    assert now(page)["pixel_place"] == 9 * 28 + 14
    page.mouse.move(box["x"] + 3.5 * cell, box["y"] + 20 + 2.5 * cell)
    assert now(page)["pixel_place"] == 2 * 28 + 3


def test_another_draw_is_another_account(open_page):
    page = open_page("beta-binomial", "#bits")
    before = now(page)
    page.get_by_role("button", name="Draw another z").click()
    after = now(page)
    assert after["bits_net"] != before["bits_net"]
    noise = normals(0, PAGE_STREAM, 1, 1, 3)
    model = kinds.made("beta-binomial")[0]
    _, data, prior, posterior = account(model, examples(page, model, 1), noise)
    close(after["bits_net"], data + prior - posterior)


@pytest.mark.parametrize("shape", [(200, 1), (1, 200)])
def test_an_image_like_a_thread(open_page, shape):
    """It makes no tower of the page, and its values can be pointed at."""
    x = (np.random.default_rng(0).random((20, 200)) < 0.4).astype(np.float32)
    page = open_page(mv.explore(mv.VAE(200, 2, (4,), backend="numpy"), x, image_shape=shape), "#bits")
    assert page.evaluate("document.documentElement.scrollHeight") < 4000
    box = page.locator(f"{VIEW} canvas").first.bounding_box()
    middle = [(box["width"] - 12) / 3, 20 + (box["height"] - 44) / 2]
    page.mouse.move(box["x"] + middle[0], box["y"] + middle[1])
    assert abs(now(page)["pixel_place"] - 100) <= 2
