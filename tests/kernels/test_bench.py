"""`minivae bench`: what it prints, and that it does not time a wrong result."""

import json

import pytest

from benchmarks import __main__ as benchmarks
from minivae.command.main import main
from minivae.kernels import FAMILIES, bench


def test_verify_only(capsys):
    assert main(["bench", "--backend", "numpy", "--verify-only"]) == 0
    assert "numpy: 20 results agree with float64" in capsys.readouterr().out


def test_out_must_be_json(tmp_path, capsys):
    assert main(["bench", "--out", str(tmp_path / "figures.txt")]) == 2
    assert "--out: got" in capsys.readouterr().err


@pytest.mark.parametrize(("kernel", "output"), [("adam_update", 3), ("bernoulli_nll", 4), ("standard_normal", 3)])
def test_a_wrong_pass_is_not_timed(monkeypatch, kernel, output):
    reference = bench.load_backend("numpy")
    right = getattr(reference, kernel)

    def wrong(*arguments):
        right(*arguments)
        if arguments[output].dtype == "float32":
            arguments[output].flat[-1] += 0.01

    monkeypatch.setattr(f"minivae.kernels.numpy_backend.{FAMILIES[kernel]}.{kernel}", wrong)
    loaded = iter([bench.load_backend("numpy"), reference])
    monkeypatch.setattr(bench, "load_backend", lambda name: next(loaded))
    with pytest.raises(RuntimeError, match="is wrong in"):
        bench._passes("numpy")


def test_table():
    rows = {"product": {"flops": 2e6, "median_us": 10.0}, "pass": {"elements": 1000, "median_us": 10.0}}
    result = {"backend": "numpy", "rows": rows, "roof_gflops": {"float32 on 1": 100.0}, "control_us": 400.0}
    text = list(bench.table(json.loads(json.dumps({"numpy": result}))))
    assert any("200 GFLOP/s" in line for line in text)
    assert any("100 M/s" in line for line in text)
    assert any("roof, float32 on 1" in line for line in text)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("kernels --only x", "--only: got kernels, expected step with it"),
        ("runs --verify-only", "--verify-only: got runs, expected kernels, ladder, step with it"),
        ("breakdown --epochs 2", "--epochs: got breakdown, expected runs with it"),
        ("step --quick --only IWAE", "--only: got 'IWAE', expected what is in one of reference, tiny"),
    ],
)
def test_options_that_a_part_of_the_benchmarks_would_ignore_are_refused(line, words, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmarks", *line.split()])
    with pytest.raises(SystemExit, match="2"):
        benchmarks.main()
    assert words in capsys.readouterr().err
