"""docs/sweeps.md: each example runs, with small models in the place of what its commands train."""

import csv
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "sweeps.md"
SECTIONS = {part.partition("\n")[0]: part for part in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]}
EXAMPLES = {  # by the first word of the title: language, code
    title.split()[0].strip(":"): re.search(r"```(sh|python)\n(.*?)```", part, re.DOTALL).groups()
    for title, part in SECTIONS.items()
}
SMALL = "--size 200 --epochs 1 --hidden 6 --no-pictures"
# Put before all others in PATH: training on a grain, and a Slurm that starts each job at once.
COMMANDS = {
    "minivae": f"""
        case "$*" in *--resume*) small="" ;; *) small="{SMALL}" ;; esac
        exec '{sys.executable}' -m minivae "$@" $small
    """,
    "sbatch": """
        script=$(mktemp -p "$PWD")
        cp "${@: -1}" "$script"  # whoever submits may delete its file at once, as dask-jobqueue does
        bash "$script" > job.log 2>&1 &
        echo "Submitted batch job $!"
    """,
    "scancel": 'kill "$@"',
}


@pytest.fixture
def run(tmp_path):
    """run(title, **environment): standard output of an example, in the test's folder."""
    (tmp_path / "bin").mkdir()
    for name, script in COMMANDS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{script}")
        (tmp_path / "bin" / name).chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"

    def run(title, **more):
        language, code = EXAMPLES[title]
        program = tmp_path / f"example.{language}"
        program.write_text(code)
        environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)} | more
        command = [sys.executable if language == "python" else "bash", str(program)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def runs(folder):
    return sorted(path.parent.name for path in (folder / "runs").glob("*/history.csv"))


def test_every_example_is_here():
    text = PAGE.read_text(encoding="utf-8")
    assert list(EXAMPLES) == ["Slurm", "A", "xargs", "GNU", "joblib", "dask-jobqueue", "One"]
    assert text.count("```") == 2 * len(EXAMPLES)


def test_slurm(run, tmp_path):
    """A job that is sent once more finds that its run is complete."""
    for task in (3, 4, 3):
        run("Slurm", SLURM_ARRAY_TASK_ID=str(task), SLURM_CPUS_PER_TASK="1", SLURM_NTASKS="1", SLURM_PROCID="0")
    assert runs(tmp_path) == ["seed-3", "seed-4"]


def test_shell_and_the_table_of_all(run, tmp_path):
    run("A")
    assert runs(tmp_path) == ["seed-1", "seed-2"]
    losses = []
    for name in runs(tmp_path):
        with open(tmp_path / "runs" / name / "history.csv") as file:
            losses.append(float(list(csv.DictReader(file))[-1]["validation_loss"]))
    latent, count, mean, _ = run("One").split()[-4:]
    assert (latent, count) == ("20", "2")
    assert float(mean) == pytest.approx(sum(losses) / 2, abs=0.01)


def test_xargs(run, tmp_path):
    run("xargs")
    assert runs(tmp_path) == ["seed-1", "seed-2", "seed-3"]


@pytest.mark.skipif(not shutil.which("parallel"), reason="no GNU parallel here")
def test_gnu_parallel(run, tmp_path):
    run("GNU")
    assert runs(tmp_path) == ["seed-1-latent-10", "seed-1-latent-20", "seed-2-latent-10", "seed-2-latent-20"]


@pytest.mark.parametrize(("title", "module"), [("joblib", "joblib"), ("dask-jobqueue", "dask_jobqueue")])
def test_python(title, module, run):
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"no {module} here")
    assert re.fullmatch(r"(seed \d: \d+\.\d nats per example\n){4}", run(title))


@pytest.mark.parametrize(
    "hidden", [pytest.param("", id="kernels"), pytest.param("6", id="training", marks=pytest.mark.slow)]
)
def test_four_processes_that_start_together_on_a_cold_cache(hidden, tmp_path):
    """All have the same bits and leave whole files: a fifth process compiles nothing."""
    code = f"""
import sys, time
from pathlib import Path
import numpy as np
import minivae as mv
from minivae.kernels import load_backend
backend = load_backend("cpu")
Path(sys.argv[1]).touch()
while sys.argv[2:] and not Path("go").exists():
    time.sleep(1e-3)
if "{hidden}":
    model = mv.VAE(20, 2, [{hidden}], backend="cpu", seed=1)
    mv.fit(model, np.random.default_rng(0).random((90, 20)), epochs=1, batch_size=32, progress=False)
    print(model.store.flat.tobytes().hex())
else:
    clock, noise = np.array([4]), np.empty(5, np.float32)
    backend.tick(clock)
    backend.standard_normal(1, 2, clock, noise)
    print(clock, noise.tobytes().hex())
"""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path, "env": environment}

    def start(name, *wait):
        return subprocess.Popen([sys.executable, "-c", code, name, *wait], **pipes)

    four = [start(f"ready-{i}", "wait") for i in range(4)]
    while len(list(tmp_path.glob("ready-*"))) < 4 and all(one.poll() is None for one in four):
        time.sleep(0.01)
    (tmp_path / "go").touch()
    said = [one.communicate(timeout=600) for one in four]
    assert [one.returncode for one in four] == [0] * 4, said
    assert all(re.fullmatch("(minivae: compiling CPU kernels .*\n)?", error) for _, error in said), said
    fifth = start("fifth")
    assert fifth.communicate(timeout=600) == (said[0][0], "")
    assert {out for out, _ in said} == {said[0][0]}
    assert {path.suffix for path in (tmp_path / "cache").rglob("*") if path.is_file()} == {".kernel"}
