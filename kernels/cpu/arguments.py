"""The arguments of a kernel: 64-bit words in memory, in the order in which the kernel names them.

A kernel reads `given.size` and a plan is given {"size": ...}: names are compared when a call is planned and when a
kernel is compiled, and what runs is a load from an address.
"""

import ctypes
import operator
import struct

import numpy as np
from llvmlite import ir
from numba import float64, int64, types
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, lower_getattr_generic, models, register_model

from .target import VECTOR_BYTES

_FLOAT, _INTEGER = struct.Struct("d"), struct.Struct("q")
# Eager calls spend much of their time here: names spare the search for an attribute.
_ndarray, _buffer, _addressof = np.ndarray, ctypes.c_char.from_buffer, ctypes.addressof


def address_of(array):
    try:
        return _addressof(_buffer(array))
    except (TypeError, ValueError):
        # what is read-only, empty or in pieces; this way takes any array, and six times as long
        return array.__array_interface__["data"][0]


def _integer(argument):
    """An integer, an array (its address) or None (0) as the signed 64-bit integer that carries it."""
    if type(argument) is int and argument < 1 << 63:
        return argument  # most are
    if isinstance(argument, _ndarray):
        return address_of(argument)
    if argument is None:
        return 0
    argument = operator.index(argument)
    return argument - (1 << 64) if argument >= 1 << 63 else argument  # a seed may have 64 bits


def _float(argument):
    return _INTEGER.unpack(_FLOAT.pack(argument))[0]


class Arguments(types.Type):
    """What a kernel is given; for Numba, the type of the address of its words, each of which is an attribute."""

    def __init__(self, kernel, names, floats=""):
        self.kernel, self._key = kernel, (kernel, names, floats)
        super().__init__(f"arguments of {kernel}")
        self._word_of = dict.fromkeys(names.split(), _integer) | dict.fromkeys(floats.split(), _float)
        self.places = {name: place for place, name in enumerate(self._word_of)}

    @property
    def key(self):
        return self._key

    def words(self, given):
        """{name: argument} as a list of words; TypeError if one is missing or unknown."""
        try:
            words = [word_of(given[name]) for name, word_of in self._word_of.items()]
        except KeyError:
            words = None
        if words is None or len(words) != len(given):
            missing = ", ".join(self.places.keys() - given.keys()) or "none"
            unknown = ", ".join(given.keys() - self.places.keys()) or "none"
            raise TypeError(f"{self.kernel}: missing arguments: {missing}; unknown arguments: {unknown}")
        return words

    def kind(self, name):
        return float64 if self._word_of[name] is _float else int64


@register_model(Arguments)
class _Address(models.PrimitiveModel):
    def __init__(self, manager, arguments):
        super().__init__(manager, arguments, ir.IntType(64))


@infer_getattr
class _Names(AttributeTemplate):
    key = Arguments

    def generic_resolve(self, arguments, name):
        return arguments.kind(name) if name in arguments.places else None


@lower_getattr_generic(Arguments)
def _load(context, builder, arguments, address, name):
    _use_whole_registers(builder.function)  # here, because every kernel reads its arguments
    words = builder.inttoptr(address, context.get_value_type(arguments.kind(name)).as_pointer())
    return builder.load(builder.gep(words, [ir.IntType(64)(arguments.places[name])]))


def _use_whole_registers(function):
    """Makes LLVM vectorise a function's loops with the widest registers there are.

    It takes half of them for AVX-512 by itself, because the first processors that had it slowed down for a while; the
    matrix products beside these loops use all anyway.
    """
    # llvmlite's own `add` refuses attributes that are strings
    set.add(function.attributes, f'"prefer-vector-width"="{8 * VECTOR_BYTES}"')
