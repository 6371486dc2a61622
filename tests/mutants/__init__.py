"""Bugs planted on purpose, to count which checks see them. Importing this package registers them all."""

from . import dense, kernels, losses, model, optimizers, sampler
from . import objectives as bounds
from .registry import MUTANTS, Mutant

__all__ = ["MUTANTS", "Mutant", "bounds", "dense", "kernels", "losses", "model", "optimizers", "sampler"]
