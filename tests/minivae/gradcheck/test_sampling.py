"""The sampling checks on samplers that are not minivae's: right ones pass, each mistake gets its name."""

import numpy as np
import pytest

from minivae.gradcheck import check_kl, check_same_draw, check_sampler

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


def test_noise_used_again():
    noise = iter(np.repeat(np.random.default_rng(0).standard_normal((2048, *MEAN.shape)), 2, axis=0))
    report = check_sampler(lambda rng: MEAN + STD * next(noise), mean=MEAN, std=STD)
    assert "noise is used again" in str(report)


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
    with pytest.raises(ValueError, match=r"std: got float64 of shape \(4, 3\), expected positive"):
        check_kl(KL, MEAN, -STD)
