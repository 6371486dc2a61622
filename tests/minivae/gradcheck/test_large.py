"""Arrays too large for every coordinate: random directions, and the probability of missing one wrong entry."""

import numpy as np

from minivae.gradcheck import assert_gradients, check_gradients

from .foreign_layers import data


class Huge:
    """y = tanh(x * scale) over a long array; one entry of the gradient can be spoiled."""

    def __init__(self, size=40_000, at=None, by=0.0):
        self.scale, self.at, self.by = data(size, seed=7), at, by

    def forward(self, x):
        self.y = np.tanh(x * self.scale)
        return self.y.reshape(200, -1).sum(axis=0)

    def backward(self, dy):
        dx = (np.tile(dy, 200).reshape(200, -1).ravel()) * (1 - self.y**2) * self.scale
        if self.at is not None:
            dx[self.at] += self.by
        return dx


def test_one_wrong_coordinate_of_forty_thousand_is_found_and_named():
    x = data(40_000)
    report = assert_gradients(Huge(), x, constant="scale")
    assert len(report["x"].coordinates) == 24
    assert report["x"].miss_probability < 1e-12
    report = check_gradients(Huge(at=31_234, by=1e-3), x, constant="scale")
    assert not report
    assert report["x"].worst.index == (31_234,)
    assert "one coordinate only" in report["x"].diagnosis


def test_stated_probability_of_missing_is_that_of_a_count():
    """An error that one direction misses about half of the time: over many seeds the misses add up to those stated."""
    x = data(4_000)
    options = {"directions": 1, "coordinates": 1, "constant": "scale"}
    reports = [check_gradients(Huge(4_000), x, seed=seed, **options) for seed in range(100, 109)]
    tolerances = [report["x"].directions[0].tolerance for report in reports]
    error = np.median(tolerances) / 0.6745  # erf(tolerance / (error sqrt 2)) = 1/2
    missed, stated = 0, []
    for seed in range(60):
        report = check_gradients(Huge(4_000, at=5, by=error), x, seed=seed, **options)
        missed += not report["x"].directions[0].wrong
        stated.append(report["x"].miss(error))
    stated = np.array(stated)
    assert 0.2 < stated.mean() < 0.8
    assert abs(missed - stated.sum()) < 4 * np.sqrt((stated * (1 - stated)).sum())
