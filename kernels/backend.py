"""Backends by name, and recorded sequences of kernel calls."""

import difflib
import functools
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

from . import coder, naive, numpy_backend
from .cpu import probe  # noqa: F401, which watches forks from now on

# name: (module, what it needs, packages it imports). In order of preference: "auto" takes the first that is available.
# The module has the functions of MEMORY; in its folder are the files of kernels, named as in `naive`.
BACKENDS: dict[str, tuple[Any, ...]] = {
    "cuda": ("cuda.backend", "an NVIDIA GPU with its driver, and numba-cuda: pip install 'minivae[cuda]'"),
    "cpu": ("cpu.backend", "Numba", "numba"),
    "numpy": ("numpy_backend", "NumPy"),
}

# Modules with a function why_not(): what a backend misses that is no package, or None.
PROBES = {"cuda": "cuda.probe", "cpu": "cpu.probe"}


def _why_not(name):
    """What a backend misses here that is no package, or None."""
    return importlib.import_module(f".{PROBES[name]}", __package__).why_not() if name in PROBES else None


def _load(name):
    if not isinstance(BACKENDS[name][0], str):
        return BACKENDS[name][0]
    if missing := _why_not(name):
        raise ImportError(missing)
    return importlib.import_module(f".{BACKENDS[name][0]}", __package__)


def available_backends() -> tuple[str, ...]:
    """The names of the backends that can be loaded here, best first. No package is imported to find out."""
    return tuple(name for name in BACKENDS if _present(name))


def _present(name):
    module, _, *packages = BACKENDS[name]
    if not isinstance(module, str):
        return True
    names = [f"{__package__}.{module}", *packages]
    return not _why_not(name) and all(importlib.util.find_spec(name) is not None for name in names)


def register_backend(name: str, module: Any, base: str = "numpy") -> None:
    """Makes kernels of one's own a backend that can be asked for by name, like those that are here.

    Parameters
    ----------
    name : a new name, or one that was registered before
    module : a module, class or other object; its functions named as kernels (see `CONTRACT`) take their place, with the
        arguments that `naive` states, on NumPy arrays
    base : the backend whose kernels are the others: "numpy" or "cpu"

    Raises
    ------
    ValueError
        For a name that is taken, a module without a kernel, a kernel with other arguments, or a base on a device.
    """
    known = BACKENDS.get(name, ()) if isinstance(name, str) else ()
    if not isinstance(name, str) or name in ("", "auto") or (known and isinstance(known[0], str)):
        raise ValueError(f"name: got {name!r}, expected one that no backend has")
    under = load_backend(base)
    if not under.on_host:
        raise ValueError(f"base: got {base!r}, expected a backend that computes on the host")
    own = {kernel: getattr(module, kernel) for kernel in CONTRACT if callable(getattr(module, kernel, None))}
    if not own:
        raise ValueError(f"module: got {module!r} without a kernel, expected one of {', '.join(CONTRACT)}")
    for other in set(dir(module)) - set(own):
        if meant := difflib.get_close_matches(other, CONTRACT, 1, 0.85):
            raise ValueError(f"module: got {other!r}, which is no kernel, expected {meant[0]!r}")
    for kernel, function in own.items():
        arguments = inspect.signature(getattr(naive, kernel)).parameters
        try:
            inspect.signature(function).bind(*arguments)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{kernel}: {error}, expected the arguments {', '.join(arguments)}") from error
    memory = {function: getattr(under, function) for function in MEMORY}
    memory |= {function: getattr(under.module, function) for function in MAY_OFFER if hasattr(under.module, function)}
    kernels = {kernel: own.get(kernel, getattr(under, kernel)) for kernel in CONTRACT}
    BACKENDS[name] = SimpleNamespace(__name__=name, **memory, **kernels), f"what was registered as {name!r}"


def load_backend(name: str) -> "Backend":
    """The backend called `name`, or for "auto" the best one present, as a new `Backend`.

    Raises
    ------
    ValueError
        If there is no backend of that name, or it cannot run here; the message says what it needs.
    """
    if name == "auto":
        name = available_backends()[0]
    if not isinstance(name, str) or name not in BACKENDS:
        raise ValueError(f"backend: got {name!r:.80}, expected 'auto' or one of {', '.join(map(repr, BACKENDS))}")
    try:
        return Backend(name, _load(name))
    except (ImportError, ValueError) as error:
        raise ValueError(f"backend {name!r} cannot run here: {error}; it needs {BACKENDS[name][1]}") from error


class Memory:
    """What a backend does with its arrays; here with those of NumPy.

    zeros(shape, dtype); from_host(array) -> the backend's array; to_host(array) -> a NumPy array, the same memory where
    the backend computes on the host; assign(destination, source) copies a NumPy array or a number.
    """

    zeros = staticmethod(numpy_backend.zeros)
    from_host = staticmethod(numpy_backend.from_host)
    to_host = staticmethod(numpy_backend.to_host)
    assign = staticmethod(numpy_backend.assign)


class Program:
    """A fixed sequence of kernel calls on fixed arrays: calling it makes them all again.

    `calls` lists them as (kernel name, arguments); printed, it shows them one a line with the arrays' shapes.
    """

    def __init__(
        self, kernels: Mapping[str, Callable[..., None]], calls: Iterable[tuple[str, tuple[Any, ...]]]
    ) -> None:
        self.calls = tuple(calls)
        self._bound = tuple((kernels[name], arguments) for name, arguments in self.calls)

    def __call__(self) -> None:
        for kernel, arguments in self._bound:
            kernel(*arguments)

    def __str__(self) -> str:
        return "\n".join(f"{name}({', '.join(map(_describe, arguments))})" for name, arguments in self.calls)


def _describe(argument):
    shape = getattr(argument, "shape", None)
    return repr(argument) if shape is None else "x".join(map(str, shape)) or "scalar"


class Backend(Memory, naive.Dense, naive.Posterior, naive.Likelihoods, naive.Importance, naive.Optimizers, naive.Data):
    """One model's access to the kernels: every function of CONTRACT and MEMORY as an attribute.

    A kernel is the function of its name in `module`, or else in the file of its family beside `module`; one that is in
    neither says so when it is called. `record` turns a step into a `Program`. The module may offer
    `compile_program(calls, kernels)`, with the backend's function for each name, to return something better than a loop
    over the calls: a captured graph, or fused kernels; `at_most(threads)`, a context in which the caller's kernels use
    no more threads; `threading_layer()`, the name of what its threads are of; and `seconds_preparing()`, how long it
    has compiled kernels. `on_host` says whether the backend's arrays are NumPy arrays, so that reading one costs
    nothing.
    """

    def __init__(self, name: str, module: Any) -> None:
        self.name = name
        self.module = module
        self.on_host: bool = getattr(module, "ON_HOST", True)
        self.seconds_preparing: Callable[[], float] = getattr(module, "seconds_preparing", float)
        self.threading_layer: Callable[[], str] = getattr(module, "threading_layer", str)
        self._kernels = {kernel: _find(name, module, kernel) for kernel in CONTRACT}
        vars(self).update(self._kernels)
        for function in MEMORY:
            setattr(self, function, getattr(module, function))

    def changed(self) -> str | None:
        """The name of a kernel that was replaced on this object, or None."""
        own = vars(self)
        return next((name for name, kernel in self._kernels.items() if own[name] is not kernel), None)

    def record(self, step: Callable[[], object]) -> Program:
        """Runs step(), which must only call kernels on arrays that stay where they are, and returns it as a Program."""
        return self.program(self.calls_of(step))

    def calls_of(self, step: Callable[[], object]) -> list[tuple[str, tuple[Any, ...]]]:
        """Runs step() and returns the kernels that it called, as (name, arguments)."""
        calls, kernels = [], {name: vars(self)[name] for name in self._kernels}

        def recorder(name, kernel):
            def call(*arguments):
                kernel(*arguments)
                calls.append((name, arguments))

            return call

        try:
            vars(self).update({name: recorder(name, kernel) for name, kernel in kernels.items()})
            step()
        finally:
            vars(self).update(kernels)
        return calls

    def program(self, calls: Iterable[tuple[str, tuple[Any, ...]]]) -> Program:
        """The calls as one program."""
        compiler = getattr(self.module, "compile_program", None)
        return compiler(calls, self._kernels) if compiler else Program(self._kernels, calls)

    def at_most(self, threads: int | None) -> AbstractContextManager[None]:
        """A context in which this Python thread's kernels use at most so many threads; None leaves them as they are.

        ValueError where the backend's threads are not its own to choose.
        """
        if threads is None:
            return nullcontext()
        if not hasattr(self.module, "at_most"):
            raise ValueError(f"threads: got {threads} with backend {self.name!r}, expected backend 'cpu' with it")
        return self.module.at_most(threads)

    def __reduce__(self) -> tuple[Any, ...]:
        return load_backend, (self.name,)

    def __getstate__(self) -> Any:
        raise TypeError("a model's arrays share memory: pickle and joblib keep that, skops cannot; see VAE.save")

    def __repr__(self) -> str:
        return f"Backend({self.name!r})"


def _methods(cls):
    return tuple(name for name in vars(cls) if not name.startswith("_"))


MEMORY = _methods(Memory)
MAY_OFFER = ("at_most", "seconds_preparing", "threading_layer")
# The kernels, each with its family: the file of the specification, and of every backend, that it stands in.
FAMILIES = {
    kernel: family.__module__.rpartition(".")[2] for family in Backend.__bases__[1:] for kernel in _methods(family)
}
CONTRACT = tuple(FAMILIES)


def _find(name, module, kernel):
    """The backend's function for a kernel; where it has none, one that says so."""
    package = getattr(module, "__package__", None)
    file = f"{package or module.__name__}.{FAMILIES[kernel]}"
    if package and not hasattr(module, kernel) and importlib.util.find_spec(file) is not None:
        module = importlib.import_module(file)

    def missing(*arguments):
        path = file.partition(".")[2].replace(".", "/")
        raise NotImplementedError(f"the {name} backend lacks {kernel}: expected in {path}.py")

    return getattr(module, kernel, missing)


@functools.cache
def load_coder() -> SimpleNamespace:
    """The functions of `coder`, compiled, or where there is no Numba as they stand, a hundred times as slow."""
    try:
        from .cpu.coder import compiled
    except ImportError:
        return coder.specification
    return compiled()
