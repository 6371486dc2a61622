"""The instructions of PTX that compute: comparison, selection, arithmetic and logic, as C statements."""

C_TYPES = {
    **{f"{kind}{bits}": f"uint{bits}_t" for kind in "ub" for bits in (8, 16, 32, 64)},
    **{f"s{bits}": f"int{bits}_t" for bits in (8, 16, 32, 64)},
    **{"f32": "float", "f64": "double", "pred": "uint8_t"},
}
COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "lo": "<", "hs": ">="}
NEGATED = {"equ": "!=", "neu": "==", "ltu": ">=", "leu": ">", "gtu": "<=", "geu": "<"}
BINARY = {"add": "+", "sub": "-", "mul": "*", "div": "/", "rem": "%", "and": "&", "or": "|", "xor": "^"}
WIDE = {"u32": "u64", "s32": "s64"}


def is_float(kind):
    return kind in ("f32", "f64")


class Arithmetic:
    """Half of `ptx.Translation`: each method gets an instruction's dotted parts and its operands, and gives C."""

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
        if parts[1] == "rn" and "ftz" not in parts:
            return self._write(operands[0], parts[-1], f"1 / {self._read(operands[1], parts[-1])}")
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
