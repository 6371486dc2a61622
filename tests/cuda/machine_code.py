"""ptxas and nvdisasm: what a kernel's machine code uses and is made of."""

import collections
import functools
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

INSTRUCTION = re.compile(r"/\*([0-9a-f]+)\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*(?:\.[A-Z0-9_]+)*)\b([^;]*);")


class Report(NamedTuple):
    """Registers of a thread, bytes of spills, stack and static shared memory; where the machine code was disassembled,
    instructions by name and the share of FFMA (DFMA) in the loop that holds most of them.
    """

    registers: int
    spills: int
    stack: int
    shared: int
    instructions: collections.Counter
    inner_share: float

    def count(self, *names):
        """How many instructions have one of these names, with any suffix."""
        return sum(n for key, n in self.instructions.items() if any(key == a or key.startswith(a + ".") for a in names))


@functools.cache
def _tool(name):
    import nvidia.cu13

    return next(Path(folder) / "bin" / name for folder in nvidia.cu13.__path__)


def report(ptx, cc, stem, disassemble=True):
    """Assembles the PTX for an architecture and reads the result."""
    source, cubin = (stem.with_suffix(f".{cc[0]}{cc[1]}.{kind}") for kind in ("ptx", "cubin"))
    source.write_text(ptx)
    command = [_tool("ptxas"), f"-arch=sm_{cc[0]}{cc[1]}", "-v", source, "-o", cubin]
    log = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    instructions, inner_share = disassembled(cubin) if disassemble else (collections.Counter(), 0.0)
    stack, stores, loads = (int(n) for n in re.findall(r"(\d+) bytes (?:stack frame|spill stores|spill loads)", log))
    shared = re.search(r"(\d+) bytes smem", log)
    return Report(
        registers=int(re.search(r"Used (\d+) registers", log)[1]),
        spills=stores + loads,
        stack=stack,
        shared=int(shared[1]) if shared else 0,
        instructions=instructions,
        inner_share=inner_share,
    )


def disassembled(cubin):
    """The instructions of a cubin's only kernel by name, and the share of FFMA in its innermost loop."""
    command = [_tool("nvdisasm"), "-c", cubin]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return collections.Counter(name for _, name, _ in INSTRUCTION.findall(listing)), _inner_share(listing)


def _inner_share(listing):
    """FFMA and DFMA among the instructions of the shortest loop that holds the most of them."""
    labels, code = {}, []
    for line in listing.splitlines():
        label = re.match(r"\s*(\.L_x_\w+):", line)
        found = INSTRUCTION.search(line)
        if label:
            labels[label[1]] = len(code)
        elif found:
            target = re.search(r"(\.L_x_\w+)", found[3])
            code.append((found[2].split(".")[0], target[1] if target else None))
    loops = [
        [name for name, _ in code[labels[target] : end + 1]]
        for end, (name, target) in enumerate(code)
        if name == "BRA" and labels.get(target, end + 1) <= end
    ]
    counts = [(sum(name in ("FFMA", "DFMA") for name in loop), -len(loop)) for loop in loops]
    most = max(counts, default=(0, -1))
    return most[0] / -most[1]
