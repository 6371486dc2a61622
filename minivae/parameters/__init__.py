"""Parameters: the flat buffers that hold them, and the model's parts whose arrays lie there."""

from .parts import Assembled
from .store import DTYPES, Arrays, Holder, Model, Parameters, Portable, RowBuffers, initial_dense
from .trial import Trial, try_latents

__all__ = [
    "DTYPES",
    "Arrays",
    "Assembled",
    "Holder",
    "Model",
    "Parameters",
    "Portable",
    "RowBuffers",
    "Trial",
    "initial_dense",
    "try_latents",
]
