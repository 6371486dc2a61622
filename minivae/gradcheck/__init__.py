"""Gradient checking for code that is differentiated by hand. See docs/gradient-checking.md.

`check_gradients` compares what a function, layer, model or pair of functions claims with differences of its values;
`check_sampler`, `check_kl` and `check_same_draw` look at what differences cannot see in a layer that samples.

The names are imported when one is first asked for: pytest loads the plugin beside them wherever it runs.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .check import assert_gradients, check_gradients
    from .result import ArrayResult, GradientReport
    from .sampling import SamplingReport, check_kl, check_same_draw, check_sampler

__all__ = [
    "ArrayResult",
    "GradientReport",
    "SamplingReport",
    "assert_gradients",
    "check_gradients",
    "check_kl",
    "check_same_draw",
    "check_sampler",
]

if not TYPE_CHECKING:

    def __getattr__(name):
        if name in __all__:
            for part in ("check", "result", "sampling"):
                module = importlib.import_module(f"{__name__}.{part}")
                if hasattr(module, name):
                    return globals().setdefault(name, getattr(module, name))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
