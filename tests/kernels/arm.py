"""ARM on any machine: LLVM compiles for it, and an emulator runs what is compiled."""

import shutil
import subprocess

import llvmlite.binding as llvm
import pytest

TRIPLE = "aarch64-unknown-linux-gnu"


def target_machine(reloc):
    """What compiles for ARM; skips the test where this LLVM does not."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple(TRIPLE)
    except RuntimeError:
        pytest.skip("this LLVM does not compile for ARM")
    return target.create_target_machine(cpu="neoverse-n1", opt=3, reloc=reloc)


def emulated(folder, source, *options, arguments=()):
    """What the C program `source`, with files of `folder` among the options, prints on an emulated ARM."""
    compiler, emulator = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64-static")
    if not compiler or not emulator:
        pytest.skip("needs aarch64-linux-gnu-gcc and qemu-aarch64-static")
    (folder / "check.c").write_text(source)
    command = [compiler, "-O1", "-static", "-w", "-o", "check", "check.c", *options, "-lm"]
    subprocess.run(command, cwd=folder, check=True, timeout=120)
    command = [emulator, "./check", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=True).stdout
