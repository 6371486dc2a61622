"""The micro-kernel of products with bf16 operands: a block of 32 x 32 sums.

All processors make the same numbers, those of the instruction TDPBF16PS of Intel's AMX (Intel 64 and IA-32
Architectures Software Developer's Manual, volume 2): of each 32 products in the depth, the even ones are added up by a
chain of fused multiply-adds from zero, and so are the odd ones; the two sums are added, and then that to the sum so
far. Subnormal operands and results count as zero. Which way they are made is told by KINDS.

A (32, depth) is stored as rows of bf16. B (depth, 32) is stored as two blocks of 16 columns, in which each 32-bit word
holds two neighbours of the depth, the even one in its lower half; a row of words is 64 bytes.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .micro import I8, I32, I64
from .target import VECTOR_BYTES

# "amx": the instruction itself. "avx512bf16": VDPBF16PS, which chains the two products of a word, so words are made of
# two neighbours among the even ones, and of two among the odd ones. "fma": multiply-adds of float32.
KINDS = ("amx", "avx512bf16", "fma")
BLOCK, DEPTH, COLUMNS = 32, 32, 16
ROW_BYTES = 64
ROWS, VECTORS = 4, 2  # of the sums that stay in registers, where these are vectors
FLUSH = 0x8040  # of MXCSR: subnormal results and operands are zero
_FLOAT, _POINTER = ir.FloatType(), I8.as_pointer()


class _Bfloat(ir.types._BaseFloatType):
    """LLVM's bfloat, which llvmlite does not know."""

    null, intrinsic_name = "0.0", "bf16"

    def __str__(self):
        return "bfloat"

    _to_string = __str__


_Bfloat._create_instance()


def _declare(builder, name, arguments, result=None):
    module = builder.module
    return module.globals.get(name) or ir.Function(module, ir.FunctionType(result or ir.VoidType(), arguments), name)


@intrinsic
def configure_tiles(typingctx, address):
    """Sets up the tile registers of this thread as the 64 bytes at an address say: see `TILES`."""

    def codegen(context, builder, signature, arguments):
        call = _declare(builder, "llvm.x86.ldtilecfg", [_POINTER])
        builder.call(call, [builder.inttoptr(arguments[0], _POINTER)])
        return context.get_dummy_value()

    return types.void(types.intp), codegen


@intrinsic
def release_tiles(typingctx):
    def codegen(context, builder, signature, arguments):
        builder.call(_declare(builder, "llvm.x86.tilerelease", []), [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def multiply_tiles(typingctx, a, a_row, b, b_step, c, steps):
    """c (32, 32) = A @ B over so many steps of DEPTH; a row of c is 128 bytes, b_step leads to B's other block."""

    def codegen(context, builder, signature, arguments):
        a, a_row, b, b_step, c, steps = arguments
        tile = [I8, _POINTER, I64]
        load, store = (_declare(builder, f"llvm.x86.tile{name}64", tile) for name in ("loadd", "stored"))
        dot = _declare(builder, "llvm.x86.tdpbf16ps", [I8] * 3)

        def at(address):
            return builder.inttoptr(address, _POINTER)

        for sums in range(4):
            builder.call(_declare(builder, "llvm.x86.tilezero", [I8]), [I8(sums)])
        entry, loop, done = builder.block, builder.append_basic_block("loop"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        step, a_step = builder.phi(I64), builder.phi(I64)
        b_first = builder.add(b, builder.mul(step, I64(DEPTH // 2 * ROW_BYTES)))
        for half in range(2):
            rows = builder.add(a_step, builder.mul(a_row, I64(half * BLOCK // 2)))
            columns = builder.add(b_first, builder.mul(b_step, I64(half)))
            builder.call(load, [I8(4 + half), at(rows), a_row])
            builder.call(load, [I8(6 + half), at(columns), I64(ROW_BYTES)])
        for sums in range(4):
            builder.call(dot, [I8(sums), I8(4 + sums // 2), I8(6 + sums % 2)])
        following = builder.add(step, I64(1))
        for phi, first, later in ((step, I64(0), following), (a_step, a, builder.add(a_step, I64(2 * DEPTH)))):
            phi.add_incoming(first, entry)
            phi.add_incoming(later, loop)
        builder.cbranch(builder.icmp_signed("<", following, steps), loop, done)
        builder.position_at_end(done)
        for sums in range(4):
            place = (sums // 2) * BLOCK // 2 * 4 * BLOCK + (sums % 2) * ROW_BYTES
            builder.call(store, [I8(sums), at(builder.add(c, I64(place))), I64(4 * BLOCK)])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6), codegen


def make_dots(kind):
    """The intrinsic `dots(a, a_row, b, b_step, c, steps)`: ROWS rows and VECTORS vectors of the block, by vectors."""
    lanes = VECTOR_BYTES // 4
    words, reals = ir.VectorType(I32, lanes), ir.VectorType(_FLOAT, lanes)
    tile = [(r, v) for r in range(ROWS) for v in range(VECTORS)]
    upper = 0xFFFF0000

    def splat(builder, value):
        vector = ir.VectorType(value.type, lanes)
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, I32(0))
        return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), ir.Constant(words, [0] * lanes))

    def masked(builder, value, mask):
        return builder.and_(value, _constant(value, mask))

    def shifted(shift, value):
        return shift(value, _constant(value, 16))

    def operands(builder, first, second):
        """What two words of the depth give the even and the odd chain, each as a list of factors in order."""
        if kind == "fma":
            even = [shifted(builder.shl, word) for word in (first, second)]
            return even, [masked(builder, word, upper) for word in (first, second)]
        even = builder.or_(shifted(builder.shl, first), masked(builder, second, 0xFFFF))
        odd = builder.or_(masked(builder, first, upper), shifted(builder.lshr, second))
        return [even], [odd]

    def add_products(builder, sums, a, b):
        for factor, other in zip(a, b, strict=True):
            if kind == "fma":
                name, arguments = f"llvm.fma.v{lanes}f32", [reals] * 3
                given = [builder.bitcast(factor, reals), builder.bitcast(other, reals), sums]
            else:
                halves = ir.VectorType(_Bfloat(), 2 * lanes)
                name, arguments = f"llvm.x86.avx512bf16.dpbf16ps.{32 * lanes}", [reals, halves, halves]
                given = [sums, builder.bitcast(factor, halves), builder.bitcast(other, halves)]
            sums = builder.call(_declare(builder, name, arguments, reals), given)
        return sums

    @intrinsic
    def dots(typingctx, a, a_row, b, b_step, c, steps):
        def codegen(context, builder, signature, arguments):
            a, a_row, b, b_step, c, steps = arguments
            zeros = ir.Constant(reals, [0.0] * lanes)

            def load(address, type_):
                return builder.load(builder.inttoptr(address, type_.as_pointer()), align=4)

            def place(v, block, row):
                """Where vector v begins, in blocks of columns so many bytes apart."""
                return builder.add(builder.mul(block, I64(v * lanes // COLUMNS)), I64(v * lanes % COLUMNS * 4 + row))

            entry, blocks = builder.block, [builder.append_basic_block(f"dots.{part}") for part in range(4)]
            step, pairs, after, done = blocks
            builder.branch(step)
            builder.position_at_end(step)
            s, a_step, b_step_ = (builder.phi(I64) for _ in range(3))
            totals = [builder.phi(reals) for _ in tile]
            builder.branch(pairs)

            builder.position_at_end(pairs)
            q, a_q, b_q = (builder.phi(I64) for _ in range(3))
            chains = [builder.phi(reals) for _ in range(2 * len(tile))]
            right = [
                operands(builder, *(load(builder.add(b_q, place(v, b_step, row)), words) for row in (0, ROW_BYTES)))
                for v in range(VECTORS)
            ]
            longer = []
            for r in range(ROWS):
                row = builder.add(a_q, builder.mul(a_row, I64(r)))
                left = operands(builder, *(load(builder.add(row, I64(at)), I32) for at in (0, 4)))
                left = [[splat(builder, word) for word in chain] for chain in left]
                for v in range(VECTORS):
                    for odd in range(2):
                        chain = chains[len(longer)]
                        longer.append(add_products(builder, chain, left[odd], right[v][odd]))
            q_next = builder.add(q, I64(1))
            moved = builder.add(a_q, I64(8)), builder.add(b_q, I64(2 * ROW_BYTES))
            starts = [I64(0), a_step, b_step_, *[zeros] * len(chains)]
            for phi, first, later in zip([q, a_q, b_q, *chains], starts, [q_next, *moved, *longer], strict=True):
                phi.add_incoming(first, step)
                phi.add_incoming(later, pairs)
            builder.cbranch(builder.icmp_signed("<", q_next, I64(DEPTH // 4)), pairs, after)

            builder.position_at_end(after)
            sums = [
                builder.fadd(total, builder.fadd(longer[2 * i], longer[2 * i + 1])) for i, total in enumerate(totals)
            ]
            s_next = builder.add(s, I64(1))
            starts = [I64(0), a, b, *[zeros] * len(tile)]
            for phi, first, later in zip(
                [s, a_step, b_step_, *totals], starts, [s_next, moved[0], moved[1], *sums], strict=True
            ):
                phi.add_incoming(first, entry)
                phi.add_incoming(later, after)
            builder.cbranch(builder.icmp_signed("<", s_next, steps), step, done)

            builder.position_at_end(done)
            for (r, v), value in zip(tile, sums, strict=True):
                address = builder.add(c, I64(r * 4 * BLOCK + v * 4 * lanes))
                builder.store(value, builder.inttoptr(address, reals.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 6), codegen

    return dots


def _constant(like, value):
    """A number of the type of an integer, or of the lanes of a vector."""
    return ir.Constant(like.type, [value] * like.type.count if isinstance(like.type, ir.VectorType) else value)


def _rounded(builder, bits):
    """bfloat16, in the lower halves, of float32 bits: to nearest even; NaN stays NaN, subnormal numbers are zero."""

    def constant(value):
        return _constant(bits, value)

    upper = builder.lshr(bits, constant(16))
    nearest = builder.add(builder.add(bits, constant(0x7FFF)), builder.and_(upper, constant(1)))
    size = builder.and_(bits, constant(0x7FFFFFFF))
    is_subnormal = builder.icmp_unsigned("<", size, constant(0x800000))
    result = builder.select(is_subnormal, builder.and_(upper, constant(0x8000)), builder.lshr(nearest, constant(16)))
    is_nan = builder.icmp_unsigned(">", size, constant(0x7F800000))
    return builder.select(is_nan, builder.or_(upper, constant(0x40)), result)


def _words(builder, address):
    vector = ir.VectorType(I32, COLUMNS)
    return _rounded(builder, builder.load(builder.inttoptr(address, vector.as_pointer()), align=4))


@intrinsic
def rounded(typingctx, bits):
    """bfloat16's bits of those of one float32."""

    def codegen(context, builder, signature, arguments):
        return builder.zext(_rounded(builder, arguments[0]), I64)

    return types.int64(types.uint32), codegen


@intrinsic
def round_vector(typingctx, source, target):
    """Sixteen halves at target: what is at source, rounded."""

    def codegen(context, builder, signature, arguments):
        halves = builder.trunc(_words(builder, arguments[0]), ir.VectorType(ir.IntType(16), COLUMNS))
        builder.store(halves, builder.inttoptr(arguments[1], halves.type.as_pointer()), align=2)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen


@intrinsic
def round_pairs(typingctx, lower, upper, target):
    """Sixteen words at target, from two rows, rounded."""

    def codegen(context, builder, signature, arguments):
        lower, upper = (_words(builder, address) for address in arguments[:2])
        words = builder.or_(lower, builder.shl(upper, ir.Constant(upper.type, [16] * COLUMNS)))
        builder.store(words, builder.inttoptr(arguments[2], words.type.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 3), codegen


@intrinsic
def control_word(typingctx, address):
    """MXCSR, which says how subnormal numbers are treated; four bytes at the address are written."""

    def codegen(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], _POINTER)
        builder.call(_declare(builder, "llvm.x86.sse.stmxcsr", [_POINTER]), [pointer])
        return builder.zext(builder.load(builder.bitcast(pointer, I32.as_pointer())), I64)

    return types.int64(types.intp), codegen


@intrinsic
def set_control_word(typingctx, address, word):
    def codegen(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], _POINTER)
        builder.store(builder.trunc(arguments[1], I32), builder.bitcast(pointer, I32.as_pointer()))
        builder.call(_declare(builder, "llvm.x86.sse.ldmxcsr", [_POINTER]), [pointer])
        return context.get_dummy_value()

    return types.void(types.intp, types.int64), codegen
