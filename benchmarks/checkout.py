"""Imported first by benchmarks that run from a plain checkout, with nothing installed."""

import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

ROOT = Path(__file__).resolve().parent.parent


def prepare():
    """Makes this checkout importable as it stands; where tqdm is missing, a bar that shows nothing takes its place."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    kernels = ROOT / "minivae" / "kernels"
    if not kernels.is_dir():  # a copy of the checkout that lost its link
        kernels.unlink(missing_ok=True)
        kernels.symlink_to("../kernels")
    if find_spec("tqdm") is None:
        sys.modules["tqdm"] = SimpleNamespace(tqdm=MagicMock())
