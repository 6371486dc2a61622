"""Standard output and error that are closed, full, or unable to take a name: the work is done all the same."""

import os
import subprocess
import sys

import numpy as np
import pytest

from minivae.command import options
from minivae.command.main import build_parser, main
from minivae.command.train import configuration
from minivae.files.progress import bar, begin
from minivae.runs import checkpoint, train

from ..runs.tiny import HANGS, TINY

LOST = "minivae: error: standard output: {}; what it could not take is lost, the rest of the work is done\n"


def run(redirections, *arguments, **variables):
    """(status, standard output, standard error) of `minivae` under a shell."""
    script = f'"$0" -m minivae "$@" {redirections}'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, *map(str, arguments)],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=HANGS,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("redirections", "status", "error"),
    [
        ("2>&-", 0, ""),
        (">&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        (">/dev/full", 2, LOST.format("No space left on device")),
        (">/dev/full 2>/dev/full", 2, ""),
        ("2>/dev/full", 0, ""),
        ("| true; exit ${PIPESTATUS[0]}", 141, LOST.format("Broken pipe")),
    ],
)
def test_training_does_not_end_for_want_of_a_place_to_print(tmp_path, redirections, status, error):
    folder = tmp_path / "run"
    assert run(redirections, "train", *TINY, "--epochs", "2", "--out", folder)[::2] == (status, error)
    assert checkpoint.load_state(folder / "checkpoint.npz")[1].history.epochs == 2


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"], []], ids=" ".join)
def test_help_that_is_not_printed_is_a_failure(arguments):
    assert run(">/dev/full", *arguments) == (2, "", LOST.format("No space left on device"))


def test_names_are_escaped_where_they_cannot_be_printed(tmp_path):
    name = tmp_path / "手写\n.npy"
    np.save(name, np.random.default_rng(0).random((20, 3)))
    arguments = ["train", "--data", name, "--epochs", "1", "--backend", "numpy", "--no-pictures"]
    for variables in ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        out = tmp_path / str(len(variables))
        status, said, error = run("", *arguments, "--out", out, **variables)
        assert (status, error) == (0, "")
        assert said.isascii()
        assert said.splitlines()[0].endswith("\\n.npy")
        assert checkpoint.load_state(out / "checkpoint.npz")[1].history.epochs == 1
    status, said, error = run("", "train", "--data", tmp_path / "无.npy", PYTHONIOENCODING="ascii")
    assert status == 2
    assert error.count("\n") == 1
    assert "\\u65e0.npy" in error


def test_output_of_the_calling_program_stays_its_own(tmp_path, monkeypatch, capsys):
    """A failure is told by the status, and the next command begins anew."""

    class Closed:
        encoding = "utf-8"

        def write(self, *text):
            raise ValueError("I/O operation on closed file")

        flush = write

    arguments = ["train", *TINY, "--epochs", "1", "--out"]
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Closed())
        assert main([*arguments, str(tmp_path / "a")]) == 2
    assert "I/O operation on closed file" in capsys.readouterr().err
    for stream in ("stdout", "stderr"):
        with monkeypatch.context() as patched:
            patched.setattr(sys, stream, None)
            assert main([*arguments, str(tmp_path / stream)]) == 0
    assert main(["evaluate", str(tmp_path / "a")]) == 0
    assert checkpoint.load_state(tmp_path / "a" / "checkpoint.npz")[1].history.epochs == 1


def test_an_epoch_is_saved_before_its_line_is_printed(tmp_path):
    def say(line):
        if line.startswith("    2 "):
            raise RuntimeError("no more lines")

    given = build_parser().parse_args(["train", *TINY, "--epochs", "3", "--out", str(tmp_path / "run")])
    with pytest.raises(RuntimeError, match="no more lines"):
        train.start(configuration(given), say)
    assert checkpoint.load_state(tmp_path / "run" / "checkpoint.npz")[1].history.epochs == 2


def test_a_bar_needs_no_standard_error(monkeypatch):
    class Full:
        isatty = staticmethod(lambda: True)

        def write(self, *text):
            raise OSError(28, "No space left on device")

        flush = write

    closed = open(os.devnull, "w")  # noqa: SIM115
    closed.close()
    for stream in (None, closed, Full()):
        for show in (None, True):
            monkeypatch.setattr(sys, "stderr", stream)
            with bar(range(3), show=show) as items:
                assert list(items) == [0, 1, 2]


def test_a_bar_counts_anew_from_what_is_done(capsys):
    with bar(total=3, show=True) as shown:
        shown.update(3)
        begin(shown, "again", 10, 4)
        assert (shown.n, shown.initial, shown.total) == (4, 4, 10)
        shown.update(6)
        shown.refresh()
        assert "again: 100%" in capsys.readouterr().err.split("\r")[-1]


@pytest.mark.parametrize(
    ("text", "escaped"), [("a\nb\x1b[31m", "a\\nb\\x1b[31m"), ("手 \udcff", "手 \\udcff"), ("  x", "  x")]
)
def test_a_line_stays_a_line(text, escaped):
    assert options.printable(text, None) == escaped


def test_no_folder_for_the_fonts_of_pictures_is_no_word_worth(tmp_path):
    """As where the home folder cannot be written in: matplotlib would tell of it in two lines at each picture."""
    arguments = ["--data", "rings", "--size", "50", "--epochs", "1", "--backend", "numpy", "--out", tmp_path / "run"]
    (tmp_path / "file").write_bytes(b"")
    status, out, error = run("", "train", *arguments, MPLCONFIGDIR=str(tmp_path / "file" / "folder"))
    assert (status, error) == (0, "")
    assert "pictures: curves.png" in out
