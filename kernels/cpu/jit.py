"""Compiling kernels when they are first needed, and keeping them on disk.

A kernel is compiled to a plain function of three integers: the address of its arguments (see `arguments.py`), which
part of the work to do, and into how many parts it is cut. Its address goes into a program (see `program.py`), so
Numba's parallel machinery is compiled once, not once per kernel.

Numba's own cache notices a changed source file only for the function that is cached, not for what that function calls,
and loads what it finds: a damaged file ends the process, or computes wrong numbers. Here every kernel is a file that is
sealed: it says what it was compiled from, for what and by what, and is loaded only if that is what is wanted, if its
checksum agrees, and if nobody else can have written it.
"""

import contextlib
import functools
import gc
import hashlib
import os
import pathlib
import pickle
import stat
import sys
import tempfile
import threading
import time

import llvmlite
import llvmlite.binding as llvm
import numba
from numba import types
from numba.core import config
from numba.core.caching import FunctionCache, NullCache
from numba.core.ccallback import CFunc
from numba.core.serialize import dumps

from .arguments import Arguments
from .target import FASTMATH, FASTMATH_SUMS


def njit(**options):
    """Numba's, which must compile: without a word it would hand functions back as they are."""

    def compiled(function):
        _expect_compiler()
        return numba.njit(**options)(function)

    return compiled


def _expect_compiler():
    if config.DISABLE_JIT:
        raise ValueError("numba.config.DISABLE_JIT is set, and the kernels of backend 'cpu' are compiled code")


# Functions that become part of the kernel that calls them. `exact` ones are computed as they are written.
# They are never called from Python or C, so nothing is compiled for that: it would be a fifth of all compiling.
_called = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inline = njit(fastmath=FASTMATH, forceinline=True, **_called)
inline_sums = njit(fastmath=FASTMATH_SUMS, forceinline=True, **_called)
inline_exact = njit(fastmath=False, forceinline=True, **_called)
called = njit(fastmath=FASTMATH, **_called)  # long ones that stay functions of their own
# Functions that are written into their caller before anything is compiled: those that would only pass on long code,
# which LLVM would go through once more with each of them.
written_out = njit(inline="always")

_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    # A child has no other threads: what one of them holds while it compiles, Numba's locks too, stays held there.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


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


# What of Numba's settings changes the code it makes, and with it perhaps the last bits of numbers; and the usual.
_SETTINGS = {"OPT": 3, "LOOP_VECTORIZE": 1, "SLP_VECTORIZE": 0, "BOUNDSCHECK": None, "DEBUGINFO_DEFAULT": 0}
_SETTINGS |= {"CPU_NAME": None, "CPU_FEATURES": None}
_SEAL = hashlib.sha256().digest_size


@functools.cache
def _say(line):
    """Says something once; where standard error is closed or full, nobody hears it."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            print(f"minivae: {line}", file=sys.stderr, flush=True)


class _Spent(threading.local):
    """Seconds that a Python thread has spent on having kernels compiled and loaded."""

    seconds = 0.0


_spent = _Spent()


@contextlib.contextmanager
def _preparing():
    start, collects = time.perf_counter(), gc.isenabled()
    gc.disable()  # a compiler's many objects are used to its end: looking for garbage among them takes 7 % of its time
    try:
        yield
    finally:
        if collects:
            gc.enable()
        _spent.seconds += time.perf_counter() - start


def seconds_preparing():
    """How long the Python thread that asks has waited for kernels to be compiled and loaded."""
    return _spent.seconds


class _Sealed:
    """The file of one kernel: the SHA-256 of the rest, its identity (a line), and the compiled code, pickled.

    In a folder of this user's alone. `identity` says all that the code depends on; a file that has another is of older
    sources, or was swapped, and is replaced.
    """

    def __init__(self, folder, name, sources):
        self._folder, self._name, self._sources = pathlib.Path(folder), name, sources
        self.complained = False

    def _path(self, key):
        return self._folder / f"{self._name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.kernel"

    def _identity(self, key):
        return f"{self._sources} {key!r}\n".encode()

    def load(self, key):
        """The compiled code, or None."""
        path, identity = self._path(key), self._identity(key)
        try:
            if not _mine(os.stat(self._folder)):
                self.complained = True
                _say(f"{self._folder} may be written by others: kernels are compiled at each start, and not kept there")
                return None
            # a link or a pipe is none of ours
            with open(path, "rb", opener=lambda name, flags: os.open(name, flags | _NO_LINK)) as file:
                status = os.fstat(file.fileno())
                content = file.read() if stat.S_ISREG(status.st_mode) and _mine(status) else b""
        except OSError:
            return None
        body = memoryview(content)[_SEAL:]
        if hashlib.sha256(body).digest() != content[:_SEAL]:
            self.complained = True
            _say(f"a kernel in {self._folder} is damaged, or others may write it: it is removed and compiled again")
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        return pickle.loads(body[len(identity) :]) if body[: len(identity)] == identity else None

    def save(self, key, data):
        """Keeps compiled code. A full or vanished disk costs the next start its time, not this run its life."""
        body = self._identity(key) + dumps(data)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if not _mine(os.stat(self._folder)):
                return
            handle, temporary = tempfile.mkstemp(dir=self._folder)
            try:
                with open(handle, "wb") as file:
                    file.write(hashlib.sha256(body).digest() + body)
                os.replace(temporary, self._path(key))
            except BaseException:
                pathlib.Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            _say(f"{self._folder}: kernels could not be kept there ({error.strerror or error})")


_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def _mine(status):
    """Whether a folder or file is this user's, and nobody else's to write; where there are no owners, everything is."""
    if not hasattr(os, "geteuid"):
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _about_to_compile():
    """Numba reads its environment and its file again before it compiles: ValueError if compiling is disabled by now."""
    config.reload_config()
    _expect_compiler()


class _Cache(FunctionCache):
    """Numba's interface to `_Sealed` files."""

    def __init__(self, function, name):
        super().__init__(function)
        owner = f"-{os.geteuid()}" if hasattr(os, "geteuid") else ""
        digest = _digest(pathlib.Path(function.__code__.co_filename).parent)
        self._name = name
        self._cache_file = _Sealed(pathlib.Path(self.cache_path) / f"minivae{owner}", name, digest)

    def _index_key(self, sig, codegen):
        found = {name: getattr(config, name, usual) for name, usual in _SETTINGS.items()}
        unusual = [f"{name} = {value}" for name, value in found.items() if (value or 0) != (_SETTINGS[name] or 0)]
        if unusual:
            _say(f"Numba compiles with {', '.join(unusual)}: the last bits of results may differ from the usual ones")
        return sig, codegen.magic_tuple(), self._name, sys.version, unusual

    def load_overload(self, sig, target_context):
        loaded = self._load(sig, target_context)
        if loaded is None:
            _about_to_compile()
            if not self._cache_file.complained:
                _say("compiling CPU kernels that no model has used here before; they are kept on disk")
        return loaded

    def _load(self, sig, target_context):
        if not _runtime_is_declared():
            return super().load_overload(sig, target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)

    def save_overload(self, sig, data):
        with contextlib.suppress(OSError):  # the folder around it is gone
            super().save_overload(sig, data)


class _NoCache(NullCache):
    """Where no folder can be written."""

    def load_overload(self, sig, target_context):
        _about_to_compile()
        _say("compiling CPU kernels; no folder for them can be written, so this happens at each start")


def _cache_for(function, name):
    try:
        return _Cache(function, name)
    except RuntimeError:  # Numba finds no folder
        return _NoCache()


def cached(dispatcher, name=None):
    """Gives a Numba function the cache of this module, under its own name or another."""
    compile = dispatcher.compile

    def watched(signature):
        with _preparing(), _lock:
            return compile(signature)

    dispatcher.compile = watched
    dispatcher._cache = _cache_for(dispatcher.py_func, name or dispatcher.py_func.__name__)
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
            with _preparing(), _lock:
                if self._compiled is None:
                    self._compiled = self._compile()
        return self._compiled.address

    def _compile(self, cache=True):
        signature = (self.arguments, types.intp, types.intp), types.void
        compiled = CFunc(self._function, signature, locals={}, options=self._options)
        if cache:
            compiled._cache = _cache_for(self._function, self.name)
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
