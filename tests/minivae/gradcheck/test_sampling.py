"""The sampling checks on samplers that are not minivae's: right ones pass, each mistake gets its name."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gradcheck.samplers import FAULTS, RIGHT, SHAPE, STATEFUL
from minivae.gradcheck import check_gradients, check_kl, check_same_draw, check_sampler, dirichlet_sticks

RNG = np.random.default_rng(5)
MEAN, STD = RNG.standard_normal((4, 3)), np.exp(0.5 * RNG.standard_normal((4, 3)))
KL = 0.5 * (MEAN**2 + STD**2 - 1) - np.log(STD)


def right(rng):
    return MEAN + STD * rng.standard_normal(MEAN.shape)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_right_sampler_passes_for_many_seeds(dtype):
    for seed in range(40):
        report = check_sampler(lambda rng: right(rng).astype(dtype), mean=MEAN, std=STD, kl=KL, draws=1000, seed=seed)
        assert report, report
    assert check_sampler(right, kl=KL.sum(axis=1))


WRONG = {
    "everywhere it is its square (a variance": lambda rng: MEAN + STD**2 * rng.standard_normal(MEAN.shape),
    "everywhere it is its square root (a standard": lambda rng: MEAN + np.sqrt(STD) * rng.standard_normal(MEAN.shape),
    "times what is meant": lambda rng: MEAN + 1.2 * STD * rng.standard_normal(MEAN.shape),
    "the mean is off by": lambda rng: 0.8 * MEAN + STD * rng.standard_normal(MEAN.shape),
    "share noise (correlation 1.00)": lambda rng: MEAN + STD * rng.standard_normal((1, 3)),
    "not normal": lambda rng: MEAN + STD * rng.uniform(-np.sqrt(3), np.sqrt(3), MEAN.shape),
    "never changes at 12 of 12": lambda rng: MEAN,
    "12288 of 49152 samples are not finite": lambda rng: (
        np.where([[1], [np.nan], [1], [1]], right(rng), np.nan) * np.array([[1], [np.nan], [1], [1]])
    ),
}


@pytest.mark.parametrize("phrase", WRONG)
def test_mistakes_are_named(phrase):
    report = check_sampler(WRONG[phrase], mean=MEAN, std=STD, kl=KL)
    assert phrase in str(report), report
    assert not report


def test_kl_of_another_distribution_is_seen_without_knowing_the_parameters():
    report = check_sampler(lambda rng: MEAN + STD**2 * rng.standard_normal(MEAN.shape), kl=KL)
    assert report.findings[0].startswith("the KL charged is not that of the distribution sampled")


SEEN = {
    "variance 2 % too large": r"standard deviation is (0\.9|1).* % too large in all of 1,000 coordinates",
    "mean off by 0.02 standard deviations": r"mean is off by 0.02\d* standard deviations in all of 1,000 .*too high",
    "second half of the batch reuses the noise": r"500 pairs do: the second half of axis 0 reuses the noise of the",
    "coordinates 3 and 777 share noise": r"^coordinates \[0, 3\] and \[38, 17\] share noise \(correlation 1.00\)",
    "one radius for each row": r"correlation of \|z\| 0.*one radius.*\|z\| is shared within axis 1",
    "clipped at 3": "not normal.*too light",
    "sum of 12 uniforms": "not normal.*too light",
    "Student's t, 10 degrees of freedom": "not normal.*too heavy",
    "uniform": "not normal.*too light",
    "one draw for each row": "noise is shared within axis 1",
    "one draw for each column": "noise is shared within axis 0",
    "used again after 2 draw(s)": "noise is used again: 51. of 1,024 draws are copies .* after 2 draws",
    "a pool of 256 draws in turn": "noise is used again: 768 of 1,024 draws are copies .* after 256 draws",
    "each row's noise moves to the next row": "noise is used again after 1 draw, in other coordinates",
}


@pytest.mark.parametrize("fault", SEEN)
def test_faults_of_a_thousand_coordinates_are_named(fault):
    noise = STATEFUL[fault](0) if fault in STATEFUL else FAULTS[fault]
    report = check_sampler(lambda rng: 3.0 + noise(rng), mean=3.0, std=1.0, draws=1024)
    assert re.search(SEEN[fault], report.findings[0]), report


@pytest.mark.parametrize("lag", [1, 2, 40])
def test_noise_of_one_coordinate_is_used_again_after_some_draws(lag):
    kept = []

    def sample(rng):
        e = rng.standard_normal((5, 6))
        kept.append(e[2, 3])
        e[2, 3] = kept[-1 - lag] if len(kept) > lag and len(kept) // lag % 2 else e[2, 3]
        return e

    text = f"noise is used again after {lag} draws?: correlation 0.[45].* at \\[2, 3\\]"
    assert re.search(text, check_sampler(sample, mean=0.0, std=1.0).findings[0])


@pytest.mark.parametrize("shape", [(5, 4), (30,)])
def test_noise_that_depends_on_the_last_is_not_said_to_lie_in_other_coordinates(shape):
    last = np.zeros(shape)

    def sample(rng):
        nonlocal last
        last = 0.05 * last + np.sqrt(1 - 0.05**2) * rng.standard_normal(shape)
        return last

    said = check_sampler(sample, mean=0.0, std=1.0).findings[0]
    assert "after 1 draw" in said
    assert "other coordinates" not in said


def test_integers_are_called_discrete():
    for sample in (lambda rng: rng.integers(0, 10, 3), lambda rng: 0.3 * rng.integers(0, 4, 5)):
        assert "the samples are discrete" in check_sampler(sample, mean=1.0, std=1.0).findings[0]


def test_an_eps_in_a_kl_is_no_constant_factor():
    said = [
        check_kl(KL - np.log1p(1e-8 / STD), MEAN, STD).findings[0],
        check_kl(KL - 0.5 * np.log1p(1e-8 / STD**2), MEAN, STD).findings[0],
    ]
    assert "everywhere it is off by -1e-08 / std: 1e-08 added to std inside the logarithm?" in said[0]
    assert "1e-08 added to std^2 inside the logarithm?" in said[1]
    assert "everywhere it is 1.0000001 times that" in check_kl(KL * (1 + 1e-7), MEAN, STD).findings[0]


def test_one_coordinate_of_many_is_wrong():
    def sample(change):
        def draw(rng):
            e = rng.standard_normal((10, 6))
            e[7, 2] = change(e[7, 2], rng)
            return e

        return check_sampler(draw, mean=0.0, std=1.0).findings

    assert "the mean is off by" in sample(lambda e, rng: e + 0.2)[0]
    assert "at [7, 2]: sampled" in sample(lambda e, rng: e + 0.2)[0]
    assert "standard deviation is wrong at [7, 2]" in sample(lambda e, rng: 1.2 * e)[0]
    assert "at [7, 2]" in sample(lambda e, rng: (rng.random() - 0.5) * np.sqrt(12))[0]


@pytest.mark.parametrize("kind", [kind for kind in RIGHT if not kind.startswith("1,000")])
def test_right_samplers_are_refused_no_more_often_than_stated(kind):
    make, options = RIGHT[kind]
    refused = 0
    for seed in range(16):
        sample, meant = make(seed)
        refused += not check_sampler(sample, **meant, **{"draws": 512, **options}, seed=seed, level=0.02)
    assert refused <= 3  # of 16 at 2 %: more with a probability of 2e-4


def test_a_thousand_coordinates_and_more_are_right():
    assert check_sampler(lambda rng: rng.standard_normal(SHAPE), mean=0.0, std=1.0, kl=np.zeros(SHAPE), draws=1024)
    report = check_sampler(lambda rng: rng.standard_normal((150, 20), np.float32), mean=0.0, std=1.0, draws=300)
    assert report

    def half(rng):
        return np.concatenate([(e := rng.standard_normal((75, 40))), e])

    assert "the second half of axis 0" in str(check_sampler(half, mean=0.0, std=1.0, draws=300))


FACTOR = np.tril(np.random.default_rng(6).standard_normal((4, 4))) + 2 * np.eye(4)
COV = FACTOR @ FACTOR.T
M4 = MEAN[:, [0, 1, 2, 0]]


@pytest.mark.parametrize(
    ("used", "phrase"),
    [
        (FACTOR, None),
        (FACTOR.T, "the covariance sampled is L' L"),
        (np.diag(np.sqrt(np.diag(COV))), "the covariance sampled is the diagonal of cov"),
        (np.diag(np.diag(FACTOR)), "the covariance sampled is the square of L's diagonal"),
        (COV, "the covariance sampled is cov cov'"),
        (np.eye(4), "independent coordinates with variance 1"),
        (1.05 * FACTOR, "whitened by cov: the standard deviation is"),
    ],
)
def test_a_full_covariance(used, phrase):
    report = check_sampler(lambda rng: M4 + rng.standard_normal((4, 4)) @ used.T, mean=M4, cov=COV)
    assert bool(report) == (phrase is None), report
    assert phrase is None or phrase in report.findings[0]


KL4 = 0.5 * (np.trace(COV) + np.sum(M4**2, axis=1) - 4 - np.linalg.slogdet(COV)[1])


def test_without_cov_a_correlated_sampler_is_told_of_it():
    def sample(rng):
        return M4 + rng.standard_normal((4, 4)) @ FACTOR.T

    text = str(check_sampler(sample, mean=M4, std=np.sqrt(np.diag(COV))))
    assert "share noise" in text
    assert "give cov=" in text
    assert check_sampler(sample, mean=M4, cov=COV, kl=KL4)
    assert not check_sampler(sample, mean=M4, cov=COV, kl=KL4 + 1e-6)
    assert check_kl(KL4, M4, cov=COV, sample=sample)
    assert not check_kl(KL4, M4, cov=COV, sample=lambda rng: M4 + 1.3 * rng.standard_normal((4, 4)) @ FACTOR.T)
    for wrong in (KL4 * (1 + 1e-9), KL4 + 0.5 * np.linalg.slogdet(COV)[1], -KL4):
        assert "quadrature gives" in check_kl(wrong, M4, cov=COV).findings[0]


PAGE = Path(__file__).parents[3] / "docs" / "gradient-checking.md"
ROW = re.compile(r"^\| ([\w ,]+) \| `(lambda rng: .*?)` \| `(.*?)` \|$", re.MULTILINE)


@pytest.mark.parametrize("row", ROW.findall(PAGE.read_text()), ids=lambda row: row[0])
def test_distributions_of_the_page(row):
    scipy = pytest.importorskip("scipy")
    pytest.importorskip("scipy.stats")
    names = {"np": np, "scipy": scipy, "dirichlet_sticks": dirichlet_sticks}
    a = np.array([0.7, 1.5, 3.0, 8.0])
    sample, cdf = (eval(code, names | {"a": a}) for code in row[1:])
    assert check_sampler(sample, cdf=cdf, draws=400)
    assert not check_sampler(eval(row[1], names | {"a": 1.2 * a}), cdf=cdf, draws=400)


def test_at_least_six_distributions_are_on_the_page():
    assert len(ROW.findall(PAGE.read_text())) >= 6


def test_a_distribution_by_its_cdf():
    def cdf(z):
        return -np.expm1(-z)

    assert check_sampler(lambda rng: rng.exponential(size=(4, 3)), cdf=cdf)
    wrong = check_sampler(lambda rng: rng.gamma(1.1, size=(4, 3)), cdf=cdf)
    assert wrong.findings[0].startswith("normal scores of cdf(z): ")
    shared = check_sampler(lambda rng: np.tile(rng.exponential(size=3), (4, 1)), cdf=cdf)
    assert "share noise" in shared.findings[0]
    outside = check_sampler(lambda rng: rng.exponential(size=3) - 0.5, cdf=lambda z: np.maximum(cdf(z), 0))
    assert "lie outside the distribution" in outside.findings[0]


def test_an_implicit_reparameterization_gradient():
    """Weibull: F = 1 - exp(-z^k), so dz/dk = -(dF/dk) / p = -z log(z) / k."""
    u = np.random.default_rng(7).random((5, 3))

    def forward(k, u):
        z = (-np.log1p(-u)) ** (1 / k)
        return z, (z, k)

    k = np.array([0.5, 1.0, 3.0])
    for sign in (-1, 1):
        pair = (
            forward,
            lambda dz, cache, sign=sign: np.sum(sign * dz * cache[0] * np.log(cache[0]) / cache[1], axis=0),
        )
        assert bool(check_gradients(pair, {"k": k}, fixed={"u": u})) == (sign == -1)


def test_discrete_samples_are_refused_by_name():
    report = check_sampler(lambda rng: rng.poisson(3.0, (4, 3)), mean=3.0)
    assert "different values in 4096 draws" in report.findings[0]
    assert "the samples are discrete" in report.findings[0]


@pytest.mark.parametrize(
    ("kl", "phrase"),
    [
        (KL, None),
        (-KL, "the sign is flipped"),
        (2 * KL, "everywhere it is 2 times that"),
        (KL + 0.5, "everywhere it is off by 0.5"),
        (np.log(STD) + (1 + MEAN**2) / (2 * STD**2) - 0.5, "quadrature gives"),
        (KL * (1 + 1e-9), "quadrature gives"),
    ],
)
def test_kl_against_quadrature_and_monte_carlo(kl, phrase):
    report = check_kl(kl, MEAN, STD)
    assert bool(report) == (phrase is None)
    assert phrase is None or phrase in str(report)


def extreme(kind, rng, dtype):
    if kind == "wide":
        pair = 10.0 ** rng.uniform(-6, 6, (50, 4)), 10.0 ** rng.uniform(-8, 8, (50, 4))
    else:
        pair = 3 * rng.standard_normal((32, 20)), 1e-3 * np.exp(0.3 * rng.standard_normal((32, 20)))
    return tuple(a.astype(dtype) for a in pair)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", ["wide", "narrow"])
def test_kl_of_extreme_moments_is_right(kind, dtype):
    for seed in range(50):
        mean, std = extreme(kind, np.random.default_rng(seed), dtype)
        kl = dtype(0.5) * (mean**2 + std**2 - 1) - np.log(std)
        assert kl.dtype == dtype
        for told in (kl, kl.sum(-1)):
            report = check_kl(told, mean, std, seed=seed, draws=64)
            assert report, report
    sample = check_kl(kl, mean, std, sample=lambda rng: mean + std * rng.standard_normal(mean.shape, dtype), draws=64)
    assert sample, sample


@pytest.mark.parametrize(
    ("wrong", "phrase"),
    [
        (lambda m, s: 0.5 * (m**2 + s**2 - 1 - np.log(s**2 + 1e-6)), "quadrature gives"),
        (lambda m, s: (0.5 * (m**2 + s**2 - 1) - np.log(s)).sum(-1) * (1 + 1e-9), "1.000000001 times that"),
        (lambda m, s: m**2 + s**2 - 1 - np.log(s), "mean^2 has weight 1, not 0.5, std^2 has weight 1, not 0.5"),
        (lambda m, s: 0.5 * (m**2 + s**2 - 1) - 2 * np.log(s), "everywhere log std has weight -2, not -1"),
    ],
)
def test_wrong_kl_terms(wrong, phrase):
    rng = np.random.default_rng(8)
    mean, std = rng.standard_normal((50, 20)), np.exp(rng.standard_normal((50, 20)))
    assert phrase in check_kl(wrong(mean, std), mean, std, draws=64).findings[0]


def test_kl_against_another_prior():
    centre, width = 0.3, np.array([0.5, 1.0, 2.0])
    kl = 0.5 * (((MEAN - centre) ** 2 + STD**2) / width**2 - 1) - np.log(STD / width)
    options = {"prior_mean": centre, "prior_std": width}
    assert check_kl(kl, MEAN, STD, **options, sample=right)
    assert not check_kl(KL, MEAN, STD, **options)
    cov = STD[..., None] ** 2 * np.eye(3)
    assert check_kl(kl.sum(1), MEAN, cov=cov, **options, sample=right)


def test_kl_and_sampler_are_held_against_each_other():
    assert check_kl(KL, MEAN, STD, sample=right)
    report = check_kl(KL, MEAN, STD, sample=lambda rng: MEAN + 1.3 * STD * rng.standard_normal(MEAN.shape))
    assert "Monte Carlo with 4096 samples gives" in str(report)


def test_same_draw_needs_no_knowledge_of_the_scale():
    def draw(rng, other=False):
        noise = rng.standard_normal(MEAN.shape)
        dz = rng.standard_normal(MEAN.shape)
        used = rng.standard_normal(MEAN.shape) if other else noise
        return MEAN + STD * noise, dz, dz * used * 3.7 * STD**2

    assert check_same_draw(draw, MEAN)
    report = check_same_draw(lambda rng: draw(rng, other=True), MEAN)
    assert "backward did not use forward's noise" in str(report)


def test_bad_arguments():
    with pytest.raises(ValueError, match="mean, std, kl: got None, expected at least one"):
        check_sampler(right)
    with pytest.raises(ValueError, match=r"mean: got shape \(5,\), expected that of the samples, \(4, 3\)"):
        check_sampler(right, mean=np.zeros(5))
    with pytest.raises(ValueError, match=r"kl: got .* \(2,\), expected the shape of the samples, \(4, 3\)"):
        check_sampler(right, kl=np.zeros(2))
    with pytest.raises(ValueError, match=r"kl, mean, std: got \(\(3,\), \(4, 3\), \(4, 3\)\), expected one shape"):
        check_kl(np.zeros(3), MEAN, STD)
    for wrong, message in (
        ({"std": STD, "cov": np.eye(3)}, "std, cov: got 'both', expected one of them"),
        ({"cov": np.eye(4)}, r"cov: got .* expected shape \(4, 3, 3\)"),
        ({"cov": -np.eye(3)}, "cov: got .* expected symmetric positive definite"),
        ({"cov": np.eye(3), "kl": KL[:, 0]}, "mean: got None"),
        ({"cdf": np.exp, "mean": 0.0}, "cdf: got .* beside it"),
        ({"cdf": 3}, "cdf: got 3, expected a function"),
        ({"cdf": np.exp}, "cdf: got 'values from .* expected probabilities"),
        ({"mean": 0.0, "draws": 20}, "draws: got 20, expected an integer of at least 100"),
        ({"mean": 0.0, "level": 1.0}, "level: got 1.0, expected a probability"),
    ):
        with pytest.raises(ValueError, match=message):
            check_sampler(right, **wrong)
    with pytest.raises(ValueError, match=r"z: got 'rows with sums from 2 to 2', expected rows that sum to 1"):
        dirichlet_sticks(np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"prior_std: got .* expected positive"):
        check_kl(KL, MEAN, STD, prior_std=0.0)
    with pytest.raises(ValueError, match=r"std: got float64 of shape \(4, 3\), expected positive"):
        check_kl(KL, MEAN, -STD)
