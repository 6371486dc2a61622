"""The estimators of the page: exact means and variances as Python's, and draws that agree with them."""

import math
from itertools import product

import numpy as np
import pytest

from minivae.estimators import Normal
from minivae.estimators.functions import Cosine, Exponential, Quadratic, quadrature
from minivae.lab.variance import EVALUATIONS, NAMES

from .reading import choose, close, move, values

VIEW = "#estimators"
PYTHON = {"quadratic": Quadratic, "exponential": Exponential, "cosine": Cosine}
KS = {"quadratic": (-3.0, 0.0, 1.3), "exponential": (0.1, 1.0, 9.0), "cosine": (0.5, 2.0, 5.0)}
POINTS = ((1.0, 1.0), (0.3, 0.1), (-1.5, 3.0), (0.5, 2.0))


def fourths(k, q):
    """Mean fourth power of what one draw is away from the gradient, for f = (z - k)^2, with d = mu - k."""
    d, sigma, gradient = q.mu - k, q.sigma, np.array([2 * (q.mu - k), 2 * q.sigma])
    x, weight = np.polynomial.legendre.leggauss(200)
    e, weight = 13 * x, 13 * weight * np.exp(-0.5 * (13 * x) ** 2) / math.sqrt(2 * math.pi)
    u, share = np.polynomial.legendre.leggauss(12)
    u, share = 0.5 * (u + 1), 0.5 * share
    value, score = (d + sigma * e) ** 2, np.stack([e, e**2 - 1]) / sigma
    path = 2 * (d + sigma * e) * np.stack([np.ones_like(e), e])
    rayleigh = (4 * d) ** 4 / (2 * math.pi) ** 2 * (8 - 0.75 * math.pi**2)
    m = e[:, None]
    maxwell = (2 * d * m * (1 - u) + sigma * m**2 * (1 - u**2) - gradient[1]) ** 4 * m**2 @ share @ weight
    return {
        "score_function": (value * score - gradient[:, None]) ** 4 @ weight,
        "pathwise": (path - gradient[:, None]) ** 4 @ weight,
        "measure_valued": [rayleigh, maxwell],
    }


@pytest.mark.parametrize("name", PYTHON)
def test_means_and_variances_without_sampling(open_page, name):
    page = open_page("foreign", VIEW)
    settings = list(product(KS[name], POINTS))
    script = """([name, settings]) => settings.map(([k, [mu, sigma]]) => {
      const f = explorer.functions.FUNCTIONS[name](k);
      return { ...explorer.quadrature.moments(f, mu, sigma), mean: f.mean(mu, sigma), gradient: f.gradient(mu, sigma),
        average: explorer.quadrature.average(f, mu, sigma), closed: f.variances?.(mu, sigma) };
    })"""
    for (k, (mu, sigma)), found in zip(settings, page.evaluate(script, [name, settings]), strict=True):
        f, q = PYTHON[name](k), Normal(mu, sigma)
        close(found["gradient"], f.gradient(q), 1e-9)
        close(found["average"], [found["mean"], *f.gradient(q)], 1e-9)
        for estimator, (mean, variance) in quadrature(f, q).items():
            close(found[estimator]["mean"], mean, 1e-9)
            close(found[estimator]["variance"], variance, 1e-9)
        if name == "quadratic":
            close(found["best"], f.baseline(q), 1e-9)
            for estimator, variance in f.variances(q).items():
                close(found["closed"][estimator], variance, 1e-9)
            for estimator, fourth in fourths(k, q).items():
                close(found[estimator]["fourth"], fourth, 1e-9)


def test_the_step(open_page):
    """E[f] and its gradient in closed form, and the variances of a function that jumps, by P = P(z > k)."""
    page = open_page("foreign", VIEW)
    for mu, sigma, k in ((0.3, 0.5, 0.7), (-1.0, 2.0, 0.5), (0.5, 0.1, 0.5)):
        script = """([mu, sigma, k]) => {
          const f = explorer.functions.step(k);
          return { ...explorer.quadrature.moments(f, mu, sigma), average: explorer.quadrature.average(f, mu, sigma) };
        }"""
        found = page.evaluate(script, [mu, sigma, k])
        t = (mu - k) / sigma
        density = math.exp(-0.5 * t * t) / math.sqrt(2 * math.pi)
        above = 0.5 * math.erfc(-t / math.sqrt(2))
        gradient = np.array([density, -t * density]) / sigma
        close(found["average"], [above, *gradient], 1e-12)
        for estimator in ("score_function", "baseline", "measure_valued"):
            close(found[estimator]["mean"], gradient, 1e-12)
        assert found["pathwise"] == {"mean": [0, 0], "variance": [0, 0], "fourth": [0, 0]}
        # E[f^2 e^2] / sigma^2 with f^2 = f: P - t density; and E[f (e^2 - 1)^2] = 2 P - t (t^2 + 1) density
        second = np.array([above - t * density, 2 * above - t * (t * t + 1) * density]) / sigma**2
        close(found["score_function"]["variance"], second - gradient**2, 1e-12)
        # one of mu +- sigma w is on the other side of k where w > |t|, else both or none are
        share = math.exp(-0.5 * t * t)
        close(found["measure_valued"]["variance"][0], share * (1 - share) / (2 * math.pi * sigma**2), 1e-12)


# The measured mean and variance of n estimates, with their standard errors, for both parameters.
MEASURE = """([name, k, mu, sigma, K, seeds, count]) => {
  const f = explorer.functions.FUNCTIONS[name](k);
  const exact = [0, 1].map((p) => explorer.view_estimators.theory(f, mu, sigma, K, p));
  return Object.keys(explorer.draws.ESTIMATORS).flatMap((estimator) => seeds.map((seed) => {
    const columns = explorer.draws.estimates(estimator, f, { mu, sigma, K, best: exact[0].best }, seed, 0, count);
    return columns.map((column, p) => {
      const { mean, variance, error } = exact[p][estimator];
      const running = new explorer.draws.Running(mean);
      for (const value of column) running.add(value);
      return [(running.mean - mean) / running.error, (running.variance - variance) / error * Math.sqrt(count)];
    });
  }));
}"""


def inside(page, *settings):
    """Standard errors from the exact value: (estimators, seeds, mu and sigma, mean and variance)."""
    *_, seeds, _ = settings
    return np.array(page.evaluate(MEASURE, settings), float).reshape(len(NAMES), len(seeds), 2, 2)


def test_measured_means_and_variances_are_within_their_intervals(open_page):
    """Of 99 %, at several settings: all but one in a hundred, and none far outside."""
    page = open_page("foreign", VIEW)
    settings = [("quadratic", 0.5, 1.0, 1.0, 1), ("quadratic", -2.0, 0.3, 0.4, 4), ("cosine", 2.0, 1.0, 0.7, 1)]
    settings += [("cosine", 1.0, 0.2, 1.5, 16), ("exponential", 1.0, 0.7, 1.0, 2), ("exponential", 0.3, -1.0, 0.5, 64)]
    away = np.abs([inside(page, *each, [3], 20_000) for each in settings])
    assert np.isfinite(away).all()
    assert (away > 2.576).sum() <= 4  # of 96
    assert away.max() < 4


@pytest.mark.parametrize("K", [1, 8])
def test_the_intervals_hold_what_they_promise(open_page, K):
    """Over 100 seeds means and variances are in theirs about 99 times."""
    page = open_page("foreign", VIEW)
    away = np.abs(inside(page, "cosine", 2.0, 1.0, 0.7, K, list(range(100)), 4000 // K))
    share = (away < 2.576).mean(axis=1)  # (estimators, mu and sigma, mean and variance)
    assert (share >= 0.95).all()
    assert share.mean(axis=(0, 1)) == pytest.approx([0.99, 0.99], abs=0.008)


def finished(page):
    page.locator("#view-estimators [data-name=estimates]", has_text="40000").wait_for()
    return values(page)


def test_the_numbers_of_the_page_are_pythons(open_page):
    """20 settings by the page's own controls: exact mean, variance and places of each estimator."""
    page = open_page("foreign", VIEW)
    rng = np.random.default_rng(0)
    for i in range(20):
        name, p, power = list(PYTHON)[i % 3], i % 2, i % 7
        choose(page, "f(z)", name)
        choose(page, "gradient with respect to", str(p))
        mu, sigma, k = rng.uniform(-2, 2), rng.uniform(0.2, 2), rng.uniform(min(KS[name]), max(KS[name]))
        move(page, k=k, μ=mu, σ=sigma, **{"draws K": power})
        shown = values(page)
        f, q = PYTHON[name](k), Normal(mu, sigma)
        close(shown["gradient"], f.gradient(q)[p], 1e-9)
        exact = quadrature(f, q)
        variances = {estimator: exact[estimator][1][p] / 2**power for estimator in NAMES}
        costs = {estimator: EVALUATIONS[estimator] * variances[estimator] for estimator in NAMES}
        for estimator in NAMES:
            close(shown[f"exact_mean_{estimator}"], f.gradient(q)[p], 1e-9)
            close(shown[f"exact_variance_{estimator}"], variances[estimator], 1e-9)
            close(shown[f"cost_variance_{estimator}"], costs[estimator], 1e-9)
            assert shown[f"rank_{estimator}"] == 1 + sorted(variances.values()).index(variances[estimator])
            assert shown[f"cost_rank_{estimator}"] == 1 + sorted(costs.values()).index(costs[estimator])


def test_seeds_and_reset(open_page):
    """The same seed gives the same numbers, the next one others, all within their intervals."""
    page = open_page("latent-1", VIEW)
    first = finished(page)
    for estimator in NAMES:
        for what in ("mean", "variance"):
            distance = abs(first[f"{what}_{estimator}"] - first[f"exact_{what}_{estimator}"])
            assert distance < first[f"{what}_error_{estimator}"] * 4 / 2.576
    page.get_by_role("button", name="Next seed").click()
    second = finished(page)
    assert all(second[f"mean_{estimator}"] != first[f"mean_{estimator}"] for estimator in NAMES)
    assert all(second[f"exact_mean_{estimator}"] == first[f"exact_mean_{estimator}"] for estimator in NAMES)
    page.get_by_role("button", name="Again, same seed").click()
    assert values(page)["seed"] == 1
    assert finished(page) == second


def test_nothing_is_drawn_while_another_view_is_shown(open_page):
    """Nor is a frame asked for; the draws go on when the view is shown again."""
    page = open_page("foreign", VIEW)
    frames = page.evaluate("""async () => {
      const ask = requestAnimationFrame, frame = () => new Promise((done) => ask(done));
      document.getElementById("tab-bits").click();
      for (let i = 0; i < 5; i++) await frame();
      let asked = 0;
      globalThis.requestAnimationFrame = (fn) => ask(fn, asked++);
      document.getElementById("tab-estimators").click();
      [...document.querySelectorAll("#view-estimators button")].at(-1).click();
      await frame();
      document.getElementById("tab-bits").click();
      for (let i = 0; i < 5; i++) await frame();
      const before = asked;
      for (let i = 0; i < 5; i++) await frame();
      return [before, asked];
    }""")
    assert frames[0] == frames[1] > 0
    page.locator("#tab-estimators").click()
    assert 0 < values(page)["estimates"] < 40000
    finished(page)


def test_where_the_path_fails(open_page):
    """On a step the pathwise gradient has no variance, no place, and a sentence that says that it is wrong."""
    page = open_page("latent-1", VIEW)
    card = page.locator("#view-estimators .card", has_text="pathwise")
    assert not card.locator(".instead").is_visible()
    choose(page, "f(z)", "step")
    shown = finished(page)
    assert card.locator(".instead").is_visible()
    assert math.isnan(shown["rank_pathwise"])
    assert shown["mean_pathwise"] == shown["variance_pathwise"] == 0
    assert sorted(shown[f"rank_{name}"] for name in NAMES if name != "pathwise") == [1, 2, 3]
    for name in ("score_function", "baseline", "measure_valued"):
        assert abs(shown[f"mean_{name}"] - shown["gradient"]) < shown[f"mean_error_{name}"] * 4 / 2.576


def test_by_keyboard_and_touch(open_page):
    page = open_page("latent-1", VIEW, has_touch=True)
    view = page.locator("#view-estimators")
    before = values(page)
    view.get_by_label("μ", exact=True).focus()
    page.keyboard.press("ArrowRight")
    assert values(page)["gradient"] > before["gradient"]
    view.get_by_label("draws K").focus()
    page.keyboard.press("ArrowRight")
    after = values(page)
    close(after["exact_variance_pathwise"], before["exact_variance_pathwise"] / 2, 1e-9)
    view.get_by_role("button", name="Next seed").tap()
    assert values(page)["seed"] == before["seed"] + 1


@pytest.mark.parametrize("kind", ["latents-2", "default"])
def test_the_decoders_own_loss(open_page, kind):
    """The four estimators agree about it, and the path varies far less than the score function."""
    page = open_page(kind, VIEW)
    choose(page, "f(z)", "loss")
    shown = finished(page)
    for estimator in NAMES:
        close(shown[f"exact_mean_{estimator}"], shown["gradient"], 1e-4)
        assert abs(shown[f"mean_{estimator}"] - shown["gradient"]) < shown[f"mean_error_{estimator}"] * 4 / 2.576
    assert not any(said.is_visible() for said in page.locator("#view-estimators .card .instead").all())
    assert shown["variance_pathwise"] < 0.05 * shown["variance_score_function"]
