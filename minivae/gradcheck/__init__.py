"""Gradient checking for code that is differentiated by hand. See docs/gradient-checking.md.

`check_gradients` compares what a function, layer, model or pair of functions claims with differences of its values;
`check_sampler`, `check_kl` and `check_same_draw` look at what differences cannot see in a layer that samples.
"""

from .check import assert_gradients, check_gradients
from .kl import check_kl
from .result import ArrayResult, GradientReport
from .same_draw import check_same_draw
from .sampling import check_sampler, dirichlet_sticks
from .significance import SamplingReport

__all__ = [
    "ArrayResult",
    "GradientReport",
    "SamplingReport",
    "assert_gradients",
    "check_gradients",
    "check_kl",
    "check_same_draw",
    "check_sampler",
    "dirichlet_sticks",
]
