"""Compiled kernels run on the CPU: PTX is translated to C, one statement for each instruction, and built by gcc.

What Python-level simulation cannot see is seen here: the types the compiler chose, 64-bit index arithmetic, vector
accesses, contraction. Accesses outside the arguments' arrays, misaligned ones, divergent barriers and reads of shared
memory that nobody wrote (NaN) are errors. An instruction without a translation raises NotImplementedError.
Source: NVIDIA, "Parallel Thread Execution ISA".
"""

import re
from pathlib import Path

from .ptx_arithmetic import BINARY, C_TYPES, Arithmetic, is_float

RUNTIME = Path(__file__).with_name("ptx_runtime.c").read_text()
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
SPECIAL = {"tid": "thread_index", "ntid": "block_size", "ctaid": "block_index", "nctaid": "grid_size"}


def register_type(name):
    return REGISTERS[re.match(r"%([A-Za-z]+)", name)[1]]


class Translation(Arithmetic):
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
