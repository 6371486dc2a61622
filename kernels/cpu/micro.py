"""The matrix micro-kernel: one tile of C = floor(init + A @ B), in explicit vector code.

There are two of it, which differ in the depths that they go through: all, or those of a list, for an A of which most
elements are zero.

LLVM does not find this loop by itself (it stays at a fifth of the machine's speed), so an `@intrinsic` writes it:
rows * vectors accumulators that live in registers, and for each step of the depth one row of B, loaded once, times one
element of each row of A, broadcast. A and B are read in place through their strides. LLVM lowers the vectors to
whatever the machine has (AVX-512, AVX2, NEON), so tile sizes are a matter of speed, not of correctness.

Sources: Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (ACM TOMS 34, 2008); Van Zee and van
de Geijn, "BLIS: a framework for rapidly instantiating BLAS functionality" (ACM TOMS 41, 2015).
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .target import TILE_ROWS, TILE_VECTORS, VECTOR_BYTES

I1, I8, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 32, 64))
LANE_TYPES = {4: ir.FloatType(), 8: ir.DoubleType()}


class _Variant:
    """Writes the LLVM function for tiles of `rows` rows and `vectors` vectors, the last of which has `edge` lanes.

    If listed, `ahead` is the address of a list of bytes: the depths to go through, of which there may be none.
    """

    def __init__(self, itemsize, rows, vectors, listed=False):
        self.rows, self.vectors, self.itemsize, self.listed = rows, vectors, itemsize, listed
        self.lanes = VECTOR_BYTES // itemsize
        self.lane = LANE_TYPES[itemsize]
        self.vector = ir.VectorType(self.lane, self.lanes)
        self.mask_type = ir.VectorType(I1, self.lanes)
        self.suffix = f"v{self.lanes}f{8 * itemsize}"
        self.name = f"minivae_tile_f{8 * itemsize}_{rows}x{vectors}{'_listed' if listed else ''}"

    def function(self, module):
        existing = module.globals.get(self.name)
        if existing is not None:
            return existing
        pointer = I8.as_pointer()
        # a, a_row, a_col, b, b_row, ahead, ahead_row, init, init_row, c, c_row, depth, floor, edge; strides in bytes
        matrix = [pointer, I64]
        kind = ir.FunctionType(ir.VoidType(), [*matrix, I64, *matrix * 4, I64, self.lane, I64])
        function = ir.Function(module, kind, self.name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        self.module = module
        self._write(function)
        return function

    def _declare(self, name, result, arguments):
        return self.module.globals.get(name) or ir.Function(self.module, ir.FunctionType(result, arguments), name)

    def _splat(self, builder, scalar):
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = builder.insert_element(undefined, scalar, I32(0))
        return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes))

    def _vector_pointer(self, builder, row, v):
        address = builder.gep(row, [I64(v * VECTOR_BYTES)])
        return builder.bitcast(address, self.vector.as_pointer())

    def _load(self, builder, row, v):
        return builder.load(self._vector_pointer(builder, row, v), align=self.itemsize)

    def _load_masked(self, builder, row, v):
        if v < self.vectors - 1:
            return self._load(builder, row, v)
        arguments = [self.vector.as_pointer(), I32, self.mask_type, self.vector]
        load = self._declare(f"llvm.masked.load.{self.suffix}.p0", self.vector, arguments)
        zeros = ir.Constant(self.vector, [0.0] * self.lanes)
        return builder.call(load, [self._vector_pointer(builder, row, v), I32(self.itemsize), self.mask, zeros])

    def _store_masked(self, builder, value, row, v):
        pointer = self._vector_pointer(builder, row, v)
        if v < self.vectors - 1:
            builder.store(value, pointer, align=self.itemsize)
            return
        arguments = [self.vector, self.vector.as_pointer(), I32, self.mask_type]
        store = self._declare(f"llvm.masked.store.{self.suffix}.p0", ir.VoidType(), arguments)
        builder.call(store, [value, pointer, I32(self.itemsize), self.mask])

    def _prefetch(self, builder, pointer, *, write):
        prefetch = self._declare("llvm.prefetch.p0", ir.VoidType(), [I8.as_pointer(), I32, I32, I32])
        to_second_level, data = I32(2), I32(1)
        builder.call(prefetch, [pointer, I32(int(write)), I32(3) if write else to_second_level, data])

    def _edge_mask(self, builder, edge):
        index = ir.VectorType(I64, self.lanes)
        undefined = ir.Constant(index, ir.Undefined)
        first = builder.insert_element(undefined, edge, I32(0))
        edges = builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, self.lanes), [0] * self.lanes))
        return builder.icmp_signed("<", ir.Constant(index, list(range(self.lanes))), edges)

    def _write(self, function):
        a, a_row, a_col, b, b_row, ahead, ahead_row, init, init_row, c, c_row, depth, floor, edge = function.args
        entry, loop, done = (function.append_basic_block(name) for name in ("entry", "loop", "done"))
        tile, finished = [(i, v) for i in range(self.rows) for v in range(self.vectors)], []

        builder = ir.IRBuilder(entry)
        self.mask = self._edge_mask(builder, edge)
        a_rows = [builder.gep(a, [builder.mul(a_row, I64(i))]) for i in range(self.rows)]
        init_rows = [builder.gep(init, [builder.mul(init_row, I64(i))]) for i in range(self.rows)]
        start = [self._load_masked(builder, init_rows[i], v) for i, v in tile]
        floors = self._splat(builder, floor)
        # the lines that will be written are fetched while the products are computed
        for i, v in tile:
            if v == 0:
                c_i = builder.gep(c, [builder.mul(c_row, I64(i))])
            self._prefetch(builder, builder.gep(c_i, [I64(v * VECTOR_BYTES)]), write=True)
        builder.cbranch(builder.icmp_signed(">", depth, I64(0)), loop, done)

        builder.position_at_end(loop)
        k = builder.phi(I64)
        sums = [builder.phi(self.vector) for _ in tile]
        phis, initial = [k, *sums], [I64(0), *start]
        if self.listed:
            at = builder.zext(builder.load(builder.gep(ahead, [k])), I64)
            a_offset, b_k = builder.mul(at, a_col), builder.gep(b, [builder.mul(at, b_row)])
        else:
            a_offset, b_k, ahead_k = builder.phi(I64), builder.phi(I8.as_pointer()), builder.phi(I8.as_pointer())
            self._prefetch(builder, ahead_k, write=False)
        advanced = [builder.add(k, I64(1))]
        multiply_add = self._declare(f"llvm.fmuladd.{self.suffix}", self.vector, [self.vector] * 3)
        b_vectors = [self._load(builder, b_k, v) for v in range(self.vectors - self.listed)]
        if self.listed:  # which is not copied first, so what is behind the last column is not read
            b_vectors.append(self._load_masked(builder, b_k, self.vectors - 1))
        for i in range(self.rows):
            element = builder.bitcast(builder.gep(a_rows[i], [a_offset]), self.lane.as_pointer())
            broadcast = self._splat(builder, builder.load(element, align=self.itemsize))
            for v in range(self.vectors):
                advanced.append(builder.call(multiply_add, [broadcast, b_vectors[v], sums[i * self.vectors + v]]))
        if not self.listed:
            phis, initial = [*phis, a_offset, b_k, ahead_k], [*initial, I64(0), b, ahead]
            advanced += [builder.add(a_offset, a_col), builder.gep(b_k, [b_row]), builder.gep(ahead_k, [ahead_row])]
        for phi, first, following in zip(phis, initial, advanced, strict=True):
            phi.add_incoming(first, entry)
            phi.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", advanced[0], depth), loop, done)

        builder.position_at_end(done)
        for at in range(len(tile)):
            value = builder.phi(self.vector)
            value.add_incoming(start[at], entry)
            value.add_incoming(advanced[1 + at], loop)
            finished.append(value)
        for (i, v), value in zip(tile, finished, strict=True):
            if v == 0:
                c_i = builder.gep(c, [builder.mul(c_row, I64(i))])
            # a comparison that is false for NaN, so that NaN is stored as it is
            clamped = builder.select(builder.fcmp_ordered(">", floors, value), floors, value)
            self._store_masked(builder, clamped, c_i, v)
        builder.ret_void()


def make_tile(itemsize, most_rows=TILE_ROWS, most_vectors=TILE_VECTORS, listed=False):
    """The intrinsic `tile(rows, vectors, edge, a, b, ahead, init, c, depth, floor)`.

    c[i, j] = max(floor, init[i, j] + sum_k a[i, k] * b[k, j]) for i < rows and the columns of `vectors` vectors, of
    which the last has only `edge` lanes in init and c (b is read in whole vectors). A matrix is a tuple (address, bytes
    from row to row, bytes from column to column, which counts for a only); rows is 1 .. most_rows, vectors 1 ..
    most_vectors. Where init has 0 from row to row, every row starts from the same vector (a bias, or zeros); init may
    be c itself. The cache line in row k of `ahead` is fetched at step k.

    If listed, k goes through the `depth` bytes at `ahead` instead, and b is read up to its last column only.
    """
    real = types.float32 if itemsize == 4 else types.float64

    @intrinsic
    def tile(typingctx, rows, vectors, edge, a, b, ahead, init, c, depth, floor):
        intp = types.intp
        signature = types.void(intp, intp, intp, a, b, ahead, init, c, intp, real)

        def codegen(context, builder, signature, arguments):
            rows, vectors, edge, *matrices, depth, floor = arguments
            passed = []
            for matrix, numbers in zip(matrices, (3, 2, 2, 2, 2), strict=True):
                address, *strides = (builder.extract_value(matrix, i) for i in range(numbers))
                passed += [builder.inttoptr(address, I8.as_pointer()), *strides]
            passed += [depth, floor, edge]
            done = builder.append_basic_block("tile.done")
            unreachable = builder.append_basic_block("tile.unreachable")
            switch = builder.switch(builder.add(builder.mul(vectors, I64(most_rows)), rows), unreachable)
            for v in range(1, most_vectors + 1):
                for n in range(1, most_rows + 1):
                    block = builder.append_basic_block("tile.variant")
                    switch.add_case(I64(v * most_rows + n), block)
                    with builder.goto_block(block):
                        builder.call(_Variant(itemsize, n, v, listed).function(builder.module), passed)
                        builder.branch(done)
            with builder.goto_block(unreachable):
                builder.unreachable()
            builder.position_at_end(done)
            return context.get_dummy_value()

        return signature, codegen

    return tile


def make_move(itemsize, lanes, count):
    """The intrinsic `move(source, target)`: `count` vectors of `lanes` lanes, all loaded before the first is stored."""
    vector = ir.VectorType(LANE_TYPES[itemsize], lanes)

    @intrinsic
    def move(typingctx, source, target):
        def codegen(context, builder, signature, arguments):
            source, target = (builder.inttoptr(address, vector.as_pointer()) for address in arguments)
            values = [builder.load(builder.gep(source, [I64(v)]), align=itemsize) for v in range(count)]
            for v, value in enumerate(values):
                builder.store(value, builder.gep(target, [I64(v)]), align=itemsize)
            return context.get_dummy_value()

        return types.void(types.intp, types.intp), codegen

    return move


def make_nonzero(itemsize):
    """The intrinsic `nonzero(address)`: a bit for each lane of the vector there, 1 where it is not zero or NaN."""
    lanes = VECTOR_BYTES // itemsize
    vector = ir.VectorType(LANE_TYPES[itemsize], lanes)

    @intrinsic
    def nonzero(typingctx, address):
        def codegen(context, builder, signature, arguments):
            values = builder.load(builder.inttoptr(arguments[0], vector.as_pointer()), align=itemsize)
            is_set = builder.fcmp_unordered("!=", values, ir.Constant(vector, [0.0] * lanes))
            return builder.zext(builder.bitcast(is_set, ir.IntType(lanes)), I64)

        return types.int64(types.intp), codegen

    return nonzero


@intrinsic
def count_bits(typingctx, bits):
    """How many bits of an int64 are set."""

    def codegen(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.int64(types.int64), codegen


@intrinsic
def trailing_zeros(typingctx, bits):
    """The place of the lowest bit of an int64 that is set."""

    def codegen(context, builder, signature, arguments):
        return builder.cttz(arguments[0], I1(1))

    return types.int64(types.int64), codegen


@intrinsic
def compress(typingctx, bits, first, target):
    """Writes first + the places of the bits that are set, as bytes, and whatever behind them up to 64 in all.

    One instruction of AVX-512's extension VBMI2, for processors that have it.
    """

    def codegen(context, builder, signature, arguments):
        bits, first, target = arguments
        vector = ir.VectorType(I8, 64)
        arguments = [vector, vector, ir.VectorType(I1, 64)]
        name = "llvm.x86.avx512.mask.compress.v64i8"
        function = builder.module.globals.get(name)
        function = function or ir.Function(builder.module, ir.FunctionType(vector, arguments), name)
        undefined = ir.Constant(vector, ir.Undefined)
        start = builder.insert_element(undefined, builder.trunc(first, I8), I32(0))
        start = builder.shuffle_vector(start, undefined, ir.Constant(ir.VectorType(I32, 64), [0] * 64))
        places = builder.add(start, ir.Constant(vector, list(range(64))))
        listed = builder.call(function, [places, undefined, builder.bitcast(bits, arguments[2])])
        builder.store(listed, builder.inttoptr(target, vector.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.intp), codegen


def make_transpose(itemsize):
    """The intrinsic `transpose(source, source_row, target, target_row)`: a square block with vectors for rows.

    target[j, i] = source[i, j]; addresses and strides are in bytes. The rows go through log2(lanes) rounds of
    interleaving each with the one half the block further down.
    """
    lanes = VECTOR_BYTES // itemsize
    vector = ir.VectorType(LANE_TYPES[itemsize], lanes)
    halves = [ir.Constant(ir.VectorType(I32, lanes), _interleave(lanes, first)) for first in (0, lanes // 2)]

    @intrinsic
    def transpose(typingctx, source, source_row, target, target_row):
        def codegen(context, builder, signature, arguments):
            source, source_row, target, target_row = arguments

            def row(base, stride, i):
                address = builder.add(base, builder.mul(stride, I64(i)))
                return builder.inttoptr(address, vector.as_pointer())

            rows = [builder.load(row(source, source_row, i), align=itemsize) for i in range(lanes)]
            for _ in range(lanes.bit_length() - 1):
                pairs = zip(rows[: lanes // 2], rows[lanes // 2 :], strict=True)
                rows = [builder.shuffle_vector(upper, lower, half) for upper, lower in pairs for half in halves]
            for i, value in enumerate(rows):
                builder.store(value, row(target, target_row, i), align=itemsize)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 4), codegen

    return transpose


def _interleave(lanes, first):
    """Shuffle indices that take lanes in turn from two vectors, beginning at lane `first` of each."""
    return [first + i // 2 + (lanes if i % 2 else 0) for i in range(lanes)]
