"""docs/adding-a-kernel.md: its code, put into a copy of the package, passes every check there is for it."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"<!-- (\S+): (before|after|instead of|at the end)(?: `(.*?)`)? -->\n```python\n(.*?)```", re.DOTALL)
# prints a line for each check of the new optimizer and its kernel on this backend
CHECKS = """
import sys
from minivae.selfcheck.catalog import minivae_parts
from minivae.selfcheck.report import all_checks
for check in all_checks():
    if check.name in ("Lion", "lion_update"):
        for dtype in check.dtypes:
            outcome = check.run(minivae_parts(sys.argv[1]), dtype)
            print(check.section, dtype, outcome.passed or outcome.text)
"""


def apply(tree, page):
    """Puts the page's code into the files, indented like the line that begins with the anchor; the files' names."""
    changed = set()
    for file, how, anchor, code in BLOCK.findall(page):
        path = tree / file
        lines = path.read_text().splitlines(keepends=True)
        if how == "at the end":
            lines += ["\n\n", code]
        else:
            (place,) = (i for i, line in enumerate(lines) if line.startswith(anchor))
            code = textwrap.indent(code, re.match(" *", anchor)[0])
            lines[place : place + 1] = {
                "before": [code, "\n\n", lines[place]],
                "after": [lines[place], code],
                "instead of": [code],
            }[how]
        path.write_text("".join(lines))
        changed.add(file)
    return changed


def run(tree, *command):
    environment = os.environ | {"PYTHONPATH": str(tree), "NUMBA_CACHE_DIR": str(tree / "cache")}
    return subprocess.run(
        [sys.executable, *command], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )


def test_lion_on_all_backends_in_five_files(tmp_path):
    for folder in ("minivae", "kernels", "tests/kernels"):
        unused = shutil.ignore_patterns("__pycache__", "*.gz")
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True, ignore=unused)
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    folders = ("naive", "numpy_backend", "cpu", "cuda")
    changed = apply(tmp_path, (ROOT / "docs" / "adding-a-kernel.md").read_text())
    assert changed == {*(f"kernels/{folder}/optimizers.py" for folder in folders), "minivae/optim.py"}
    contract = run(
        tmp_path, "-m", "pytest", "-q", "tests/kernels/test_contract.py", "-k", "lion_update or whole or every"
    )
    assert contract.returncode == 0, contract.stdout
    for backend in ("numpy", "cpu"):
        done = run(tmp_path, "-c", CHECKS, backend)
        expected = [
            f"{section} {dtype} True" for section in ("optimizers", "kernels") for dtype in ("float64", "float32")
        ]
        assert done.stdout.splitlines() == expected, done.stderr
