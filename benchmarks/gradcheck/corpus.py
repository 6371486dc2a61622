"""All families, by name: each module registers its own."""

from . import densities, elementwise, layers, losses, networks, norms, styles
from .registry import FAMILIES, judged

MODULES = (elementwise, losses, layers, norms, networks, densities, styles)

__all__ = ["FAMILIES", "MODULES", "judged"]
