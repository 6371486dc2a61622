"""Compression: the same bytes everywhere."""

import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minivae as mv
from minivae.compression.file import read_header
from minivae.compression.networks import pack
from tests.minivae.compression.test_compression import LIKELIHOODS, model_of, rows

HERE = Path(__file__).parent
KINDS = [(likelihood, bits) for likelihood in LIKELIHOODS for bits in (None, 8)]
# The SHA-256 of the files below, made on x86-64 with AVX-512; wherever these tests run, the bytes are the same.
DIGESTS = HERE / "digests.txt"


def make(likelihood, weight_bits):
    """A file of a model as it is before training, whose weights follow from the seed alone."""
    activation = {"bernoulli": "relu", "beta_binomial": "tanh", "logistic": "gelu"}[likelihood]
    model = model_of(likelihood, 40, 4, (16,), activation=activation, seed=5)
    x = rows(likelihood, 60, 40)
    return model, x, mv.compress(model, x, 3, weight_bits=weight_bits, block=50)


def _of_all_machines(data):
    """A file; where networks are inside, they and the words: how zlib packs the networks depends on who built it."""
    header = read_header(data)
    return pack(header.model) + b"".join(data[block.words] for block in header.blocks) if header.model else data


def digests(kinds=KINDS):
    made = [_of_all_machines(make(*kind)[2]) for kind in kinds]
    return "".join(
        f"{hashlib.sha256(data).hexdigest()} {kind} {bits}\n" for data, (kind, bits) in zip(made, kinds, strict=True)
    )


def test_the_bytes_are_those_of_every_other_machine():
    assert digests() == DIGESTS.read_text()


@pytest.mark.parametrize("kind", KINDS[::2])
def test_no_function_of_a_libm_decides_about_the_bytes(kind, monkeypatch):
    """What C and NumPy round as they like is 1 % off here, and the file is as it was."""
    model, x, data = make(*kind)
    for module in (math, np):
        for name in {"exp", "expm1", "log", "log1p", "log2", "log10", "tanh", "erf", "erfc", "power"} & {*dir(module)}:
            right = getattr(module, name)
            monkeypatch.setattr(module, name, lambda *given, right=right, **options: 1.01 * right(*given, **options))
    assert mv.compress(model, x, 3, weight_bits=kind[1], block=50) == data


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_a_committed_file_is_decoded(likelihood):
    """Made elsewhere, with its networks inside."""
    back = mv.decompress(None, (HERE / f"{likelihood}.mvz").read_bytes())
    np.testing.assert_array_equal(back, rows(likelihood, 60, 40))


@pytest.mark.parametrize(
    "environment",
    [
        {"NUMBA_CPU_NAME": "nehalem", "OPENBLAS_CORETYPE": "Nehalem"},
        {"OPENBLAS_NUM_THREADS": "2", "NUMBA_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Haswell"},
        {"WITHOUT_NUMBA": "1"},
    ],
    ids=["no-fma", "two-threads", "python"],
)
def test_other_processors_make_the_same_bytes(environment):
    """Without fused multiply-add, with other kernels of the BLAS, and with the specification in place of Numba, which
    takes long and so makes only the files without networks.
    """
    step = 2 if "WITHOUT_NUMBA" in environment else 1
    code = f"import sys; {step} == 2 and sys.modules.update(numba=None);"
    code += "from tests.minivae.compression import test_same_bytes as t;"
    code += f"sys.stdout.write(t.digests(t.KINDS[::{step}]))"
    root = HERE.parents[2]
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment | {"PYTHONPATH": path},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == DIGESTS.read_text().splitlines()[::step]


if __name__ == "__main__":  # makes the committed files afresh: only after a change of the format, with its version
    DIGESTS.write_text(digests())
    for kind in LIKELIHOODS:
        (HERE / f"{kind}.mvz").write_bytes(make(kind, 8)[2])
