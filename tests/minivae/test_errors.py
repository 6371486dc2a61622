"""`check_data`: what may be trained on."""

import tracemalloc

import numpy as np
import pytest

from minivae import errors as checks
from minivae.errors import check_data


@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, bool, np.int64, np.float16])
def test_accepts(dtype, unit):
    array = np.eye(3, 2).astype(dtype)
    assert check_data("x", array, features=2, unit=unit) is array


def test_pixels_pass_the_bernoulli_check():
    check_data("x", np.full((2, 3), 255, np.uint8), unit=True)


def test_a_finite_number_is_one_that_a_float_can_hold():
    for check in checks.expect_positive, checks.expect_not_negative:
        assert check("x", 10**300) == 10**300
        with pytest.raises(ValueError, match=r"^x: got int, expected a finite number"):
            check("x", 10**400)


WITHIN = "expected values in [0, 1] for the Bernoulli likelihood"


@pytest.mark.parametrize(
    ("array", "arguments", "message"),
    [
        ([[0.0], [1.0, 2.0]], {}, "got list, expected an array or what makes one: "),
        ("rows", {}, "got 'rows', expected two dimensions (rows, features)"),
        (
            np.full((2, 3), 1e39),
            {"dtype": "float32"},
            "got 1e+39 at row 0, column 0, expected numbers that float32 can hold",
        ),
        (np.zeros(3), {}, "got float64 of shape (3,), expected two dimensions (rows, features)"),
        (np.zeros((2, 3, 4)), {}, "got float64 of shape (2, 3, 4)"),
        (np.zeros((0, 3)), {}, "got float64 of shape (0, 3), expected at least one row and one feature"),
        (np.zeros((3, 0)), {}, "got float64 of shape (3, 0)"),
        (np.zeros((2, 3), complex), {}, "got complex128 of shape (2, 3), expected real numbers"),
        (np.zeros((2, 3), object), {}, "got object of"),
        (np.zeros((2, 3), "U1"), {}, "got <U1 of"),
        (np.zeros((2, 3), "M8[s]"), {}, "got datetime64[s] of"),
        (np.zeros((2, 3)), {"features": 4}, "got float64 of shape (2, 3), expected 4 features per row"),
    ],
)
def test_refuses(array, arguments, message):
    with pytest.raises(ValueError, match=r"^x: got") as caught:
        check_data("x", array, **arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[0, 2]]), f"got 2 at row 0, column 1, {WITHIN}: the largest is 2; divide"),
        (np.array([[0, -1]]), f"got -1 at row 0, column 1, {WITHIN}: use the Gaussian"),
        (np.array([[0.5], [1.5], [255.0]]), f"1.5 at row 1, column 0, {WITHIN}: the largest is 255"),
    ],
)
def test_refuses_outside_the_unit_interval(array, message):
    with pytest.raises(ValueError, match=r"^x: got") as caught:
        check_data("x", array, unit=True)
    assert message in str(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (3, 6), (4, 0), (9, 6)])
@pytest.mark.parametrize("chunk", [1, 14, 15, 1 << 20])
def test_names_the_first_value_that_is_not_finite(bad, place, chunk, monkeypatch):
    """In every chunk, on both sides of a chunk's border, and whatever follows it."""
    monkeypatch.setattr(checks, "CHUNK", chunk)
    array = np.zeros((10, 7))
    array[place] = array[9, 6] = bad
    with pytest.raises(ValueError, match=f"got {bad} at row {place[0]}, column {place[1]}, expected finite numbers$"):
        check_data("x", array)


def test_memory_is_bounded():
    array = np.zeros((50_000, 500), np.float32)
    tracemalloc.start()
    try:
        check_data("x", array, unit=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < array.nbytes / 10
