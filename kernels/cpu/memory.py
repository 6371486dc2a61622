"""Arguments and arrays inside kernels: words at an address, and arrays made of an address and a shape."""

from llvmlite import ir
from numba import carray, float32, float64, int64, types, uint8, uint32
from numba.extending import intrinsic

from .jit import inline
from .target import VECTOR_BYTES


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


# word(arguments, i) and number(arguments, i): the i-th argument of a kernel as an integer or as a float64.
word = _loader(int64, ir.IntType(64))
number = _loader(float64, ir.DoubleType())


def _vector_maker(element):
    @intrinsic
    def pointer_to(typingctx, address):
        def codegen(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(element)(types.intp), codegen

    @inline
    def vector(address, size):
        return carray(pointer_to(address), (size,))

    return vector


float32_vector = _vector_maker(float32)
float64_vector = _vector_maker(float64)
int64_vector = _vector_maker(int64)
uint32_vector = _vector_maker(uint32)
byte_vector = _vector_maker(uint8)

# By the name of the dtype: what holds a model's numbers.
REAL_VECTORS = {"float32": float32_vector, "float64": float64_vector}


@inline
def share(total, part, parts):
    """The range [first, last) of `total` items that belongs to one part."""
    return total * part // parts, total * (part + 1) // parts
