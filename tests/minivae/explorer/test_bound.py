"""The page's bounds and gradient steps, in Chromium, against Python's: draws, L_K, log p(x), steps right and wrong."""

import math
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from minivae.bounds import drawn_log_weights, log_mean_exp
from minivae.evaluation import importance
from minivae.kernels import philox
from minivae.lab import calibration, collapse
from minivae.vae import VAE

from . import kinds
from .reading import EXAMPLES, ask, close, comes_to, examples, normals, values

VIEW = "#view-bound"
MISTAKES = [name for name in collapse.VARIANTS if name != "right"]
STEPPING, MEASURING = 110, 111  # streams of step.js


def priced(model, row, noise):
    """nll of each draw (k,) and the KL of one row (1, features), by the noise (k, latent)."""
    nll, kl = model.elbo_terms(row, noise.astype(model.dtype))
    return np.array(nll, float), float(kl.sum())


@pytest.mark.parametrize("kind", ["default", "latents-2", "points", "table", "beta-binomial", "logistic", "float64"])
def test_draws_and_bounds_are_those_of_the_model(open_page, kind):
    model, k, seed = kinds.made(kind)[0], 12, 3
    page = open_page(kind, "#model")
    script = f"""return [...Array({EXAMPLES}).keys()].map((i) => {{
      const x = example(i), draws = new explorer.bounds.Draws(model, x, headOf(x), {seed});
      while (draws.count < {k}) draws.next();
      const {{ nll, kl, log_weight, bound }} = draws;
      const means = [1, 2, 3, 6].map((count) => explorer.bounds.mean_bound(log_weight, count));
      const moments = explorer.bounds.moments(log_weight);
      return {{ nll, kl, log_weight, bound, means, moments: [moments.value, moments.error, moments.effective] }};
    }})"""
    noise = normals(seed, philox.IMPORTANCE, 0, k, model.latent)
    for row, found in zip(examples(page, model), ask(page, script), strict=True):
        ((_, weight),) = drawn_log_weights(model, row[None], k, seed, progress=False)
        nll, _ = priced(model, row[None], noise)
        z, sigma = (getattr(model.sampler, name).astype(float) for name in ("z", "sigma"))
        close(found["log_weight"], weight[0])
        close(found["nll"], nll)
        close(found["kl"], ((z**2 - noise.astype(float) ** 2) / 2 - np.log(sigma)).sum(axis=1))
        close(found["bound"], [log_mean_exp(weight[0, : n + 1]) for n in range(k)])
        close(found["bound"][-1], model.log_likelihood(row[None], k, seed, progress=False)[0])
        close(found["means"], importance.bound_curve(weight, (1, 2, 3, 6))[0])
        value, error, effective = (part[0] for part in importance.moments(weight))
        close(found["moments"][::2], (value, effective), 1e-4)  # effective draws hang on differences of large logs
        close(found["moments"][1], error, 1e-4)


def test_noise_of_a_draw_is_pythons_whatever_came_before(open_page):
    """Across the pages of 1000 draws, and in any order."""
    page, places = open_page("points", "#model"), (0, 3, 4, 999, 1000, 1005, 2, 2001)
    script = """const x = example(0), draws = new explorer.bounds.Draws(model, x, headOf(x), 7);
      return given.map((k) => plain(draws.noise_of(k)));"""
    pages = [normals(7, philox.IMPORTANCE, step, 1000, 2) for step in range(3)]
    found = np.array(ask(page, script, list(places)), np.float32)
    np.testing.assert_array_equal(found, [pages[k // 1000][k % 1000] for k in places])


@pytest.mark.parametrize(
    ("kind", "half", "step", "count"),
    [("latents-2", 7, 0.07, 4), ("points", 8, 0.05, EXAMPLES), ("points-latent-1", 9, 0.002, EXAMPLES)],
)
def test_log_p_by_quadrature(open_page, kind, half, step, count):
    model = kinds.made(kind)[0]
    page = open_page(kind, "#model")
    script = f"""return [...Array({count}).keys()].map((i) => {{
      const x = example(i), work = explorer.bounds.quadrature(model, x, headOf(x));
      for (;;) {{
        const {{ done, value }} = work.next();
        if (done) return value.value;
      }}
    }})"""
    close(ask(page, script), calibration.quadrature(model, examples(page, model, count), half, step))


def mistaken(kind, mistake, beta):
    """A copy of the model with this mistake, as `collapse.build` makes them, and by how much its gradients are larger
    than those of a nll that is a mean.
    """
    model, larger = kinds.made(kind)[0], 1
    options = dict(model.config) | {"beta": beta, "backend": "numpy", "objective": "elbo", "samples": 1}
    if mistake == "mean":
        larger = model.features
        options["beta"] = beta * larger
    if mistake == "no-kl":
        options["beta"] = 0.0
    if mistake == "softplus-exp":
        options["scale"] = "exp"
    copy = VAE(**options)
    for name, value in model.parameters.items():
        copy.parameters[name] = np.array(value)
    if mistake == "softplus-exp":
        copy.posterior = collapse.SoftplusHead(copy.posterior, copy.latent)
    return copy, larger


def wrong_way_back(model, other):
    """Gives the model the sampler that goes back with the noise `other`."""
    sampler = collapse.FreshNoise(model.scale, dtype=model.dtype, backend=model.backend)
    sampler.rng = cast(np.random.Generator, SimpleNamespace(standard_normal=lambda shape: other.reshape(shape)))
    model.sampler = sampler


@pytest.mark.parametrize("mistake", ["right", *MISTAKES])
@pytest.mark.parametrize("kind", ["latents-2", "points", "beta-binomial"])
def test_a_step_with_and_without_mistakes(open_page, kind, mistake):
    """Gradients of every weight, and the loss after the step; beta is not 1, so that it is seen."""
    rate, beta = 1e-3, 1.5
    page = open_page(kind, "#model")
    script = f"""return [...Array({EXAMPLES}).keys()].map((i) => {{
      const options = {{ mistake: "{mistake}", beta: {beta}, seed: i }};
      const descent = new explorer.step.Descent(model, example(i), options);
      const found = Object.fromEntries(["mu", "sigma", "dz", "dmu", "dsigma", "drho"].map((name) =>
        [name, plain(descent.look()[name])]));
      if (i < 4) found.gradients = descent.look().gradients.flatMap(({{ dweight, dbias }}) =>
        [plain(dweight), plain(dbias)]);
      descent.record();
      descent.step({rate});
      descent.record();
      const [before, after] = descent.history;
      return {{ ...found, nll: descent.history.map((now) => now.nll), kl: descent.history.map((now) => now.kl),
        loss: [before.loss, after.loss], moved: plain(after.mu), spread: plain(after.sigma), mean: plain(after.mean) }};
    }})"""
    rows = examples(page, kinds.made(kind)[0])
    for i, (row, found) in enumerate(zip(rows, ask(page, script), strict=True)):
        model, larger = mistaken(kind, mistake, beta)
        if mistake == "fresh-noise":
            wrong_way_back(model, normals(i, STEPPING, 0, 2, model.latent)[1])
        measured = np.concatenate([normals(i, MEASURING, pair, 1, model.latent) for pair in range(4)])
        measured = np.concatenate([measured, -measured])
        before = priced(model, row[None], measured)
        model.forward(row[None], normals(i, STEPPING, 0, 2, model.latent)[:1].astype(model.dtype))
        model.backward()
        mu, sigma = model.head[0, : model.latent].copy(), model.sampler.sigma[0].copy()
        dmu, drho = np.split(model.dhead[0] / larger, 2)
        if mistake == "softplus-exp":  # dhead is that of softplus(rho), rho = 0 where sigma = 2
            drho = drho * (1 - 1 / sigma)
        close(found["mu"], mu)
        close(found["sigma"], sigma)
        close(found["dmu"], dmu)
        close(found["drho"], drho)
        dz = dmu - model.beta / larger * mu
        close(found["dz"], dz)
        back = normals(i, STEPPING, 0, 2, model.latent)[int(mistake == "fresh-noise")]
        close(found["dsigma"], dz * back + model.beta / larger * (sigma - 1 / sigma))
        gradients = {name: np.array(value) / larger for name, value in model.gradients.items()}
        gradients.pop("likelihood.log_sigma", None)  # which the page leaves as it is
        for theirs, ours in zip(found.get("gradients", ()), gradients.values(), strict=i < 4):
            close(theirs, ours.ravel())
        for name, value in gradients.items():
            model.parameters[name] = model.parameters[name] - np.asarray(rate * value, model.dtype)
        after = priced(model, row[None], measured)
        for place, (nll, kl) in enumerate((before, after)):
            close(found["nll"][place], nll.mean())
            close(found["kl"][place], kl)
            close(found["loss"][place], nll.mean() + beta * kl)
        moved, spread = model.encode(row[None])
        close(found["moved"], moved[0])
        close(found["spread"], spread[0])
        close(found["mean"], model.decode(moved)[0])


@pytest.mark.parametrize("mistake", ["right", *MISTAKES])
def test_steps_of_mu_and_rho_alone(open_page, mistake):
    """Three steps of the example's own mu and rho, by formulas written out."""
    model, page, rate = kinds.made("latents-2")[0], open_page("latents-2", "#model"), 1e-3
    script = f"""return [...Array({EXAMPLES}).keys()].map((i) => {{
      const descent = new explorer.step.Descent(model, example(i), {{ mistake: "{mistake}", alone: true, seed: i }});
      for (let t = 0; t < 3; t++) descent.step({rate});
      return [plain(descent.look().mu), plain(descent.look().sigma)];
    }})"""
    weight_nll, weight_kl = (1 / 784 if mistake == "mean" else 1), float(mistake != "no-kl")
    for i, (row, found) in enumerate(zip(examples(page, model), ask(page, script), strict=True)):
        model.encode(row[None])
        mu, rho = np.split(np.array(model.head[0], float), 2)
        for t in range(4):
            softplus, slope = np.log1p(np.exp(rho)), 1 / (1 + np.exp(-rho))
            sigma, slope = (
                (np.exp(softplus), slope * np.exp(softplus)) if mistake == "softplus-exp" else (softplus, slope)
            )
            if t == 3:
                break
            noise, other = normals(i, STEPPING, t, 2, 2)
            z = (mu + sigma * noise).astype(model.dtype)[None]
            model.likelihood.forward(row[None], model.decoder.forward(z))
            dz = weight_nll * model.decoder.backward(model.likelihood.backward(np.ones(1, model.dtype)))[0]
            dsigma = dz * (other if mistake == "fresh-noise" else noise) + weight_kl * (sigma - 1 / sigma)
            mu, rho = mu - rate * (dz + weight_kl * mu), rho - rate * dsigma * slope
        close(found, [mu, sigma])


def test_the_best_posterior_for_beta(open_page):
    """Better than the encoder's for every beta, with a lower KL where beta is high; KL and nll are Python's."""
    model, page = kinds.made("latents-2")[0], open_page("latents-2", "#model")
    script = """return [0.25, 1, 4, 16].map((beta) => {
      const end = (work) => { for (;;) { const { done, value } = work.next(); if (done) return value; } };
      const { rates, network } = explorer, x = example(3), head = headOf(x);
      const q = new rates.BestPosterior(model, x, head);
      end(q.fit(beta));
      const kl = network.kl(q.mu, q.log_sigma, q.sigma, "exp").total;
      const before = network.kl(head.mu, head.rho, head.sigma, model.scale).total;
      const [nll, nll_before] = [q, head].map(({ mu, sigma }) => end(rates.mean_nll(model, x, mu, sigma)));
      return { beta, mu: plain(q.mu), sigma: plain(q.sigma), kl, before, nll, nll_before };
    })"""
    row, last = examples(page, model, 4)[3:], math.inf
    for found in ask(page, script):
        beta, mu, sigma = found["beta"], np.array(found["mu"]), np.array(found["sigma"])
        close(found["kl"], np.sum((mu**2 + sigma**2 - 1) / 2 - np.log(sigma)))
        noise = np.concatenate([normals(0, 113, pair, 1, 2) for pair in range(64)])
        z = (mu + sigma * np.concatenate([noise, -noise])).astype(model.dtype)
        nll = model.likelihood.forward(row, model.decoder.forward(z))
        close(found["nll"], nll.mean())
        assert found["nll"] + beta * found["kl"] < found["nll_before"] + beta * found["before"]
        assert found["kl"] < last
        last = found["kl"]


def settled(page, **expected):
    """The numbers of the view once these are what is expected, or a number at all where that is None."""
    for name, value in expected.items():
        cell = page.locator(f'{VIEW} output[data-name="{name}"]')
        if value is None:
            page.wait_for_selector(
                f'{VIEW} output[data-name="{name}"]:not([data-value="NaN"], [data-value="undefined"])'
            )
        else:
            page.wait_for_selector(f'{VIEW} output[data-name="{name}"][data-value="{value}"]')
        cell.wait_for()
    return values(page)


@pytest.mark.parametrize("kind", ["default", "latents-2"])
def test_the_numbers_of_twenty_examples(open_page, kind):
    model, repeats = kinds.made(kind)[0], 8
    page = open_page(kind, "#bound")
    howmany = page.locator(f"{VIEW} input[type=range]").first
    howmany.focus()
    howmany.press("Home")  # K = 2
    rows = examples(page, model)
    page.locator(f"{VIEW} select").select_option("alone")  # a quicker step than that of all weights
    for i, row in enumerate(rows):
        page.evaluate(f"() => explorer.flow.pick({i})")
        page.evaluate("() => explorer.frame.flush()")
        page.get_by_role("button", name="One step").click()
        found = settled(page, bound=None, steps=1)
        weight = np.concatenate(
            [w for s in range(repeats) for _, w in drawn_log_weights(model, row[None], 2, s, progress=False)]
        )
        nll, kl = priced(model, row[None], normals(0, philox.IMPORTANCE, 0, 2, model.latent))
        close([found["draw_nll"], found["draw_cost"], found["nll"]], [nll[0], -weight[0, 0], nll.mean()])
        close([found["minus_elbo"], found["kl"]], [-weight[0].mean(), kl])
        close(found["draw_kl"] + found["draw_nll"], found["draw_cost"])
        close(found["bound"], importance.bound_curve(weight.reshape(1, -1), (2,))[0, 0])
        if kind == "default":
            close(found["log_p"], log_mean_exp(weight.ravel()), 1e-4)
        descent = ask(page, f"""const d = new explorer.step.Descent(model, example({i}), {{ alone: true }});
          d.step(0.001); d.record(); const now = d.history[0], next = d.look();
          return {{ loss: now.loss, nll: now.nll, kl: now.kl, mu: now.mu[0], sigma: now.sigma[0], dz: next.dz[0],
            dmu: next.dmu[0], dsigma: next.dsigma[0], drho: next.drho[0] }};""")  # fmt: skip
        for name, value in descent.items():
            close(found[f"step_{name}_right"], value, 1e-9)


def test_mouse_keys_and_fingers(open_page):
    page = open_page("latents-2", "#bound", has_touch=True)
    found = settled(page, bound=None)
    prices = page.locator(f"{VIEW} canvas").first
    prices.focus()
    prices.press("ArrowRight")
    second = values(page)["draw_nll"]
    assert second != found["draw_nll"]
    prices.press("ArrowLeft")
    assert values(page)["draw_nll"] == found["draw_nll"]
    box = prices.bounding_box()
    page.touchscreen.tap(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])
    tapped = values(page)["draw_nll"]
    assert tapped not in (second, found["draw_nll"])
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"])
    assert values(page)["draw_nll"] == tapped  # passing by chooses nothing

    evidence = settled(page, log_p=None)["log_p"]
    beta = page.locator(f"{VIEW} input[type=range]").nth(1)
    beta.focus()
    beta.press("End")
    dear = settled(page, best_kl=None)
    assert dear["best_kl"] < 0.5 * found["kl"]
    assert dear["log_p"] == evidence

    for mistake in MISTAKES:
        page.locator(f'{VIEW} input[data-mistake="{mistake}"]').press(" ")
    run = page.get_by_role("button", name="Run", exact=True)
    run.press("Enter")
    page.wait_for_function("() => Number(document.querySelector('[data-name=steps]').dataset.value) >= 3")
    run.press("Enter")
    page.get_by_role("button", name="Reset").tap()
    page.get_by_role("button", name="10 steps").tap()
    after = settled(page, steps=10, **{f"step_loss_{name}": None for name in ("right", *MISTAKES)})
    assert after["step_sigma_softplus-exp"] > 1 > after["step_sigma_right"]
    page.locator(f'{VIEW} input[data-mistake="mean"]').press(" ")
    assert "step_loss_mean" not in values(page)


def test_a_mistake_switched_on_later_has_the_same_steps(open_page):
    page = open_page("points", "#bound")
    page.locator(f"{VIEW} input[type=range]").last.press("ArrowRight")
    page.get_by_role("button", name="10 steps").click()
    settled(page, steps=10)
    page.locator(f'{VIEW} input[data-mistake="no-kl"]').check()
    script = """const d = new explorer.step.Descent(model, explorer.state.state.x, { mistake: "no-kl" });
      for (let t = 0; t < 10; t++) d.step(10 ** -3.75);
      d.record();
      return d.history[0].loss;"""
    comes_to(page, "step_loss_no-kl", ask(page, script), 1e-9)


def test_steps_asked_for_in_the_middle_of_a_step_are_all_taken(open_page):
    """Work that is stopped between a step and its record goes on there: the numbers are those of the last step."""
    page = open_page("default", "#bound")
    settled(page, steps=0, step_loss_right=None)
    page.evaluate("""() => new Promise((done) => {
      const buttons = [...document.querySelectorAll("#view-bound button")];
      const button = buttons.find((each) => each.textContent === "One step");
      let clicks = 0;
      const click = () => (clicks++ < 12 ? (button.click(), requestAnimationFrame(click)) : done());
      click();
    })""")
    settled(page, steps=12)
    script = """const d = new explorer.step.Descent(model, explorer.state.state.x);
      for (let t = 0; t < 12; t++) d.step(10 ** -4);
      d.record();
      return d.history[0].loss;"""
    comes_to(page, "step_loss_right", ask(page, script), 1e-9)
