"""Estimators for categories and bits against enumeration, and the enumeration against formulas as they are printed."""

import math
from itertools import product

import numpy as np
import pytest

from minivae import estimators as est
from minivae.estimators import enumeration
from minivae.estimators.bits import conditional_size
from minivae.estimators.functions import Quadratic
from minivae.gradcheck import check_sampler
from minivae.lab.bits import BeliefNetwork, FirstBit, methods
from minivae.lab.discrete import rows_for
from minivae.lab.report import inside

from .test_estimators import NORMAL_99, variance_interval

SEED, ROWS = 0, 40_000
NETWORK, TOY = BeliefNetwork(), FirstBit(0.45)
BITS, BIT = est.Bernoulli((0.5, -1.0, 2.0)), est.Bernoulli((1.3,))
CATEGORIES = est.Categorical((0.3, -0.8, 1.1))


class Plain:
    """A black box of three categories."""

    values = np.array([1.0, -0.5, 2.5])

    def __call__(self, z):
        return z @ self.values


def exact_cases():
    """Name, estimator with rng and rows, its exact mean and variance, and the gradient that the mean should be."""
    cases = []
    for f, q in ((NETWORK, BITS), (TOY, BIT), (Plain(), CATEGORIES)):
        exact = enumeration.gradient(f, q)
        for k in (2, 4, 8, 16):
            estimate = lambda rng, rows, f=f, q=q, k=k: est.leave_one_out(f, q, rng, rows, k)  # noqa: E731
            cases.append((f"leave_one_out {k}", estimate, enumeration.leave_one_out(f, q, k), exact))
        for k, baseline in product((2, 5), ("geometric", "arithmetic", None)):
            estimate = lambda rng, rows, f=f, q=q, k=k, b=baseline: est.vimco(f, q, rng, rows, k, b)  # noqa: E731
            target = bound_gradient(f, q, k)
            cases.append((f"vimco {k} {baseline}", estimate, enumeration.vimco(f, q, k, baseline), target))
        if q is CATEGORIES:
            continue
        cases.append(
            ("disarm", lambda rng, rows, f=f, q=q: est.disarm(f, q, rng, rows), enumeration.disarm(f, q), exact)
        )
        for temperature, eta in ((0.5, 1.0), (1.0, -0.7)):
            arguments = (temperature, eta)
            estimate = lambda rng, rows, f=f, q=q, a=arguments: est.rebar(f, q, rng, rows, *a)  # noqa: E731
            cases.append((f"rebar {arguments}", estimate, enumeration.rebar(f, q, *arguments, nodes=32), exact))
    return cases


def bound_gradient(f, q, k, step=1e-5):
    """d L_K / d logits by central differences of the enumerated bound."""
    columns = []
    for direction in np.eye(len(q.logits)):
        ends = (type(q)(tuple(np.array(q.logits) + sign * step * direction)) for sign in (1, -1))
        up, down = (enumeration.bound(f, end, k) for end in ends)
        columns.append((up - down) / (2 * step))
    return np.array(columns)


CASES = exact_cases()


def test_every_exact_mean_is_the_gradient():
    for name, _, (mean, _), target in CASES:
        np.testing.assert_allclose(mean, target, rtol=1e-6, atol=1e-7, err_msg=name)


def standardised(seed, rows):
    """For all cases: errors of the means in their standard errors, and of the variances."""
    means, variances = [], []
    for index, (_, estimate, (mean, variance), _) in enumerate(CASES):
        drawn = estimate(np.random.default_rng([seed, index]), rows)
        measured, error = variance_interval(drawn)
        means += list((drawn.mean(axis=0) - mean) / np.sqrt(variance / rows))
        variances += list((measured - variance) / error)
    return np.array(means), np.array(variances)


def test_every_measured_variance_lies_in_its_99_percent_interval():
    """All intervals at once, so a seed at which none of them misses; the next test counts misses over more seeds."""
    means, variances = standardised(seed=SEED, rows=ROWS)
    assert np.abs(means).max() < 4
    assert np.abs(variances).max() < NORMAL_99


def test_the_intervals_cover_about_as_often_as_they_say():
    found = [standardised(seed, ROWS // 4) for seed in range(1, 4)]
    means, variances = (np.concatenate(part) for part in zip(*found, strict=True))
    assert np.abs(means).max() < 4.5
    assert (np.abs(variances) >= NORMAL_99).mean() < 0.04
    assert 0.85 < means.std() < 1.15
    assert 0.85 < variances.std() < 1.2


def test_the_closed_forms_against_all_tuples_of_draws():
    """Leave-one-out and VIMCO by the formulas of the papers, in loops over every tuple of three draws."""
    for f, q in ((NETWORK, est.Bernoulli((0.5, -1.0, 0.3))), (Plain(), CATEGORIES)):
        z, p = enumeration.states(q)
        value, score = f(z), q.score(z)
        weight = np.exp(value) / p
        weights, rows = [], {"leave_one_out": [], "geometric": [], "arithmetic": []}
        for chosen in map(list, product(range(len(z)), repeat=3)):
            weights.append(p[chosen].prod())
            row = dict.fromkeys(rows, 0.0)
            for k, c in enumerate(chosen):
                others = chosen[:k] + chosen[k + 1 :]
                row["leave_one_out"] += (value[c] - value[others].mean()) * score[c] / 3
                geometric, arithmetic = math.sqrt(weight[others].prod()), weight[others].mean()
                share = weight[c] / weight[chosen].sum()
                for name, stand_in in (("geometric", geometric), ("arithmetic", arithmetic)):
                    signal = math.log(weight[chosen].mean()) - math.log((weight[others].sum() + stand_in) / 3)
                    row[name] += (signal - share) * score[c]
            for name in rows:
                rows[name].append(row[name])
        for name, found in rows.items():
            exact = enumeration.leave_one_out(f, q, 3) if name == "leave_one_out" else enumeration.vimco(f, q, 3, name)
            for got, wanted in zip(exact, enumeration.moments(np.array(weights), np.array(found)), strict=True):
                np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12, err_msg=name)


def test_one_bit_by_its_formulas():
    """With d = f(1) - f(0) and m < M the two probabilities: leave-one-out of two d^2 m M (1/2 - m M), DisARM
    d^2 m M^2 (1/2 - m), and nothing with the best baseline f(1) (1 - p) + f(0) p.
    """
    p = BIT.probabilities[0]
    low, high, d = 1 - p, p, 0.55**2 - 0.45**2
    baseline = enumeration.best_baseline(TOY, BIT)
    assert baseline[0] == pytest.approx(0.55**2 * (1 - p) + 0.45**2 * p)
    assert enumeration.score_function(TOY, BIT, baseline)[1][0] < 1e-30
    two = enumeration.leave_one_out(TOY, BIT, 2)[1][0]
    assert two == pytest.approx(d**2 * low * high * (0.5 - low * high))
    assert enumeration.disarm(TOY, BIT)[1][0] == pytest.approx(d**2 * low * high**2 * (0.5 - low))
    assert enumeration.disarm(TOY, est.Bernoulli((0.0,)))[1][0] < 1e-30


def test_leave_one_out_for_a_normal():
    """The formula holds for every q. f = z^2 and mu = sigma = 1: E f = 2, Var f = 6, E s^2 = 1 and 2."""
    f, q, draws = Quadratic(0.0), est.Normal(1.0, 1.0), 4
    mean, size = f.gradient(q), np.array([1.0, 2.0])
    joint = f.variances(q)["score_function"] + mean**2 - 2 * 2 * f.baseline(q) * size + 2**2 * size
    expected = (joint - 2 / 3 * mean**2 + 6 * size / 3) / draws
    rows = est.leave_one_out(f, q, np.random.default_rng(1), ROWS, draws)
    measured, error = variance_interval(rows)
    assert (np.abs(measured - expected) < NORMAL_99 * error).all()
    assert (np.abs(rows.mean(axis=0) - mean) < 4 * np.sqrt(expected / ROWS)).all()


def test_the_conditional_logistic_variable_is_logistic():
    """Over bits and v the signed size has the logistic distribution around the logit, by the checker of samplers; and
    its slope in the logit is what `rebar` takes.
    """
    logits = np.array(BITS.logits)

    def sample(rng, q=BITS):
        z = q.sample(rng, 20)
        return (2 * z - 1) * conditional_size(q, z, rng.random(z.shape))

    report = check_sampler(sample, cdf=lambda x: 1 / (1 + np.exp(logits - x)), draws=1000)
    assert report, report
    wrong = est.Bernoulli(tuple(logits + 0.1))
    assert not check_sampler(lambda rng: sample(rng, wrong), cdf=lambda x: 1 / (1 + np.exp(logits - x)), draws=1000)

    z, v, step = BITS.sample(np.random.default_rng(0), 500), np.random.default_rng(1).random((500, 3)), 1e-6
    ends = (conditional_size(est.Bernoulli(tuple(logits + sign * step)), z, v) for sign in (1, -1))
    slope = (2 * z - 1) * np.subtract(*ends) / (2 * step)
    size = conditional_size(BITS, z, v)
    chance = np.where(z == 1, BITS.probabilities, 1 - BITS.probabilities)
    np.testing.assert_allclose(slope, chance * (1 - np.exp(-size)), atol=1e-8)


@pytest.mark.parametrize("name", ["leave_one_out_2", "disarm", "rebar"])
def test_means_of_rows_pass_the_checker_of_samplers(name):
    """Means of 2,000 rows are normal with the exact mean and variance; half the weight of a pair is seen."""
    _, estimator, (mean, variance) = methods(TOY, BIT)[name]

    def sample(rng, factor=1.0):
        return factor * estimator(TOY, BIT, rng, 8000).reshape(4, 2000).mean(axis=1)

    std = math.sqrt(variance[0] / 2000)
    assert check_sampler(sample, mean=mean[0], std=std, draws=200)
    assert not check_sampler(lambda rng: sample(rng, 0.5), mean=mean[0], std=std, draws=200)


def test_the_best_eta_is_found_from_draws_and_leaves_least():
    exact = enumeration.best_eta(NETWORK, BITS, 1.0, nodes=24)
    found = est.optimal_eta(NETWORK, BITS, np.random.default_rng(0), 100_000, temperature=1.0)
    np.testing.assert_allclose(found, exact, rtol=0.05)
    least = enumeration.rebar(NETWORK, BITS, 1.0, None, nodes=24)[1]
    np.testing.assert_allclose(least, enumeration.rebar(NETWORK, BITS, 1.0, exact, nodes=24)[1])
    for shift in (-0.1, 0.1):
        assert (enumeration.rebar(NETWORK, BITS, 1.0, exact + shift, nodes=24)[1] > least).all()


def test_bits_that_never_change_and_categories_that_never_come():
    """A certain bit has no gradient, and the others have theirs as if it were a number; a category of probability 0
    has none, and the others have theirs without it.
    """
    rng = np.random.default_rng(0)
    bits, fewer = est.Bernoulli((math.inf, 0.4, -math.inf)), est.Bernoulli((0.4,))
    part = lambda z: NETWORK(np.column_stack([np.ones(len(z)), z, np.zeros(len(z))]))  # noqa: E731
    for estimate in (est.leave_one_out, est.disarm, est.rebar, est.vimco):
        rows = estimate(NETWORK, bits, rng, 200)
        assert np.isfinite(rows).all(), estimate
        assert (rows[:, [0, 2]] == 0).all(), estimate
    pairs = (
        (enumeration.leave_one_out(NETWORK, bits, 3), enumeration.leave_one_out(part, fewer, 3)),
        (enumeration.disarm(NETWORK, bits), enumeration.disarm(part, fewer)),
        (enumeration.vimco(NETWORK, bits, 3), enumeration.vimco(part, fewer, 3)),
    )
    for (mean, variance), (fewer_mean, fewer_variance) in pairs:
        np.testing.assert_allclose(mean, [0, fewer_mean[0], 0], atol=1e-14)
        np.testing.assert_allclose(variance, [0, fewer_variance[0], 0], atol=1e-14)
    assert (enumeration.rebar(NETWORK, bits)[1][[0, 2]] < 1e-300).all()

    f, without = Plain(), est.Categorical((0.3, -math.inf, 1.1))
    for estimate in (est.leave_one_out, est.vimco):
        rows = estimate(f, without, rng, 200)
        assert np.isfinite(rows).all()
        assert (rows[:, 1] == 0).all()
    pair = est.Categorical((0.3, 1.1))
    for k in (2, 4):
        mean, variance = enumeration.vimco(f, without, k)
        got = enumeration.vimco(lambda z: z @ Plain.values[[0, 2]], pair, k)
        np.testing.assert_allclose(mean[[0, 2]], got[0])
        np.testing.assert_allclose(variance[[0, 2]], got[1])


def test_far_logits_keep_their_digits():
    """p of 1e-40 beside 1: the score of the likelier value is the other's probability, and no warning is given."""
    q = est.Bernoulli((92.0, -1e4))
    score = q.score(np.array([[1.0, 0.0], [0.0, 1.0]]))
    np.testing.assert_allclose(score[0], [math.exp(-92.0), 0], rtol=1e-12)
    np.testing.assert_allclose(score[1], [-1, 1])
    np.testing.assert_allclose(q.log_probability(np.array([[0.0, 1.0]])), [-10_092], rtol=1e-15)
    log_probability = est.Categorical((0.0, -1e4)).log_probability(np.eye(2))
    np.testing.assert_allclose(log_probability, [0, -1e4], atol=1e-12)


@pytest.mark.parametrize("scale", [1e3, 1e7])
def test_vimco_keeps_its_digits_for_weights_that_are_far_from_1(scale):
    """A constant in log p(x, z) moves the bound and not its gradient; differences as large leave one draw alone."""
    rows, moved = (
        est.vimco(lambda z, shift=shift: NETWORK(z) + shift, BITS, np.random.default_rng(0), 1000, 4)
        for shift in (0.0, scale)
    )
    np.testing.assert_allclose(moved, rows, atol=1e-14 * scale)
    steep = est.vimco(lambda z: scale * z[:, 0], est.Bernoulli((0.3,)), np.random.default_rng(0), 1000, 4)
    assert np.isfinite(steep).all()


def test_the_laboratory_measures_what_it_computes():
    rows = list(rows_for("t = 0.499", 1.0, np.random.default_rng(3), 20_000))
    assert {row["estimator"] for row in rows} >= {"disarm", "rebar", "leave_one_out_16", "straight_through_gumbel"}
    found, count = inside(rows)
    assert count >= 11
    assert found >= count - 1
    for row in rows:
        spread = math.sqrt(row["exact_variance"] / 20_000)
        assert abs(row["measured_mean"] - row["exact_mean"]) <= 4 * spread + 1e-12, row["estimator"]


RNG = np.random.default_rng(0)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("logit", [0.0, 4.0, -8.0, 12.0])
def test_the_rule_of_rebar_holds_at_low_temperatures_and_large_logits(temperature, logit):
    q = est.Bernoulli((logit,))
    coarse, fine = (enumeration.rebar(TOY, q, temperature, 1.0, nodes)[1] for nodes in (40, 300))
    np.testing.assert_allclose(coarse, fine, rtol=3e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: est.Bernoulli(()), "logits: got .*, expected a number for each bit"),
        (lambda: est.Bernoulli((math.nan,)), "logits: got"),
        (lambda: est.Bernoulli(0.5), "logits: got 0.5"),
        (lambda: est.Categorical((0.0, math.nan)), "logits: got"),
        (lambda: est.Categorical((0.0, math.inf)), "logits: got"),
        (lambda: est.Categorical((-math.inf, -math.inf)), "logits: got"),
        (lambda: est.leave_one_out(TOY, BIT, RNG, 3, 1), "draws: got 1, expected a whole number of at least 2"),
        (lambda: est.leave_one_out(TOY, BIT, RNG, 3, 2.0), "draws: got 2.0"),
        (
            lambda: est.leave_one_out(lambda z: z, BIT, RNG, 3),
            r"f: got float64 of shape \(6, 1\), expected a value for",
        ),
        (lambda: est.vimco(TOY, BIT, RNG, 3, 1), "draws: got 1"),
        (lambda: est.vimco(TOY, BIT, RNG, 3, 0, None), "draws: got 0"),
        (lambda: est.vimco(TOY, BIT, RNG, 3, baseline="none"), "baseline: got 'none'"),
        (lambda: est.vimco(TOY, est.Normal(0.0, 1.0), RNG, 3), "q: got Normal.*a Categorical or a Bernoulli"),
        (lambda: est.vimco(lambda z: np.log(z[:, 0] * 0), BIT, RNG, 3), "f: got .values that are not finite numbers"),
        (lambda: est.disarm(TOY, CATEGORIES, RNG, 3), "q: got Categorical.*a Bernoulli"),
        (lambda: est.rebar(TOY, CATEGORIES, RNG, 3), "q: got Categorical.*a Bernoulli"),
        (lambda: est.rebar(TOY, BIT, RNG, 3, temperature=0.0), "temperature: got 0.0"),
        (lambda: est.rebar(TOY, BIT, RNG, 3, temperature=-1.0), "temperature: got -1.0"),
        (lambda: est.rebar(TOY, BIT, RNG, 3, eta=math.nan), "eta: got nan"),
        (lambda: est.rebar(TOY, BIT, RNG, 3, eta=np.ones(3)), r"eta: got float64 of shape \(3,\)"),
        (lambda: est.rebar(TOY, BIT, RNG, 3, temperature=1e-310), "temperature: got 1e-310"),
        (lambda: est.disarm(lambda z: z[:, :1], BIT, RNG, 3), r"f: got float64 of shape \(3, 1\)"),
        (lambda: est.Categorical(0.3), "logits: got 0.3"),
        (lambda: est.Categorical(("a", "b")), "logits: got"),
        (lambda: est.Bernoulli((True, False)), "logits: got"),
        (lambda: est.optimal_eta(TOY, BIT, RNG, 3, temperature=math.inf), "temperature: got inf"),
        (lambda: enumeration.states(est.Normal(0.0, 1.0)), "q: got Normal"),
        (lambda: enumeration.gradient(lambda z: z, BIT), r"f: got float64 of shape \(2, 1\)"),
        (lambda: enumeration.bound(lambda z: z[:, 0] * math.nan, BIT, 2), "f: got .*not finite"),
        (lambda: enumeration.rebar(TOY, BIT, temperature=0.0), "temperature: got 0.0"),
        (lambda: enumeration.bound(TOY, BIT, 0), "draws: got 0"),
        (lambda: enumeration.vimco(TOY, BIT, 1), "draws: got 1"),
        (lambda: enumeration.disarm(NETWORK, est.Bernoulli((0.0,) * 30)), "q: got '2.06e.14 cases'"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
