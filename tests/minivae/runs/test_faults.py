"""What a machine can do to a run: kills, signals, full disks, folders that go away, two processes at once."""

import errno
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import minivae as mv
from benchmarks.kills import Killer
from minivae.command.main import main
from minivae.files import archive, atomic, stored
from minivae.runs import checkpoint, folder
from minivae.runs.saver import Saver
from minivae.training.step import TrainingStep

from .tiny import ENDLESS, HANGS, TINY, assert_same_run, command, started, wait_for_epoch, wait_for_file

SHORT = [*TINY, "--epochs", "3"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert main(["train", *SHORT, "--out", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("damage", [False, True])
def test_every_kill_resumes_to_the_same_weights(damage, tmp_path, monkeypatch):
    """benchmarks/kills.py does hundreds; here 20, at random moments of a run that saves after each step."""
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))  # no life need import pytest
    report = Killer(tmp_path, seed=1, damage=damage).kill(20)
    assert report["kills"] + report["failed_writes"] == 20
    assert not report["different"]
    assert report["lost"] == 0
    assert report["unreadable"] == 0
    assert (report["damaged"] > 5) == damage


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_the_step_and_saves(number, status, tmp_path):
    """The state is that of a step within an epoch, and the run goes on from it."""
    with started(*ENDLESS, "--out", tmp_path / "run", PYTHONWARNINGS="error") as process:
        wait_for_file(process, tmp_path / "run" / "checkpoint.npz")
        process.send_signal(number)
        out, error = process.communicate(timeout=HANGS)
    assert (process.returncode, error) == (status, "")
    state = checkpoint.load_state(tmp_path / "run" / "checkpoint.npz")[1]
    assert f"interrupted after step {state.step:,};" in out
    assert 100 <= state.step < 540_000
    assert state.history.epochs == 0


def test_a_second_ctrl_c_ends_at_once(tmp_path, monkeypatch, capsys):
    """Within a step: its checkpoint is not waited for, those before it stay, and the run goes on from them."""
    step = TrainingStep.__call__

    def interrupted(self, number):
        if number == 30:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return step(self, number)

    monkeypatch.setattr(TrainingStep, "__call__", interrupted)
    arguments = [*SHORT, "--checkpoint-every", "8", "--out", str(tmp_path / "run")]
    assert main(["train", *arguments]) == 130
    assert "interrupted after step" not in capsys.readouterr().out
    assert checkpoint.load_state(tmp_path / "run" / "checkpoint.npz")[1].step == 24


def test_a_signal_before_training_writes_nothing(tmp_path, monkeypatch):
    """SIGTERM while the data are loaded, in a process whose Ctrl-C is ignored as a shell's background jobs have it.

    The program that called for the training has the signal afterwards.
    """
    monkeypatch.setattr(folder, "load", lambda choices: os.kill(os.getpid(), signal.SIGTERM))
    handed_on = []
    before = signal.signal(signal.SIGINT, signal.SIG_IGN), signal.signal(signal.SIGTERM, lambda *_: handed_on.append(1))
    try:
        assert main(["train", *SHORT, "--out", str(tmp_path / "run")]) == 143
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
    assert handed_on == [1]
    assert not (tmp_path / "run").exists()


class Disk:
    """A disk that is full from the n-th write of the system on, counted over all files: replaces `open` in `atomic`."""

    def __init__(self, writes):
        self.left = writes

    def open(self, path, mode):
        disk = self

        class File(io.FileIO):
            def write(self, content):
                if disk.left == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                disk.left -= 1
                return super().write(content)

        return io.BufferedWriter(File(path, mode))


def test_a_disk_full_at_any_write_loses_no_good_file(tmp_path, monkeypatch, capsys, whole):
    """Each write of a run in turn fails, and all after it; then there is room again and the run goes on."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1 << 40, 0, 1 << 40))
    options = ["--size", "96", "--epochs", "2", "--checkpoint-every", "2"]
    assert main(["train", *TINY, *options, "--out", str(tmp_path / "whole")]) == 0
    writes = 0
    while True:
        folder = tmp_path / f"run-{writes}"
        disk = Disk(writes)
        with monkeypatch.context() as patched:
            patched.setattr(atomic, "open", disk.open, raising=False)
            capsys.readouterr()
            status = main(["train", *TINY, *options, "--out", str(folder)])
        error = capsys.readouterr().err
        if status == 0:
            break
        assert status == 2
        assert error.startswith(f"minivae: error: cannot write {folder}/")
        assert error.endswith("No space left on device\n")
        assert not list(folder.glob(".*")), "no unfinished file is left to fill the disk"
        for path in folder.glob("*.npz"):
            mv.VAE.load(path)
        if (folder / "config.json").exists():
            assert main(["train", "--resume", str(folder), "--no-pictures"]) == 0
            assert_same_run(tmp_path / "whole", folder)
        shutil.rmtree(folder)
        writes += 1
    assert writes > 15


def test_a_file_size_limit_is_met_by_the_system_itself(tmp_path):
    """The real error from the kernel: no file of this process may grow beyond 4 kB, and a checkpoint is larger."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = subprocess.run(
        command(*SHORT, "--out", tmp_path / "run"), capture_output=True, text=True, timeout=HANGS, preexec_fn=limit
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"minivae: error: cannot write {tmp_path / 'run'}/")
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["config.json", "history.csv"]


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path, monkeypatch, capsys):
    """As a read-only file system answers, and as permissions do where they bind."""

    def read_only(path, mode):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(folder, "open", read_only, raising=False)
    assert main(["train", *SHORT, "--out", str(tmp_path)]) == 2
    assert f"cannot write in {tmp_path}: Read-only file system" in capsys.readouterr().err
    assert main(["train", *SHORT, "--out", "/proc/run"]) == 2
    assert "--out: cannot make /proc/run" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_permissions(tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert main(["train", *SHORT, "--out", str(tmp_path)]) == 2
    assert f"cannot write in {tmp_path}" in capsys.readouterr().err


def test_a_folder_removed_under_the_run_ends_it_with_a_line(tmp_path):
    with started(*TINY, "--epochs", "100000", "--out", tmp_path / "run") as process:
        wait_for_epoch(process, 3)
        # halted, or it would write new files while the old ones are removed
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        shutil.rmtree(tmp_path / "run")
        process.send_signal(signal.SIGCONT)
        error = process.communicate(timeout=HANGS)[1]
    assert process.returncode == 2
    assert error.startswith(f"minivae: error: cannot write {tmp_path / 'run'}/")
    assert error.count("\n") == 1


def test_two_processes_never_share_a_folder(tmp_path, capsys):
    with started(*TINY, "--epochs", "100000", "--out", tmp_path / "run") as process:
        wait_for_epoch(process, 3)
        for arguments in (["--resume", tmp_path / "run"], [*SHORT, "--overwrite", "--out", tmp_path / "run"]):
            assert main(["train", *map(str, arguments)]) == 2
            assert "another process is training in this folder" in capsys.readouterr().err
        assert process.poll() is None
    # the lock ended with the process
    epochs = checkpoint.load_state(tmp_path / "run" / "checkpoint.npz")[1].history.epochs
    assert main(["train", "--resume", str(tmp_path / "run"), "--epochs", str(epochs + 1), "--no-pictures"]) == 0


def test_what_a_kill_leaves_is_cleared_away(tmp_path, whole):
    """Unfinished files in a new folder, and in one that is resumed; files of others stay."""
    for path in (tmp_path / "new", tmp_path / "old"):
        if path.name == "old":
            shutil.copytree(whole, path)
        path.mkdir(exist_ok=True)
        for name in (".config.json.0123abcd.tmp", ".checkpoint.npz.89ef4567.tmp"):
            (path / name).write_bytes(b"half")
    (tmp_path / "old" / ".mine.tmp").write_text("mine")
    assert main(["train", *SHORT, "--out", str(tmp_path / "new")]) == 0
    assert main(["train", "--resume", str(tmp_path / "old"), "--no-pictures"]) == 0
    assert [path.name for folder in ("new", "old") for path in (tmp_path / folder).glob(".*")] == [".mine.tmp"]


def test_a_run_without_a_checkpoint_begins_again(tmp_path, whole):
    (tmp_path / "run").mkdir()
    shutil.copy(whole / "config.json", tmp_path / "run")
    assert main(["train", "--resume", str(tmp_path / "run"), "--no-pictures"]) == 0
    assert_same_run(whole, tmp_path / "run")


def test_the_last_checkpoints_and_the_best_are_kept(tmp_path, monkeypatch):
    """Seven saves, of which the newest three stay; best.npz is the epoch with the lowest validation loss."""
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "no links here")))
    assert main(["train", *SHORT, "--out", str(tmp_path / "run"), "--checkpoint-every", "10", "--keep", "3"]) == 0
    names = sorted(path.name for path in (tmp_path / "run").glob("checkpoint*"))
    assert names == ["checkpoint-00000040.npz", "checkpoint-00000050.npz", "checkpoint.npz"]
    for name, step in zip(names, (40, 50, 57), strict=True):
        assert checkpoint.load_state(tmp_path / "run" / name)[1].step == step
    history = folder.as_history(tmp_path / "run")
    best = stored.read(tmp_path / "run" / "best.npz")[0]["training"]["step"]
    assert best == 19 * (1 + int(np.argmin(history["validation_loss"])))


def test_a_failed_write_in_the_thread_is_raised(tmp_path, monkeypatch):
    """By the next save, or at the end: never lost."""
    model, states = mv.VAE(4, 2, (3,), backend="numpy"), []
    mv.fit(model, np.eye(4), epochs=2, on_checkpoint=states.append)

    def save(saved):
        with Saver(tmp_path / "gone", model, {}, 2) as saver:
            for state in saved:
                saver(state)

    for count in (1, 2):
        with pytest.raises(OSError, match=r"cannot write .*gone/checkpoint.npz|cannot write .*gone/best.npz"):
            save(states[:count])


def test_ten_thousand_steps_take_no_memory(tmp_path):
    """Memory of its own after 10,000 steps with 100 checkpoints, against that after 1,000: less than 2 MB more.

    Pages of files are left out, and those in swap are not: how many there are is the system's choice.
    """
    script = """
import sys, numpy as np, minivae as mv
from pathlib import Path
from minivae.runs.saver import Saver
def kilobytes():
    fields = dict(line.split(":") for line in open("/proc/self/status"))
    return sum(int(fields[name].split()[0]) for name in ("RssAnon", "VmSwap"))
data = np.random.default_rng(0).integers(0, 256, (1600, 16), dtype=np.uint8)
model = mv.VAE(16, 2, (8,), backend="numpy")
seen = {}
def save(state):
    saver(state)
    seen[state.step] = kilobytes()
with Saver(Path(sys.argv[1]), model, {}, 2) as saver:
    mv.fit(model, data, epochs=100, batch_size=16, on_checkpoint=save)
print(seen[1000], seen[10000])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=HANGS,
        check=True,
    )
    early, late = map(int, done.stdout.split())
    assert late - early < 2048, (early, late)


def test_a_config_from_a_stranger(tmp_path, whole, capsys):
    """Each entry of config.json in turn is missing, or of another kind: one line, whatever is asked of the run."""
    folder = tmp_path / "run"
    good = json.loads((whole / "config.json").read_text())
    paths = [(key,) for key in good] + [(key, inner) for key in ("data", "model", "training") for inner in good[key]]
    for path in paths:
        for value in (None, {}, "x", 1e400, "absent"):
            config = json.loads(json.dumps(good))
            at = config
            for key in path[:-1]:
                at = at[key]
            if value == "absent":
                del at[path[-1]]
            else:
                at[path[-1]] = value
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            (folder / "config.json").write_text(json.dumps(config))
            status = main(["train", "--resume", str(folder), "--no-pictures", "--epochs", "1"])
            error = capsys.readouterr().err
            assert status in (0, 2), (path, value)
            assert error.count("\n") == (status == 2), (path, value, error)


@pytest.mark.parametrize("levels", [90, 200, 900])
def test_a_config_of_many_levels(tmp_path, whole, capsys, levels):
    """Reading it takes fewer calls in each other than copying and writing it."""
    config = json.loads((whole / "config.json").read_text())
    for value in ("training", "preset"), ("data", "drop"):
        nested = json.loads(json.dumps(config))
        nested[value[0]][value[1]] = "here"
        text = json.dumps(nested).replace('"here"', "[" * levels + "]" * levels)
        (tmp_path / "config.json").write_text(text)
        status = main(["train", "--resume", str(tmp_path), "--no-pictures", "--epochs", "1"])
        error = capsys.readouterr().err
        assert status == 2 or levels < 100
        assert error.count("\n") == (status == 2), error


@pytest.mark.parametrize("content", [b"", b"epoch\n", b"a,b\n1\n", b"a\nx\n", b"\xff\xfe", b'"' * 200_000, b"\0\n1\n"])
def test_a_history_that_is_none(tmp_path, content):
    (tmp_path / "history.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"run: .*history\.csv is not the history of a run") as caught:
        folder.as_history(tmp_path)
    assert "\n" not in str(caught.value)


def test_links(tmp_path, whole, capsys):
    """Read through, where they lead to a file; replaced, not followed, where a run writes."""
    target = tmp_path / "target.npz"
    target.write_bytes((whole / "checkpoint.npz").read_bytes())
    (tmp_path / "link.npz").symlink_to(target)
    model = mv.VAE.load(tmp_path / "link.npz")
    model.save(tmp_path / "link.npz")
    assert not (tmp_path / "link.npz").is_symlink()
    assert archive.read(target)
    (tmp_path / "loop.npz").symlink_to(tmp_path / "loop.npz")
    (tmp_path / "dangling.npz").symlink_to(tmp_path / "nothing")
    (tmp_path / "device.npz").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.npz")
    for name, words in {
        "loop": "damaged or unreadable",
        "dangling": "no such",
        "device": "not a regular file",
        "pipe": "not a regular file",
    }.items():
        with pytest.raises(ValueError, match=rf"{name}\.npz: .*{words}"):
            mv.VAE.load(tmp_path / f"{name}.npz")
    assert Path(target).exists()
