"""Without a device: what the package says, and that it stays light. And the benchmark's command, from end to end."""

import json
import subprocess
import sys

import pytest

from minivae import kernels
from minivae.kernels.cuda import plans, probe
from minivae.kernels.cuda.constants import LARGE, SMALL


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


def test_benchmark_without_a_device(tmp_path):
    pytest.importorskip("numba_cuda", reason="the benchmark needs: pip install 'minivae[cuda-proof]'")
    pytest.importorskip("greenlet", reason="the dry run needs: pip install 'minivae[cuda-proof]'")
    command = [sys.executable, "-m", "benchmarks.gpu", "--dry-run", "--out", tmp_path / "dry.json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result = json.loads((tmp_path / "dry.json").read_text())
    assert result["dry_run"]
    assert all(check["passed"] for check in result["checks"])
    assert "DRY RUN" in done.stdout
