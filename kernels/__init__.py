"""The arithmetic, once for each kind of machine. Imported as `minivae.kernels`.

The kernels are stated in `naive`, as loops. A backend has a function of the same name and arguments for each, in a file
of the same name, and the functions of MEMORY for its arrays. This package knows nothing of layers or models; `minivae`
reaches arithmetic only through a `Backend`.
"""

from .backend import (
    BACKENDS,
    CONTRACT,
    FAMILIES,
    MEMORY,
    Backend,
    Program,
    available_backends,
    load_backend,
    load_coder,
    register_backend,
)

__all__ = [
    "BACKENDS",
    "CONTRACT",
    "FAMILIES",
    "MEMORY",
    "Backend",
    "Program",
    "available_backends",
    "load_backend",
    "load_coder",
    "register_backend",
]
