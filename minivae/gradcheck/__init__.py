"""Gradient checking for code that is differentiated by hand. See docs/gradient-checking.md.

`check_gradients` compares what a function, layer, model or pair of functions claims with differences of its values,
`check_second` does so for second derivatives and `check_jvp` for Jacobian-vector products;
`check_sampler`, `check_kl` and `check_same_draw` look at what differences cannot see in a layer that samples.

The names are imported when one is first asked for: pytest loads the plugin beside them wherever it runs.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .check import assert_gradients, check_gradients
    from .jvp import check_jvp
    from .result import ArrayResult, GradientReport
    from .samplers.kl import check_kl
    from .samplers.same_draw import check_same_draw
    from .samplers.sampling import check_sampler, dirichlet_sticks
    from .samplers.significance import SamplingReport
    from .second import check_second

__all__ = [
    "ArrayResult",
    "GradientReport",
    "SamplingReport",
    "assert_gradients",
    "check_gradients",
    "check_jvp",
    "check_kl",
    "check_same_draw",
    "check_sampler",
    "check_second",
    "dirichlet_sticks",
]

if not TYPE_CHECKING:

    def __getattr__(name):
        if name in __all__:
            for part in (
                "check",
                "result",
                "second",
                "jvp",
                *(f"samplers.{n}" for n in ("sampling", "kl", "same_draw")),
            ):
                module = importlib.import_module(f"{__name__}.{part}")
                if hasattr(module, name):
                    return globals().setdefault(name, getattr(module, name))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*globals(), *__all__})
