"""Compiling kernels when they are first needed, and keeping them on disk.

A kernel is compiled to a plain function of three integers: the address of its arguments (see `arguments.py`), which
part of the work to do, and into how many parts it is cut. Its address goes into a program (see `program.py`), so
Numba's parallel machinery is compiled once, not once per kernel.

Numba notices a changed source file only for the function that is cached, not for what that function calls. Here every
entry carries a digest of all sources of this package instead, so a stale kernel cannot be loaded.
"""

import contextlib
import functools
import hashlib
import pathlib
import pickle
import sys
import threading

import llvmlite
import llvmlite.binding as llvm
import numba
from numba import njit, types
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.ccallback import CFunc

from .arguments import Arguments
from .target import FASTMATH

# Functions that become part of the kernel that calls them. `exact` ones are computed as they are written.
# They are never called from Python or C, so nothing is compiled for that: it would be a fifth of all compiling.
_called = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inline = njit(fastmath=FASTMATH, forceinline=True, **_called)
inline_exact = njit(fastmath=False, forceinline=True, **_called)
called = njit(fastmath=FASTMATH, **_called)  # long ones that stay functions of their own
# Functions that are written into their caller before anything is compiled: those that would only pass on long code,
# which LLVM would go through once more with each of them.
written_out = njit(inline="always")

_lock = threading.RLock()


@functools.cache
def _digest(folder):
    """A hash of all that code compiled from a folder depends on besides the machine, which Numba puts into its keys."""
    here = pathlib.Path(__file__).parent
    folders = folder, here, here.parent, here.parent / "naive"
    sources = sorted({source for one in folders for source in one.glob("*.py")})
    state = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for source in sources:
        state.update(source.name.encode() + source.read_bytes())
    return state.hexdigest()


# Versions of Numba whose compiled code is known to need nothing but its runtime's functions to be loaded.
_LOADED_ALONE = (0, 61), (0, 68)


@functools.cache
def _runtime_is_declared():
    """Tells the linker where the functions of Numba's runtime are; False where that may not be all that code needs.

    Numba does the same before it loads anything, but brings up its whole compiler with it: 0.3 s and 30 MB, which a
    process that finds all its kernels in the cache never needs. One that compiles brings it up all the same.
    """
    oldest, newest = _LOADED_ALONE
    if not oldest <= numba.version_info[:2] <= newest:
        return False
    try:
        from numba.core.runtime._nrt_python import c_helpers
    except ImportError:
        return False
    for name, address in c_helpers.items():
        llvm.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)
    return True


class _Cache(FunctionCache):
    def __init__(self, function, name):
        super().__init__(function)
        python = f"py{sys.version_info.major}{sys.version_info.minor}{getattr(sys, 'abiflags', '')}"
        self._name = name
        digest = _digest(pathlib.Path(function.__code__.co_filename).parent)
        self._cache_file = IndexDataCacheFile(self.cache_path, f"{name}.{python}", digest)

    def _index_key(self, sig, codegen):
        return sig, codegen.magic_tuple(), self._name

    def load_overload(self, sig, target_context):
        try:
            loaded = self._load(sig, target_context)
        except (pickle.PickleError, EOFError, AttributeError, ImportError, IndexError, ValueError):
            loaded = None  # a damaged file: compile again and replace it
            self.flush()
        if loaded is None:
            _announce()
        return loaded

    def _load(self, sig, target_context):
        if not _runtime_is_declared():
            return super().load_overload(sig, target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)

    def save_overload(self, sig, data):
        # a full or vanished disk costs the next start its time, not this run its life
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)


@functools.cache
def _announce():
    print("minivae: compiling CPU kernels; this happens once, they are kept on disk", file=sys.stderr, flush=True)


def _cache_for(function, name):
    """The cache, or None where no folder can be written."""
    try:
        return _Cache(function, name)
    except RuntimeError:
        _announce()
        return None


def cached(dispatcher, name=None):
    """Gives a Numba function the cache of this module, under its own name or another."""
    cache = _cache_for(dispatcher.py_func, name or dispatcher.py_func.__name__)
    if cache is not None:
        dispatcher._cache = cache
    return dispatcher


class Kernel:
    """A kernel that is compiled, or loaded from the cache, when its address is first asked for."""

    def __init__(self, function, arguments, fastmath):
        self.name, self.arguments = arguments.kernel, arguments
        self._function = function
        self._options = {"error_model": "numpy", "fastmath": fastmath}
        self._compiled = None

    @property
    def address(self):
        if self._compiled is None:
            with _lock:
                if self._compiled is None:
                    self._compiled = self._compile()
        return self._compiled.address

    def _compile(self, cache=True):
        signature = (self.arguments, types.intp, types.intp), types.void
        compiled = CFunc(self._function, signature, locals={}, options=self._options)
        cache = _cache_for(self._function, self.name) if cache else None
        if cache is not None:
            compiled._cache = cache
        compiled.compile()
        return compiled

    def assembly(self):
        """The machine code as text, for a look at what the compiler made of it; compiles afresh."""
        return self._compile(cache=False)._library.get_asm_str()


def kernel(variant, names, fastmath=FASTMATH, floats=""):
    """Decorator: makes a function (given, part, parts) a `Kernel`; `variant` tells it from others of the same name.

    names and floats name its arguments, separated by spaces: `given.size` is an integer, of an array its address; what
    floats names is a float64.
    """
    return lambda function: Kernel(function, Arguments(f"{function.__name__}_{variant}", names, floats), fastmath)
