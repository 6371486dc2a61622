"""Backends by name, and recorded sequences of kernel calls."""

import importlib
import importlib.util
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from . import naive

# name: (module, what it needs, packages it imports). In order of preference: "auto" takes the first that is available.
BACKENDS = {
    "cuda": ("cuda.backend", "an NVIDIA GPU with its driver, and numba-cuda: pip install 'minivae[cuda]'"),
    "cpu": ("cpu.backend", "Numba", "numba"),
    "numpy": ("numpy_backend", "NumPy"),
}

# Modules with a function why_not(): what a backend misses that is no package, or None.
PROBES = {"cuda": "cuda.probe", "cpu": "cpu.probe"}

# The kernels: the public functions of the specification that are defined there.
CONTRACT = tuple(
    name
    for name, value in vars(naive).items()
    if callable(value) and not name.startswith("_") and value.__module__ == naive.__name__
)

# What a backend does with its arrays: zeros(shape, dtype); from_host(array) -> the backend's array; to_host(array) ->
# a NumPy array, the same memory where the backend computes on the host; assign(destination, source) copies a NumPy
# array or a number.
MEMORY = ("zeros", "from_host", "to_host", "assign")


def _why_not(name):
    """What a backend misses here that is no package, or None."""
    return importlib.import_module(f".{PROBES[name]}", __package__).why_not() if name in PROBES else None


def _load(name):
    if missing := _why_not(name):
        raise ImportError(missing)
    return importlib.import_module(f".{BACKENDS[name][0]}", __package__)


def available_backends() -> tuple[str, ...]:
    """The names of the backends that can be loaded here, best first. No package is imported to find out."""
    return tuple(name for name in BACKENDS if _present(name))


def _present(name):
    module, _, *packages = BACKENDS[name]
    names = [f"{__package__}.{module}", *packages]
    return not _why_not(name) and all(importlib.util.find_spec(name) is not None for name in names)


def load_backend(name: str) -> "Backend":
    """The backend called `name`, or for "auto" the best one present, as a new `Backend`.

    Raises
    ------
    ValueError
        If there is no backend of that name, or it cannot run here; the message says what it needs.
    """
    if name == "auto":
        name = available_backends()[0]
    if name not in BACKENDS:
        raise ValueError(f"backend: got {name!r}, expected 'auto' or one of {', '.join(map(repr, BACKENDS))}")
    try:
        module = _load(name)
    except ImportError as error:
        raise ValueError(f"backend {name!r} cannot run here: {error}; it needs {BACKENDS[name][1]}") from error
    return Backend(name, module)


class Program:
    """A fixed sequence of kernel calls on fixed arrays: calling it makes them all again.

    `calls` lists them as (kernel name, arguments); printed, it shows them one a line with the arrays' shapes.
    """

    def __init__(self, module: ModuleType, calls: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        self.calls = tuple(calls)
        self._bound = tuple((getattr(module, name), arguments) for name, arguments in self.calls)

    def __call__(self) -> None:
        for kernel, arguments in self._bound:
            kernel(*arguments)

    def __str__(self) -> str:
        return "\n".join(f"{name}({', '.join(map(_describe, arguments))})" for name, arguments in self.calls)


def _describe(argument):
    shape = getattr(argument, "shape", None)
    return repr(argument) if shape is None else "x".join(map(str, shape)) or "scalar"


class Backend:
    """One model's access to the kernels: every function of CONTRACT and MEMORY as an attribute.

    `record` turns a step into a `Program`. A backend module may offer `compile_program(calls)` to return something
    better than a loop over the calls: a captured graph, or fused kernels.
    """

    zeros: Callable[[tuple[int, ...], str], np.ndarray]
    from_host: Callable[[np.ndarray], np.ndarray]
    to_host: Callable[[np.ndarray], np.ndarray]
    assign: Callable[[np.ndarray, np.ndarray | float], None]

    if TYPE_CHECKING:

        def __getattr__(self, kernel: str) -> Callable[..., None]: ...

    def __init__(self, name: str, module: ModuleType) -> None:
        self.name = name
        self.module = module
        for function in CONTRACT + MEMORY:
            setattr(self, function, getattr(module, function))

    @property
    def on_host(self) -> bool:
        """Whether the backend's arrays are NumPy arrays, so that reading one costs nothing."""
        return getattr(self.module, "ON_HOST", True)

    def record(self, step: Callable[[], object]) -> Program:
        """Runs step(), which must only call kernels on arrays that stay where they are, and returns it as a Program."""
        calls = []

        def recorder(name):
            kernel = getattr(self.module, name)

            def call(*arguments):
                kernel(*arguments)
                calls.append((name, arguments))

            return call

        try:
            for name in CONTRACT:
                setattr(self, name, recorder(name))
            step()
        finally:
            for name in CONTRACT:
                setattr(self, name, getattr(self.module, name))
        compiler = getattr(self.module, "compile_program", None)
        return compiler(calls) if compiler else Program(self.module, calls)

    def __repr__(self) -> str:
        return f"Backend({self.name!r})"
