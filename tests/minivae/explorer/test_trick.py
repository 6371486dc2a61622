"""The trick: the numbers on the arrows are those of the layer, and their averages those of the closed forms."""

import math
import re

import numpy as np
import pytest

from minivae.estimators import Normal
from minivae.estimators.functions import Cosine, Quadratic
from minivae.reparam import Reparameterize

from . import kinds
from .reading import ask, choose, close, move, values

VIEW = "#trick"
PYTHON = {"quadratic": Quadratic, "cosine": Cosine}
RANGES = {"quadratic": (-3, 3), "cosine": (0.5, 5), "step": (-3, 3)}


def layer(mu, sigma, noise, slope):
    """z, dmu and dsigma of the reparameterization layer."""
    sampler = Reparameterize("exp", dtype="float64")
    column = [np.array([[value]]) for value in (mu, math.log(sigma), noise)]
    z = sampler.forward(*column)[0, 0]
    dmu, drho = sampler.backward(np.array([[float(slope(z))]]))
    return {"z": z, "dmu": dmu[0, 0], "dsigma": drho[0, 0] / sigma}  # exp: drho = dsigma * sigma


class Step:
    def __init__(self, k):
        self.k = k

    def __call__(self, z):
        return float(z > self.k)

    def derivative(self, z):
        return 0.0

    def gradient(self, q):
        t = (q.mu - self.k) / q.sigma
        density = math.exp(-0.5 * t * t) / math.sqrt(2 * math.pi)
        return np.array([density / q.sigma, -t * density / q.sigma])


@pytest.mark.parametrize("name", ["quadratic", "cosine", "step"])
def test_the_numbers_on_the_arrows_are_the_layers(open_page, name):
    page = open_page("latent-1", VIEW)
    choose(page, "f(z)", name)
    rng = np.random.default_rng(0)
    for _ in range(20):
        mu, sigma, noise, k = rng.uniform(-2, 2), rng.uniform(0.05, 1.8), rng.uniform(-3, 3), rng.uniform(*RANGES[name])
        move(page, k=k, μ=mu, σ=sigma, **{"noise ε": noise})
        shown = values(page)
        f = {**PYTHON, "step": Step}[name](k)
        expected = layer(mu, sigma, noise, f.derivative)
        expected |= {"mu": mu, "sigma": sigma, "noise": noise, "f": f(expected["z"]), "df": f.derivative(expected["z"])}
        expected["exact_dmu"], expected["exact_dsigma"] = f.gradient(Normal(mu, sigma))
        for key, value in expected.items():
            close(shown[key], value, 1e-9)


def test_the_decoders_loss_is_the_models(open_page):
    """f, df/dz and both gradients of 20 examples, each along another latent, as one pass of the model has them."""
    model, _, _ = kinds.made("default")
    page = open_page("default", VIEW)
    rows, x, noise = page.evaluate(
        "[explorer.payload.payload.data.index, explorer.payload.payload.data.x, explorer.state.state.noise]"
        ".map((values) => Array.from(values))"
    )
    x = np.array(x, np.float32).reshape(len(rows), -1)
    noise = np.array([noise], np.float32)
    for i in range(20):
        page.evaluate("([i, j]) => { explorer.flow.pick(i); explorer.state.change({ axes: [j, 0] }); }", [i, i])
        shown = values(page)
        nll = model.forward(x[i : i + 1], noise).nll
        model.backward()
        mu, sigma = (array[0, i] for array in (model.head, model.sampler.sigma))
        dz = model.dhead[0, i] - model.beta * mu  # dmu of the whole loss less that of the KL
        expected = {"mu": mu, "sigma": sigma, "noise": noise[0, i], "z": model.sampler.z[0, i], "f": nll}
        expected |= {"df": dz, "dmu": dz, "dsigma": dz * noise[0, i]}
        for key, value in expected.items():
            close(shown[key], float(value))


FINE = """new Promise((done) => {
  const look = () => (explorer.view_trick.shown_trick().along.done ? done() : setTimeout(look, 20));
  look();
})"""
STATE = "[explorer.state.state.x, explorer.state.state.z].map((values) => Array.from(values))"
OWN = """[...["mu", "sigma"].map((name) => explorer.state.state.head[name]), explorer.state.state.noise]
  .map((values) => Array.from(values))"""


def test_the_slope_of_the_expected_loss(open_page):
    """From the table, once it is fine, against 4,001 passes of the model with an even spacing of the noise."""
    model, _, _ = kinds.made("latents-2")
    page = open_page("latents-2", VIEW)
    page.evaluate(FINE)
    shown = values(page)
    x, z = map(np.array, page.evaluate(STATE))
    e = np.linspace(-6, 6, 4001)
    weight = np.exp(-0.5 * e**2)
    weight /= weight.sum()
    rows = np.tile(z, (len(e), 1))
    rows[:, 0] = shown["mu"] + shown["sigma"] * e
    mean = model.decode(rows.astype(np.float32)).astype(float)
    f = -(x * np.log(mean) + (1 - x) * np.log1p(-mean)).sum(axis=1)
    close(shown["exact_dmu"], (weight * f * e).sum() / shown["sigma"], 1e-3)
    close(shown["exact_dsigma"], (weight * f * (e**2 - 1)).sum() / shown["sigma"], 1e-3)


AVERAGES = """([name, k, mu, sigma, mistake]) => {
  const averages = new explorer.averages.Averages(new explorer.noise.Source(7, 300));
  const f = explorer.functions.FUNCTIONS[name](k);
  averages.reset(f, mu, sigma, mistake);
  while (averages.step(2000));
  const two = (list) => list.map((one) => [one.mean, one.error]);
  return { path: two(averages.path), score: two(averages.score), exact: f.gradient(mu, sigma) };
}"""


def away(estimate, value):
    """How many standard errors."""
    mean, error = estimate
    return abs(mean - value) / max(error, 1e-12)


@pytest.mark.parametrize("name", ["quadratic", "cosine", "step"])
def test_averages_converge_to_the_slope(open_page, name):
    page = open_page("latent-1", VIEW)
    found = page.evaluate(AVERAGES, [name, 0.7, 0.4, 0.8, False])
    for p in (0, 1):
        assert away(found["score"][p], found["exact"][p]) < 4
        if name == "step":  # no slope anywhere, and no error to show that this is wrong
            assert found["path"][p] == [0, 0]
            assert abs(found["exact"][p]) > 0.1
        else:
            assert away(found["path"][p], found["exact"][p]) < 4
            assert found["path"][p][1] < found["score"][p][1]

    wrong = page.evaluate(AVERAGES, [name, 0.7, 0.4, 0.8, True])["path"]
    if name != "step":
        assert away(wrong[0], found["exact"][0]) < 4  # mu needs no noise
        assert away(wrong[1], 0) < 4
        assert away(wrong[1], found["exact"][1]) > 20


def test_run_and_the_mistake(open_page):
    """The button averages many draws; with fresh noise in backward dsigma averages to 0, and a sentence says why."""
    page = open_page("latent-1", VIEW)
    choose(page, "f(z)", "quadratic")
    move(page, μ=0.3, σ=1.5)
    assert math.isnan(values(page)["mean_dmu"])
    run = page.get_by_role("button", name="Run many draws")
    for mistake in (False, True):
        if mistake:
            page.get_by_label("mistake: fresh noise in backward").check()
            shown = values(page)
            assert shown["dmu"] == shown["df"]
            assert abs(shown["dsigma"] / shown["df"] - shown["noise"]) > 0.01  # another draw's
            assert "= 0 whatever the slope is" in page.locator("#view-trick [role=status]").inner_text()
        run.click()
        page.locator("#view-trick [data-name=draws]", has_text=re.compile(r"^\d{5,}$")).wait_for()
        if not mistake:
            run.evaluate("(run) => run.ariaPressed === 'true' && run.click()")  # it may have come to its end
        assert run.get_attribute("aria-pressed") == str(mistake).lower()
        shown = values(page)
        assert away([shown["mean_dmu"], shown["error_dmu"]], shown["exact_dmu"]) < 4
        assert away([shown["mean_dsigma"], shown["error_dsigma"]], 0 if mistake else shown["exact_dsigma"]) < 4
        assert shown["exact_dsigma"] == pytest.approx(3)
    move(page, μ=0.4)
    assert values(page)["draws"] < 1000  # another question: from the beginning


HANDLES = "explorer.view_trick.shown_trick().places"


def drag(page, name, by, touch=False):
    """The handle `name` of the curve, so many pixels to the right."""
    canvas = page.locator("#view-trick canvas.active")
    canvas.scroll_into_view_if_needed()
    page.evaluate("new Promise(requestAnimationFrame)")
    x, y = page.evaluate(f"{HANDLES}['{name}']")
    box = canvas.bounding_box()
    x, y = x + box["x"], y + box["y"]
    if touch:
        client = page.context.new_cdp_session(page)
        for kind, at in (("touchStart", 0), ("touchMove", by / 2), ("touchMove", by)):
            client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x + at, "y": y}]})
        client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    else:
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + by, y, steps=4)
        page.mouse.up()


def test_the_slope_far_out(open_page):
    """Where mu lies beyond all of the prior, E[f] is tabulated there too: with hardly any sigma its slope is df/dz."""
    averaged, here = ask(open_page("far", VIEW), """
      const head = { mu: [0, -96.2], sigma: [1, 1e-9] };
      const along = new explorer.along.LossAlong(model, example(0), head.mu, 1, head);
      along.fill(Infinity);
      return [along.table().gradient(-96.2, 1e-9)[0], along.at(-96.2)[1]];""")  # fmt: skip
    close(averaged / here, 1, 1e-3)


@pytest.mark.parametrize("sigma", [1e-2, 1e-9, 1e-160, 0])
def test_the_slope_of_a_table_at_any_sigma(open_page, sigma):
    """A collapsed posterior's too: there the averages are f' and 0, whatever f's own size."""
    found = ask(open_page("points"), f"""
      const at = (fn) => Float64Array.from({{ length: 81 }}, (_, i) => fn(-8 + 0.2 * i));
      const f = explorer.functions.tabulated("loss", -8, 8, at((z) => 7e6 + z ** 3), at((z) => 3 * z ** 2));
      return f.gradient(1.1, {sigma});""")  # fmt: skip
    close(found, [3 * (1.1**2 + sigma**2), 6 * 1.1 * sigma])  # E[3 z^2], E[3 z^2 noise]


@pytest.mark.parametrize("touch", [False, True], ids=["mouse", "touch"])
def test_z_moves_along_its_path(open_page, touch):
    """Dragging mu, then sigma, with the noise frozen: z = mu + sigma * noise; dragging z moves the noise."""
    size = {"width": 360, "height": 740} if touch else {"width": 1280, "height": 900}
    page = open_page("latent-1", VIEW, has_touch=touch, viewport=size)
    choose(page, "f(z)", "quadratic")
    move(page, μ=-0.5, σ=1.2, **{"noise ε": 0.9})
    before = values(page)
    for name in ("mu", "sigma", "z"):
        scale = page.evaluate(f"{HANDLES}.scale")
        drag(page, name, 24, touch)
        after = values(page)
        moved = "noise" if name == "z" else name
        close(after[moved] - before[moved], 24 * scale / (after["sigma"] if name == "z" else 1), 1e-3)
        for other in {"mu", "sigma", "noise"} - {moved}:
            assert after[other] == before[other]
        close(after["z"], after["mu"] + after["sigma"] * after["noise"], 1e-12)
        before = after


def test_by_keyboard(open_page):
    """The arrow keys on the curve move mu and sigma; Space draws again, and unfreezes the noise."""
    page = open_page("latent-1", VIEW)
    choose(page, "f(z)", "cosine")
    before = values(page)
    page.locator("#view-trick canvas.active").focus()
    for key in ("ArrowRight", "ArrowUp", "Shift+ArrowUp"):
        page.keyboard.press(key)
    after = values(page)
    close(after["mu"] - before["mu"], 0.02, 1e-9)
    close(after["sigma"] - before["sigma"], 0.11, 1e-9)
    assert after["noise"] == before["noise"]

    page.get_by_role("button", name="Draw again").focus()
    page.keyboard.press("Space")
    drawn = values(page)
    assert drawn["noise"] != after["noise"]
    assert (drawn["mu"], drawn["sigma"]) == (after["mu"], after["sigma"])
    page.get_by_label("freeze the noise").focus()
    page.keyboard.press("Space")
    noise = values(page)["noise"]
    page.locator("#view-trick canvas.active").focus()
    page.keyboard.press("ArrowLeft")
    assert values(page)["noise"] != noise


def test_another_example_begins_with_its_own(open_page):
    """mu, sigma and noise are the encoder's and the page's draw, of the latent chosen; a button returns there."""
    page = open_page("latents-2", VIEW)
    for index, latent in ((3, 1), (5, 2), (5, 1)):
        page.locator(".strip button").nth(index).click()
        choose(page, "latent", str(latent - 1))
        shown = values(page)
        head = page.evaluate(OWN)
        assert [shown[name] for name in ("mu", "sigma", "noise")] == [of_all[latent - 1] for of_all in head]
        move(page, μ=2.5)
        assert values(page)["mu"] == 2.5
        page.get_by_role("button", name="The encoder's").click()
        assert values(page)["mu"] == shown["mu"]


def test_sliders_show_what_the_numbers_are(open_page):
    """However far a handle is dragged, or z was moved in the plane: what a slider shows is what the view takes."""
    page = open_page("latents-2", VIEW)

    def check():
        shown = values(page)
        for label, name in (("μ", "mu"), ("\N{GREEK SMALL LETTER SIGMA}", "sigma"), ("noise ε", "noise")):
            assert float(page.get_by_label(label, exact=True).input_value()) == pytest.approx(shown[name], abs=1e-9)
        close(shown["z"], shown["mu"] + shown["sigma"] * shown["noise"], 1e-9)
        low, high = page.evaluate("(({ low, high }) => [low, high])(explorer.view_trick.shown_trick().surveyed)")
        return shown["z"], low, high

    check()
    for name in ("mu", "sigma", "z"):
        drag(page, name, 3000)
        check()
    page.evaluate("explorer.flow.moveZ({ 0: 5.5 })")
    z, low, high = check()
    assert z == pytest.approx(5.5)
    assert low <= z <= high


def test_with_fresh_noise_the_step_still_says_that_the_path_fails(open_page):
    page = open_page("latent-1", VIEW)
    choose(page, "f(z)", "step")
    page.get_by_label("mistake: fresh noise in backward").check()
    said = page.locator("#view-trick [role=status]").inner_text()
    assert "the path carries nothing back" in said
    assert "stays right" not in said
    score = page.get_by_label("score function beside it")
    assert score.is_checked()
    score.uncheck()
    page.locator(".strip button").nth(3).click()
    values(page)
    assert not score.is_checked()
