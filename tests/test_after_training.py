"""docs/after-training.md and docs/tracking.md: each example runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minivae.command.main import main

DOCS = Path(__file__).parents[1] / "docs"
EXAMPLES = {  # by page and by the title above them, in their order
    (page, section.partition("\n")[0]): re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    for page in ("after-training", "tracking")
    for section in (DOCS / f"{page}.md").read_text(encoding="utf-8").split("\n## ")
    if "```python" in section
}
WEIGHTS = "The weights in any other library"
LATENTS, TABLE, TORCH = EXAMPLES["after-training", "Latents"] + EXAMPLES["after-training", WEIGHTS]
TRACKERS = {title: code for (page, title), (code, *_) in EXAMPLES.items() if page == "tracking"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder where the default model, hardly trained, is in runs/mnist-1."""
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("docs")
        patched.chdir(folder)
        assert main(["train", "--size", "2000", "--epochs", "2", "--backend", "numpy", "--no-pictures"]) == 0
        yield folder


def printed(code, home):
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_here():
    pages = [(DOCS / f"{page}.md").read_text(encoding="utf-8") for page in ("after-training", "tracking")]
    assert [page.count("```python") for page in pages] == [3, 2]
    assert [*TRACKERS] == ["TensorBoard", "MLflow"]


def test_latents_are_read_by_other_programs(home):
    assert main(["encode", "runs/mnist-1", "-o", "latents.csv", "--backend", "numpy"]) == 0
    (share,) = re.match(r"(\d+\.\d)% of the test digits", printed(LATENTS, home)).groups()
    assert float(share) > 20  # of ten classes


def test_the_arrays_of_a_checkpoint(home):
    lines = printed(TABLE, home).splitlines()
    assert "posterior.weight (400, 40) float32" in lines
    assert len(lines) == 9
    assert lines[-1] == "relu softplus bernoulli"


def test_torch_takes_the_weights(home):
    pytest.importorskip("torch", reason="no torch here")
    printed(TORCH, home)


def steps_of(code):
    return [line for line in code.splitlines() if line.strip() and not line.startswith("import")]


@pytest.mark.parametrize("title", TRACKERS)
def test_a_tracker_needs_some_ten_lines(title):
    assert len(steps_of(TRACKERS[title])) <= 11


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard.summary", reason="no tensorboard here")
    printed(TRACKERS["TensorBoard"], tmp_path)
    read = """
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator("logs/rings-1")
events.Reload()
print([event.step for event in events.Tensors("validation_loss")])
print([float(event.tensor_proto.float_val[0]) for event in events.Tensors("validation_loss")])
"""
    steps, losses = map(eval, printed(read, tmp_path).splitlines()[-2:])
    assert steps == [1, 2, 3, 4, 5]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_mlflow(tmp_path):
    pytest.importorskip("mlflow", reason="no mlflow here")
    pytest.importorskip("sqlalchemy", reason="mlflow here has no store of its own")
    printed(TRACKERS["MLflow"], tmp_path)
    read = """
from mlflow import MlflowClient, search_runs
(run,) = search_runs(output_format="list")
client = MlflowClient()
print(run.data.params["hidden"], [file.path for file in client.list_artifacts(run.info.run_id)])
print([metric.step for metric in client.get_metric_history(run.info.run_id, "validation_loss")])
"""
    assert printed(read, tmp_path).splitlines()[-2:] == ["[64] ['model.npz']", "[1, 2, 3, 4, 5]"]
