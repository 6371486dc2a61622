"""A signal to terminate ends the tests, wherever they are."""

import signal
import subprocess
import sys

from minivae.runs import checkpoint

from .minivae.runs.tiny import ENDLESS, HANGS, wait_for_file


def test_it_ends_a_test_that_is_within_main(tmp_path):
    """Its run is saved first, as on the command line."""
    arguments = ["train", *ENDLESS, "--out", str(tmp_path / "run")]
    (tmp_path / "test_endless.py").write_text(
        f"from minivae.command.main import main\ndef test_endless():\n    main({arguments!r})\n"
    )
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    with subprocess.Popen(pytest, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            wait_for_file(process, tmp_path / "run" / "checkpoint.npz")
            process.terminate()
            out = process.communicate(timeout=HANGS)[0]
        finally:
            process.kill()
    assert process.returncode == -signal.SIGTERM, out
    assert checkpoint.load_state(tmp_path / "run" / "checkpoint.npz")[1].step >= 100
