"""The arithmetic, once for each kind of machine. Imported as `minivae.kernels`.

A backend is a module with one function for each kernel of the contract, stated in `naive.py`, and with the functions of
MEMORY for its arrays. This package knows nothing of layers or models; `minivae` reaches arithmetic only through a
`Backend`.
"""

from .backend import BACKENDS, CONTRACT, MEMORY, Backend, Program, available_backends, load_backend

__all__ = ["BACKENDS", "CONTRACT", "MEMORY", "Backend", "Program", "available_backends", "load_backend"]
