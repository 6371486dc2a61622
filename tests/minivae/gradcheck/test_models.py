"""No false alarms: random correct models pass, kinks included. And the cost of a large model."""

import numpy as np
import pytest
from joblib import Parallel, delayed

from minivae import VAE
from minivae.gradcheck import check_gradients

from .random_models import random_model


def alarms(numbers):
    """Reports of the models that were refused, and how many kinks were met on the way."""
    refused, kinks = [], 0
    for number in numbers:
        model, x, noise, text = random_model(number)
        report = check_gradients(model, {"x": x}, fixed={"noise": noise}, full=64)
        kinks += report.kinks
        if not report:
            refused.append(f"{text}\n{report}")
    return refused, kinks


def test_no_false_alarm_in_a_sample_of_random_models():
    refused, _ = alarms(range(8))
    assert not refused, "\n\n".join(refused)


@pytest.mark.slow
def test_no_false_alarm_in_a_thousand_random_models():
    parts = Parallel(n_jobs=2)(delayed(alarms)(range(part, 1000, 4)) for part in range(4))
    refused = [text for texts, _ in parts for text in texts]
    assert not refused, "\n\n".join(refused)
    assert sum(kinks for _, kinks in parts) > 100, "the models were meant to sit on kinks"


def large_model(kind=VAE):
    model = kind(784, 20, (400,), "relu", dtype="float64", backend="numpy", seed=0)
    rng = np.random.default_rng(0)
    x = rng.random((4, 784)) * (rng.random((4, 784)) < 0.3)
    return model, {"x": x}, {"fixed": {"noise": rng.standard_normal((4, 20))}, "coordinates": 12, "directions": 2}


def test_large_model_by_directions_and_sampled_coordinates():
    model, inputs, options = large_model()
    report = check_gradients(model, inputs, **options)
    assert report, report
    assert report.evaluations < 2500
    assert report.relative_error < 1e-9, "the loss is near 543 nats: only larger steps keep its rounding this small"
    weights = [array for array in report.arrays if array.size > 5000]
    assert len(weights) == 4
    assert all(array.miss_probability < 1e-6 for array in weights), report


def test_one_wrong_weight_of_a_large_model_is_found():
    class OneWrong(VAE):
        def pass_up(self):
            super().pass_up()
            self.gradients["encoder.0.weight"][300, 123] += 1e-4

    model, inputs, options = large_model(OneWrong)
    report = check_gradients(model, inputs, **options)
    assert report["encoder.0.weight"].worst.index == (300, 123), report
    assert [array.name for array in report.arrays if array.verdict == "wrong"] == ["encoder.0.weight"]
