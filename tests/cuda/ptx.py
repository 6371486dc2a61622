"""Compiled kernels run on the CPU: PTX is translated to C, one statement for each instruction, and built by gcc.

What Python-level simulation cannot see is seen here: the types the compiler chose, 64-bit index arithmetic, vector
accesses, contraction. Accesses outside the arguments' arrays, misaligned ones, divergent barriers and reads of shared
memory that nobody wrote (NaN) are errors. An instruction without a translation raises NotImplementedError.
Source: NVIDIA, "Parallel Thread Execution ISA".
"""

import re
from pathlib import Path

RUNTIME = Path(__file__).with_name("ptx_runtime.c").read_text()
C_TYPES = {
    **{f"{kind}{bits}": f"uint{bits}_t" for kind in "ub" for bits in (8, 16, 32, 64)},
    **{f"s{bits}": f"int{bits}_t" for bits in (8, 16, 32, 64)},
    **{"f32": "float", "f64": "double", "pred": "uint8_t"},
}
REGISTERS = {
    "rd": "b64",
    "rs": "b16",
    "r": "b32",
    "fd": "f64",
    "f": "f32",
    "p": "pred",
    "SP": "b64",
    "SPL": "b64",
    "temp": "b32",
}
COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<", "hs": ">="}
NEGATED = {"equ": "!=", "neu": "==", "ltu": ">=", "leu": ">", "gtu": "<=", "geu": "<"}
BINARY = {"add": "+", "sub": "-", "mul": "*", "div": "/", "rem": "%", "and": "&", "or": "|", "xor": "^"}
WIDE = {"u32": "u64", "s32": "s64"}
SPECIAL = {"tid": "thread_index", "ntid": "block_size", "ctaid": "block_index", "nctaid": "grid_size"}


def register_type(name):
    return REGISTERS[re.match(r"%([A-Za-z]+)", name)[1]]


def is_float(kind):
    return kind in ("f32", "f64")


class Translation:
    """The C text of one kernel's PTX."""

    def __init__(self, ptx):
        entry = re.search(r"\.entry\s+([\w$]+)\s*\((.*?)\)(.*?)\n\{(.*)\n\}", ptx, re.S)
        head, body = entry[2], re.sub(r"//.*", "", entry[4])
        self.parameters = re.findall(r"\.param\s+(?:\.align \d+ )?\.(\w+)\s+([\w$]+)", head)
        self.names = [name for _, name in self.parameters]
        self.shared, self.shared_bytes = self._layout(re.findall(r"\.shared \.align (\d+) \.b8 ([\w$]+)\[(\d+)\]", ptx))
        self.local, local_bytes = self._layout(re.findall(r"\.local \.align (\d+) \.b8\s+([\w$]+)\[(\d+)\]", body))
        lines = [
            f"static void kernel_body(void) {{\nuint8_t local_memory[{local_bytes + 16}] __attribute__((aligned(16)));"
        ]
        for kind, prefix, count in re.findall(r"\.reg \.(\w+)\s+%(\w+)<(\d+)>", body):
            lines.append(f"{C_TYPES[kind]} {', '.join(f'{prefix}{i} = 0' for i in range(int(count)))};")
        for kind, name in sorted(set(re.findall(r"\.reg \.(\w+)\s+%(\w+);", body))):
            lines.append(f"{C_TYPES[kind]} {name} = 0;")
        body = re.sub(r"^\s*\.(reg|local|loc|pragma|file|section)\b.*$", "", body, flags=re.M)
        for label, text in re.findall(r"(\$[\w$]+):|([^;:]+);", body):
            statement = " ".join(text.split()).lstrip("{} ")
            if label:
                lines.append(f"{label.replace('$', 'L')}:;")
            elif statement:
                lines.append(self._guarded(statement))
        self.c = f"enum {{ SHARED_BYTES = {self.shared_bytes} }};\n{RUNTIME}\n" + "\n".join(lines) + "\n}\n"

    @staticmethod
    def _layout(variables):
        offsets, end = {}, 0
        for alignment, name, size in variables:
            offsets[name] = end = -(-end // int(alignment)) * int(alignment)
            end += int(size)
        return offsets, end

    def _guarded(self, statement):
        guard = re.match(r"@(!?)%(p\d+) (.*)", statement)
        if guard:
            return f"if ({guard[1]}{guard[2]}) {{ {self._instruction(guard[3])} }}"
        return self._instruction(statement)

    def _read(self, operand, kind=None):
        """A C expression of the operand's value, as `kind`."""
        operand = operand.strip()
        special = re.match(r"%(tid|ntid|ctaid|nctaid)\.([xyz])$", operand)
        if special:
            return f"{SPECIAL[special[1]]}[{'xyz'.index(special[2])}]"
        if operand.startswith("%"):
            stored, name = register_type(operand), operand[1:]
            if kind is None or kind == stored or kind == "pred":
                return name
            if is_float(kind):
                return f"{'float_of' if kind == 'f32' else 'double_of'}({name})"
            if is_float(stored):
                return f"(({C_TYPES[kind]}){'bits_of' if stored == 'f32' else 'bits64_of'}({name}))"
            return f"(({C_TYPES[kind]}){name})"
        if operand.startswith("!%"):
            return f"!{operand[2:]}"
        if operand.startswith("0f"):
            return self._literal(f"float_of(0x{operand[2:]}u)", "f32", kind)
        if operand.startswith("0d"):
            return self._literal(f"double_of(0x{operand[2:]}ull)", "f64", kind)
        if operand in self.shared:
            return f"((uint64_t)(uintptr_t)shared_memory + {self.shared[operand]})"
        if operand in self.local:
            return f"((uint64_t)(uintptr_t)local_memory + {self.local[operand]})"
        if re.match(r"-?\d+$", operand):
            return f"(({C_TYPES[kind or 's64']}){operand}ll)" if operand != str(-(2**63)) else "INT64_MIN"
        raise NotImplementedError(f"operand {operand}")

    @staticmethod
    def _literal(text, own, kind):
        if kind is None or kind == own:
            return text
        return f"{'bits_of' if own == 'f32' else 'bits64_of'}({text})"

    @staticmethod
    def _write(register, kind, expression):
        stored, name = register_type(register), register[1:]
        if is_float(stored) and not is_float(kind):
            expression = f"{'float_of' if stored == 'f32' else 'double_of'}({expression})"
        elif is_float(kind) and not is_float(stored):
            expression = f"{'bits_of' if kind == 'f32' else 'bits64_of'}({expression})"
        elif not is_float(kind) and kind != "pred":
            expression = f"({C_TYPES[kind]})({expression})"
        return f"{name} = {expression};"

    def _address(self, operand):
        base, offset = re.match(r"\[(%?[\w$]+)(?:\+(-?\d+))?\]", operand.strip()).groups()
        return f"({self._read(base, 'u64')} + (int64_t){offset or 0})"

    def _check(self, space, address, size):
        if space == "shared":
            return f"check_shared({address}, {size}, SHARED_BYTES);"
        return f"check_global({address}, {size});" if space == "global" else ""

    def _instruction(self, text):
        operation, _, rest = text.partition(" ")
        parts = operation.split(".")
        operands = [part.strip() for part in re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s][^,]*", rest)]
        translate = getattr(self, f"_op_{parts[0]}", None)
        if translate is None:
            translate = self._op_arithmetic if parts[0] in BINARY else None
        if translate is None:
            raise NotImplementedError(text)
        try:
            return translate(parts, operands)
        except (KeyError, IndexError, StopIteration) as error:
            raise NotImplementedError(text) from error

    # Control and synchronisation

    def _op_ret(self, parts, operands):
        return "return;"

    def _op_bra(self, parts, operands):
        return f"goto {operands[0].replace('$', 'L')};"

    def _op_bar(self, parts, operands):
        return "wait_as(AT_BARRIER);"

    def _op_membar(self, parts, operands):
        return ";"  # one core runs all threads: memory is always consistent

    _op_fence = _op_membar

    def _op_shfl(self, parts, operands):
        if "down" not in parts:
            raise KeyError("shfl")
        values = ", ".join(self._read(operand, "b32") for operand in operands[1:])
        return self._write(operands[0].split("|")[0], "b32", f"shuffle_down({values})")

    # Memory

    def _op_ld(self, parts, operands):
        space, kind = parts[1], parts[-1]
        if space == "param":
            index = self.names.index(re.match(r"\[([\w$]+)", operands[1])[1])
            value = f"parameters[{index}]"
            if is_float(kind):
                value = f"float_of({value})" if kind == "f32" else f"double_of({value})"
            return self._write(operands[0], kind, value)
        targets = [target.strip() for target in operands[0].strip("{}").split(",")]
        size, address = int(kind[1:]) // 8, self._address(operands[1])
        c_type = C_TYPES[kind]
        # all are read before any register changes: the address may be in one of them
        values = ", ".join(f"LOAD({c_type}, {address} + {k * size})" for k in range(len(targets)))
        writes = " ".join(self._write(target, kind, f"vector_[{k}]") for k, target in enumerate(targets))
        check = self._check(space, address, size * len(targets))
        return f"{check} {{ {c_type} vector_[] = {{ {values} }}; {writes} }}"

    def _op_st(self, parts, operands):
        space, kind = parts[1], parts[-1]
        values = [value.strip() for value in operands[1].strip("{}").split(",")]
        size, address = int(kind[1:]) // 8, self._address(operands[0])
        stores = [
            f"STORE({C_TYPES[kind]}, {address} + {k * size}, {self._read(value, kind)});"
            for k, value in enumerate(values)
        ]
        return f"{self._check(space, address, size * len(values))} {' '.join(stores)}"

    def _op_atom(self, parts, operands):
        if "add" not in parts:
            raise KeyError("atom")
        kind, address = parts[-1], self._address(operands[1])
        c_type = C_TYPES[kind]
        return (
            f"{{ {self._check('global', address, int(kind[1:]) // 8)} {c_type} old_ = LOAD({c_type}, {address}); "
            f"STORE({c_type}, {address}, old_ + {self._read(operands[2], kind)}); "
            f"{self._write(operands[0], kind, 'old_')} }}"
        )

    # Moves and conversions

    def _op_mov(self, parts, operands):
        kind = parts[-1]
        target, source = operands
        if target.startswith("{"):
            low, high = (name.strip() for name in target.strip("{}").split(","))
            value = self._read(source, "b64")
            low, high = (
                self._write(name, "b32", f"pair_ >> {shift}") if name != "_" else ""
                for name, shift in ((low, 0), (high, 32))
            )
            return f"{{ uint64_t pair_ = {value}; {low} {high} }}"
        if source.startswith("{"):
            low, high = (self._read(name, "b32") for name in source.strip("{}").split(","))
            return self._write(target, kind, f"(uint64_t){low} | (uint64_t){high} << 32")
        return self._write(target, kind, self._read(source, kind))

    def _op_cvta(self, parts, operands):
        return self._write(operands[0], parts[-1], self._read(operands[1], parts[-1]))

    def _op_cvt(self, parts, operands):
        target, source = parts[-2], parts[-1]
        value = self._read(operands[1], source)
        if "sat" in parts:
            value = f"saturated({value})"
        elif is_float(source) and not is_float(target):
            rounding = {"rni": "rint", "rzi": "trunc", "rmi": "floor", "rpi": "ceil"}
            value = f"{next(rounding[p] for p in parts if p in rounding)}({value})"
        elif any(p in ("rz", "rm", "rp", "rmi", "rpi") for p in parts):
            raise KeyError("rounding")
        elif "rzi" in parts or "rni" in parts:
            value = f"{'trunc' if 'rzi' in parts else 'rint'}({value})"
        return self._write(operands[0], target, f"({C_TYPES[target]}){value}")

    # Comparison and selection

    def _op_setp(self, parts, operands):
        comparison, kind = parts[1], parts[-1]
        if len(parts) > 3 and "ftz" not in parts:
            raise KeyError("combined setp")
        a, b = self._read(operands[1], kind), self._read(operands[2], kind)
        if comparison in COMPARISONS:
            value = f"{a} {COMPARISONS[comparison]} {b}"
            if comparison == "ne" and is_float(kind):
                value = f"({a} < {b} || {a} > {b})"  # false where either is NaN
        elif comparison in ("nan", "num"):
            value = f"{'!' if comparison == 'num' else ''}(isnan({a}) || isnan({b}))"
        else:
            value = f"!({a} {NEGATED[comparison]} {b})"
            if comparison == "equ":
                value = f"!({a} < {b} || {a} > {b})"
        return f"{operands[0][1:]} = {value};"

    def _op_selp(self, parts, operands):
        kind = parts[-1]
        a, b = self._read(operands[1], kind), self._read(operands[2], kind)
        return self._write(operands[0], kind, f"{self._read(operands[3])} ? {a} : {b}")

    # Arithmetic

    def _op_arithmetic(self, parts, operands):
        name, kind = parts[0], parts[-1]
        if kind == "pred":
            a, b = (self._read(operand, kind) for operand in operands[1:])
            return f"{operands[0][1:]} = {a} {BINARY[name]} {b};"
        a, b = self._read(operands[1], kind), self._read(operands[2], kind)
        if is_float(kind):
            if name == "rem" or any(p in parts for p in ("approx", "full", "ftz", "rm", "rp", "sat")):
                raise KeyError("rounding")
            if "rz" in parts:
                if name != "add" or kind != "f32":
                    raise KeyError("rz")
                return self._write(operands[0], kind, f"rounded_add(FE_TOWARDZERO, {a}, {b})")
        elif name == "mul" and "wide" in parts:
            wide = WIDE[kind]
            return self._write(operands[0], wide, f"({C_TYPES[wide]}){a} * ({C_TYPES[wide]}){b}")
        elif name == "mul" and "hi" in parts:
            double = {"u32": "uint64_t", "s32": "int64_t", "u64": "unsigned __int128", "s64": "__int128"}[kind]
            return self._write(operands[0], kind, f"({double}){a} * {b} >> {kind[1:]}")
        elif "cc" in parts:
            raise KeyError("carry")
        return self._write(operands[0], kind, f"{a} {BINARY[name]} {b}")

    def _op_mad(self, parts, operands):
        kind = parts[-1]
        a, b = self._read(operands[1], kind), self._read(operands[2], kind)
        if "wide" in parts:
            wide = WIDE[kind]
            product = f"({C_TYPES[wide]}){a} * ({C_TYPES[wide]}){b}"
            return self._write(operands[0], wide, f"{product} + {self._read(operands[3], wide)}")
        if "lo" not in parts or "cc" in parts:
            raise KeyError("mad")
        return self._write(operands[0], kind, f"{a} * {b} + {self._read(operands[3], kind)}")

    def _op_fma(self, parts, operands):
        kind = parts[-1]
        values = ", ".join(self._read(operand, kind) for operand in operands[1:])
        if "rn" in parts:
            return self._write(operands[0], kind, f"{'fmaf' if kind == 'f32' else 'fma'}({values})")
        mode = {"rm": "FE_DOWNWARD", "rz": "FE_TOWARDZERO"}[next(p for p in parts if p in ("rm", "rz", "rp"))]
        return self._write(operands[0], "f32", f"rounded_fma({mode}, {values})")

    def _op_neg(self, parts, operands):
        return self._write(operands[0], parts[-1], f"-{self._read(operands[1], parts[-1])}")

    def _op_abs(self, parts, operands):
        function = {"f32": "fabsf", "f64": "fabs", "s64": "llabs", "s32": "abs"}[parts[-1]]
        return self._write(operands[0], parts[-1], f"{function}({self._read(operands[1], parts[-1])})")

    def _op_copysign(self, parts, operands):
        sign, size = (self._read(operand, parts[-1]) for operand in operands[1:])
        return self._write(operands[0], parts[-1], f"copysign({size}, {sign})")

    def _op_sqrt(self, parts, operands):
        if "rn" not in parts:
            raise KeyError("sqrt")
        function = "sqrtf" if parts[-1] == "f32" else "sqrt"
        return self._write(operands[0], parts[-1], f"{function}({self._read(operands[1], parts[-1])})")

    def _op_ex2(self, parts, operands):
        if parts[1:] != ["approx", "ftz", "f32"]:
            raise KeyError("ex2")
        return self._write(operands[0], "f32", f"exp2_approximate({self._read(operands[1], 'f32')})")

    def _op_rcp(self, parts, operands):
        if parts[1:3] != ["approx", "ftz"]:
            raise KeyError("rcp")
        function = "reciprocal_approximate" if parts[-1] == "f32" else "reciprocal64_approximate"
        return self._write(operands[0], parts[-1], f"{function}({self._read(operands[1], parts[-1])})")

    def _op_min(self, parts, operands):
        name, kind = parts[0], parts[-1]
        a, b = self._read(operands[1], kind), self._read(operands[2], kind)
        if is_float(kind):
            return self._write(operands[0], kind, f"f{name}{'f' if kind == 'f32' else ''}({a}, {b})")
        return self._write(operands[0], kind, f"{a} {'<' if name == 'min' else '>'} {b} ? {a} : {b}")

    _op_max = _op_min

    def _op_not(self, parts, operands):
        kind = parts[-1]
        if kind == "pred":
            return f"{operands[0][1:]} = !{self._read(operands[1], kind)};"
        return self._write(operands[0], kind, f"~{self._read(operands[1], kind)}")

    def _op_shl(self, parts, operands):
        name, kind = parts[0], parts[-1]
        value, distance = self._read(operands[1], kind), self._read(operands[2], "u32")
        beyond = f"{value} < 0 ? -1 : 0" if name == "shr" and kind[0] == "s" else "0"
        shifted = f"{value} {'<<' if name == 'shl' else '>>'} {distance}"
        return self._write(operands[0], kind, f"{distance} >= {kind[1:]} ? ({beyond}) : ({shifted})")

    _op_shr = _op_shl

    def _op_bfi(self, parts, operands):
        kind = parts[-1]
        a, b = self._read(operands[1], kind), self._read(operands[2], kind)
        position, length = self._read(operands[3], "u32"), self._read(operands[4], "u32")
        c_type = C_TYPES[kind]
        mask = f"(({length} >= {kind[1:]} ? ~({c_type})0 : (({c_type})1 << {length}) - 1) << {position})"
        return self._write(operands[0], kind, f"(({a} << {position}) & {mask}) | ({b} & ~{mask})")
