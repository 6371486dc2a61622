"""Imported first by benchmarks that run from a plain checkout, with nothing installed.

`minivae.kernels` lies in kernels/ at the top; only an installation maps the one to the other. Where tqdm is missing, a
progress bar that shows nothing takes its place.
"""

import importlib.util
import sys
import types
from importlib.abc import MetaPathFinder
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class _Kernels(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "minivae.kernels":
            return None
        folder = ROOT / "kernels"
        return importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )


class _NoBar:
    def __init__(self, *arguments, **options):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def update(self, count):
        pass

    def set_postfix_str(self, text, refresh=True):
        pass


def prepare():
    """Makes this checkout importable as it stands."""
    sys.meta_path.insert(0, _Kernels())
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    if importlib.util.find_spec("tqdm") is None:
        sys.modules["tqdm"] = types.ModuleType("tqdm")
        sys.modules["tqdm"].tqdm = _NoBar
