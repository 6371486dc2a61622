"""Without a device: what the package says, and that it stays light. And the benchmark's command, from end to end."""

import json
import os
import subprocess
import sys

import pytest

from minivae import kernels
from minivae.kernels.cuda import plans, probe
from minivae.kernels.cuda.constants import LARGE, SMALL

from . import extra


@pytest.fixture
def absent(monkeypatch):
    monkeypatch.setattr(probe, "why_not", lambda: "there is no NVIDIA driver")
    monkeypatch.delitem(sys.modules, "minivae.kernels.cuda.backend", raising=False)


@pytest.mark.usefixtures("absent")
def test_asking_for_an_absent_device_says_what_to_install():
    assert "cuda" not in kernels.available_backends()
    with pytest.raises(ValueError, match=r"'cuda' cannot run here: there is no NVIDIA driver; .*minivae\[cuda\]"):
        kernels.load_backend("cuda")


def test_numba_is_not_imported_to_find_out_what_there_is():
    code = "import sys, minivae; minivae.available_backends(); sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("shape", [(1, 1, 1), (128, 400, 784), (400, 784, 128), (8192, 400, 784), (784, 400, 8192)])
def test_plans_cover_every_element_of_every_sum(shape):
    for tile in (SMALL, LARGE):
        rows, columns, depth = shape
        one = plans.plan(tile, *shape)
        assert one.across * tile.columns >= columns
        assert one.tiles // one.across * tile.rows >= rows
        assert one.part % tile.depth == 0
        assert one.part * (one.splits - 1) < depth <= one.part * one.splits


def run_benchmark(*arguments):
    command = [sys.executable, "-m", "benchmarks.gpu", *arguments]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=hidden)


def test_benchmark_without_a_device_says_so_in_a_line(tmp_path):
    pytest.importorskip("numba_cuda", reason=extra.REASON)
    done = run_benchmark("--out", tmp_path / "gpu.json")
    assert done.returncode == 2
    assert not done.stdout
    assert done.stderr.count("\n") == 1
    assert "no timing without a device: " in done.stderr
    assert not list(tmp_path.iterdir())


def test_dry_run_of_the_benchmark(tmp_path):
    pytest.importorskip("numba_cuda", reason=extra.REASON)
    pytest.importorskip("greenlet", reason=extra.REASON)
    done = run_benchmark("--dry-run", "--out", tmp_path / "dry.json")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "dry.json").read_text())
    assert result["dry_run"]
    assert all(check["passed"] for check in result["checks"])
    assert "DRY RUN" in done.stdout
