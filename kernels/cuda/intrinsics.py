"""What Numba has no name for: 128-bit loads and stores, and arithmetic that is never contracted.

For a simulator each function here has a twin of the same name in plain Python (tests/cuda/simulator.py).
"""

from llvmlite import ir
from numba import cuda
from numba.cuda import cgutils, libdevice, types
from numba.cuda.extending import intrinsic

device = cuda.jit(device=True)
_BYTES = 16


def _pointer(context, builder, array_type, array, indices):
    """The address of an element, with unsigned indices and no wrap-around."""
    struct = context.make_array(array_type)(context, builder, array)
    wide = [builder.zext(i, ir.IntType(64)) if i.type.width < 64 else i for i in indices]
    return cgutils.get_item_pointer2(
        context,
        builder,
        data=struct.data,
        shape=cgutils.unpack_tuple(builder, struct.shape, array_type.ndim),
        strides=cgutils.unpack_tuple(builder, struct.strides, array_type.ndim),
        layout=array_type.layout,
        inds=wide,
        wraparound=False,
    )


def _lane(number):
    return ir.Constant(ir.IntType(32), number)


@intrinsic
def load4(typingctx, array, i, j):
    """array[i, j : j + 4] as a tuple; the first element lies on 16 bytes, i and j are unsigned."""
    signature = types.UniTuple(array.dtype, 4)(array, i, j)

    def codegen(context, builder, signature, arguments):
        array_type = signature.args[0]
        pointer = _pointer(context, builder, array_type, arguments[0], arguments[1:])
        vector = ir.VectorType(context.get_data_type(array_type.dtype), 4)
        value = builder.load(builder.bitcast(pointer, vector.as_pointer(pointer.type.addrspace)), align=_BYTES)
        elements = [builder.extract_element(value, _lane(k)) for k in range(4)]
        return context.make_tuple(builder, signature.return_type, elements)

    return signature, codegen


@intrinsic
def store4(typingctx, array, i, j, a, b, c, d):
    """array[i, j : j + 4] = a, b, c, d; the first element lies on 16 bytes, i and j are unsigned."""
    dtype = array.dtype
    signature = types.void(array, i, j, dtype, dtype, dtype, dtype)

    def codegen(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1:3])
        vector = ir.VectorType(arguments[3].type, 4)
        value = ir.Constant(vector, ir.Undefined)
        for k in range(4):
            value = builder.insert_element(value, arguments[3 + k], _lane(k))
        builder.store(value, builder.bitcast(pointer, vector.as_pointer(pointer.type.addrspace)), align=_BYTES)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def bf16(typingctx, value):
    """A float32 rounded to bfloat16: to nearest, ties to even; NaN stays NaN, what is subnormal becomes zero."""

    def codegen(context, builder, signature, arguments):
        word = ir.IntType(32)
        bits = builder.bitcast(arguments[0], word)
        size, odd = builder.and_(bits, word(0x7FFFFFFF)), builder.and_(builder.lshr(bits, word(16)), word(1))
        nearest = builder.add(bits, builder.add(odd, word(0x7FFF)))
        is_subnormal = builder.icmp_unsigned("<", size, word(0x800000))
        nearest = builder.select(is_subnormal, builder.and_(bits, word(0x80000000)), nearest)
        is_nan = builder.icmp_unsigned(">", size, word(0x7F800000))
        nearest = builder.select(is_nan, builder.or_(bits, word(0x400000)), nearest)
        return builder.bitcast(builder.and_(nearest, word(0xFFFF0000)), ir.FloatType())

    return types.float32(types.float32), codegen


# One operation, rounded, whatever it is added to.
multiply32, add32, sqrt32 = libdevice.fmul_rn, libdevice.fadd_rn, libdevice.fsqrt_rn
multiply64, add64 = libdevice.dmul_rn, libdevice.dadd_rn
