"""Gradient checking for code that is differentiated by hand."""

from .check import assert_gradients, check_gradients
from .result import GradientReport

__all__ = ["GradientReport", "assert_gradients", "check_gradients"]
