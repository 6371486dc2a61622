"""`minivae gradcheck`: the table, the picture, the exit status."""

import argparse
import dataclasses

import numpy as np
import pytest

from minivae.command import gradcheck
from minivae.kernels import CONTRACT, load_backend
from minivae.selfcheck import report
from minivae.selfcheck.catalog import Check, Outcome, minivae_parts
from minivae.selfcheck.hosted import HostedBackend
from minivae.selfcheck.kernel_checks import kernel_checks
from minivae.selfcheck.picture import draw_steps


def few(dtypes):
    """A handful of checks, so that the table is quick."""
    passes = Check("Dense", "one", "gradient", lambda parts, dtype: Outcome(True, 1.5e-12, 1e-9, ""))
    wide = ("float64",)
    wrong = Outcome(False, 9e9, 1.0, "wrong here")
    fails = Check("kernels", "two", "against naive loops", lambda parts, dtype: wrong, wide)
    breaks = Check("kernels", "three", "values", lambda parts, dtype: 1 / 0, wide)
    return [check for check in (passes, fails, breaks) if set(check.dtypes) & set(dtypes)]


def test_table_shows_errors_failures_and_what_does_not_apply(monkeypatch):
    monkeypatch.setattr(report, "all_checks", few)
    lines = []
    rows = report.run_all(["numpy"], say=lines.append)
    assert [row.outcome.passed for row in rows] == [True, True, False, False]
    text = "\n".join(lines)
    assert "numpy 64" in lines[0]
    assert "numpy 32" in lines[0]
    assert "1.5e-12      1.5e-12  relative error" in text
    assert "FAILED            -  of the error allowed" in text
    assert "numpy float64, kernels, two, against naive loops:\nwrong here" in text
    assert "three: ZeroDivisionError" in text
    assert lines[-1].startswith("4 checks, 2 failed")


def test_exit_status_and_bad_options(monkeypatch, tmp_path, capsys):
    parser = argparse.ArgumentParser()
    gradcheck.add(parser)
    monkeypatch.setattr(report, "all_checks", few)
    args = parser.parse_args(["--backend", "numpy", "--dtype", "float32", "--out", str(tmp_path / "a.png")])
    assert gradcheck.run(args) == 0
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    args.dtype = ["float64"]
    assert gradcheck.run(args) == 1
    capsys.readouterr()
    args.out = str(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="--out: got"):
        gradcheck.run(args)


def test_every_kernel_and_every_unit_is_there():
    assert [check.name for check in kernel_checks()] == list(CONTRACT)
    assert {check.what for check in report.all_checks()} == set(report.UNITS)


def test_float32_checks_pass():
    parts = minivae_parts()
    for check in report.all_checks(["float32"]):
        outcome = check.run(parts, "float32")
        assert outcome.passed, outcome.text


def test_device_backends_are_checked_through_copies(monkeypatch):
    """A backend with arrays of its own: here NumPy's, behind copies."""
    calls = []

    class Elsewhere:
        def __init__(self):
            backend = load_backend("numpy")
            self.name, self.module = "elsewhere", backend.module
            for kernel in CONTRACT:
                setattr(self, kernel, getattr(backend, kernel))

        def from_host(self, array):
            calls.append(array.shape)
            return array.copy()

        def to_host(self, array):
            return array.copy()

    parts = minivae_parts()
    monkeypatch.setattr(type(parts), "backend", lambda self: HostedBackend(Elsewhere()))
    for check in [c for c in report.all_checks(["float64"]) if c.section in ("sampler", "kernels")]:
        outcome = check.run(parts, "float64")
        assert outcome.passed, outcome.text
    assert calls


def test_a_broken_kernel_fails_its_row():
    def without_bias(original):
        return lambda x, weight, bias, *others: original(x, weight, 0 * bias, *others)

    parts = dataclasses.replace(minivae_parts(), patches={"dense_forward": without_bias})
    check = next(c for c in kernel_checks() if c.name == "dense_forward")
    outcome = check.run(parts, "float64")
    assert not outcome.passed
    assert "reference" in outcome.text


def test_picture_of_steps(tmp_path):
    figure = draw_steps(tmp_path / "steps.png")
    assert (tmp_path / "steps.png").stat().st_size > 20_000
    smooth, single, kinked = figure.axes
    curves = {line.get_label(): np.asarray(line.get_ydata()) for line in smooth.lines}
    assert curves["extrapolated"].min() < curves["central"].min() < curves["forward"].min()
    assert curves["taken"][0] < 1e-12
    assert np.asarray(single.lines[3].get_ydata())[0] < 1e-4
    assert np.asarray(kinked.lines[3].get_xdata())[0] < 1e-5, "the step taken lies below the kink"
    assert np.asarray(kinked.lines[3].get_ydata())[0] < 1e-9
