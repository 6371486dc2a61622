"""The arguments of a kernel: 64-bit words in memory, written and read in the order of the kernel's parameters.

A kernel is a function whose parameters name its arguments; one that is annotated `float` gets a float64, every other
an integer, of an array its address. `part` and `parts`, where it has them, say which part of the work to do and into
how many parts it is cut.
"""

import ctypes
import inspect
import operator
import struct

import numpy as np
from llvmlite import ir
from numba import float64, int64, njit, types
from numba.extending import intrinsic

from .target import VECTOR_BYTES

_FLOAT, _INTEGER = struct.Struct("d"), struct.Struct("q")


def address_of(array):
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))
    except (TypeError, ValueError):
        # what is read-only, empty or in pieces; this way takes any array, and six times as long
        return array.__array_interface__["data"][0]


def _integer_word(argument):
    """An integer, an array (its address) or None (0) as the signed 64-bit integer that carries it."""
    if type(argument) is int and argument < 1 << 63:
        return argument  # most are
    if argument is None:
        return 0
    if isinstance(argument, np.ndarray):
        return address_of(argument)
    argument = operator.index(argument)
    return argument - (1 << 64) if argument >= 1 << 63 else argument  # a seed may have 64 bits


def _float_word(argument):
    return _INTEGER.unpack(_FLOAT.pack(argument))[0]


def _use_whole_registers(function):
    """Makes LLVM vectorise a function's loops with the widest registers there are.

    It takes half of them for AVX-512 by itself, because the first processors that had it slowed down for a while; the
    matrix products beside these loops use all anyway.
    """
    # llvmlite's own `add` refuses attributes that are strings
    set.add(function.attributes, f'"prefer-vector-width"="{8 * VECTOR_BYTES}"')


def _loader(numba_type, llvm_type):
    @intrinsic
    def load(typingctx, address, index):
        def codegen(context, builder, signature, arguments):
            _use_whole_registers(builder.function)  # here, because every kernel reads its arguments
            address, index = arguments
            base = builder.inttoptr(address, llvm_type.as_pointer())
            return builder.load(builder.gep(base, [index]))

        return numba_type(types.intp, types.intp), codegen

    return load


_SCOPE = {"word": _loader(int64, ir.IntType(64)), "number": _loader(float64, ir.DoubleType())}


class Parameters:
    """The parameters of a function that is to be a kernel."""

    def __init__(self, function):
        signature = inspect.signature(function).parameters
        self._names = tuple(signature)
        self._to_word = {
            name: _float_word if parameter.annotation is float else _integer_word
            for name, parameter in signature.items()
            if name not in ("part", "parts")
        }

    def words(self, kernel, arguments):
        """{name: argument} as a list of words; TypeError, with the kernel's name, if one is missing or unknown."""
        try:
            words = [to_word(arguments[name]) for name, to_word in self._to_word.items()]
        except KeyError as missing:
            raise TypeError(f"{kernel}: got no argument {missing}, expected {self}") from None
        if len(words) != len(arguments):
            unknown = ", ".join(repr(name) for name in arguments if name not in self._to_word)
            raise TypeError(f"{kernel}: got an unknown argument {unknown}, expected {self}")
        return words

    def __str__(self):
        return ", ".join(self._to_word)

    def entry(self, function):
        """A function (arguments, part, parts): it reads the words at the address `arguments` and does what `function`
        says, which becomes part of it before anything is compiled.
        """
        read = {
            name: f"{'number' if to_word is _float_word else 'word'}(arguments, {place})"
            for place, (name, to_word) in enumerate(self._to_word.items())
        }
        passed = ", ".join(read.get(name, name) for name in self._names)
        scope = _SCOPE | {"body": njit(inline="always")(function)}
        exec(f"def {function.__name__}(arguments, part, parts):\n    body({passed})\n", scope)
        return scope[function.__name__]
