"""What is damaged in a run folder: `minivae verify` says it of every file, and `--resume` does what that says."""

import errno
import json
import os
import shutil
import signal
import sys
import types

import pytest

from benchmarks.kills import contents, processes
from minivae.command.main import main
from minivae.files import stored
from minivae.runs import checkpoint, findings, folder

from .test_checkpoint import described
from .tiny import TINY, assert_same, assert_same_run

OPTIONS = [*TINY, "--epochs", "3", "--checkpoint-every", "10", "--keep", "3"]  # saves at 10, 19, 20, 30, 38, 40, 50, 57
NAMES = ["checkpoint.npz", "checkpoint-00000050.npz", "checkpoint-00000040.npz"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert main(["train", *OPTIONS, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def run(tmp_path, whole):
    return shutil.copytree(whole, tmp_path / "run")


def damage(*paths):
    for path in paths:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


def newer(path, version=3):
    path.write_bytes(described(path.read_bytes(), version=version))


def resume(run, *options):
    return main(["train", "--resume", str(run), "--no-pictures", "--checkpoint-every", "10", *options])


def verify(run, capsys):
    """(status, dict from each file's name to what is said of it, what resume would do)."""
    capsys.readouterr()
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    status = main(["verify", str(run)])
    out, error = capsys.readouterr()
    assert error == ""
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before, "nothing is written"
    *lines, last = out.splitlines()
    return status, dict(line.split(": ", 1) for line in lines), last.removeprefix("resume would ")


def test_a_whole_run(run, capsys):
    (run / "evaluation.json").write_text('{"elbo": -3.5}')
    status, said, last = verify(run, capsys)
    assert (status, last) == (0, "take checkpoint.npz, because it is the newest")
    assert said.pop("config.json").startswith("whole, rings, epochs to do: 3, numpy")
    assert said.pop("best.npz").startswith("whole, step ")
    assert said == {
        "checkpoint.npz": "whole, step 57, epochs done: 3",
        "checkpoint-00000050.npz": "whole, step 50, epochs done: 2",
        "checkpoint-00000040.npz": "whole, step 40, epochs done: 2",
        "history.csv": "whole, epochs: 3",
        "evaluation.json": "whole, ELBO -3.500",
    }


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_resume_takes_what_verify_says(count, run, whole, capsys):
    damage(*(run / name for name in NAMES[:count]))
    status, said, last = verify(run, capsys)
    assert status == (count > 0)
    assert [said[name].startswith("damaged, ") for name in NAMES] == [number < count for number in range(3)]
    if count == 3:
        assert last.startswith("refuse: checkpoint.npz: ")
        files = {path.name: path.read_bytes() for path in run.iterdir()}
        assert resume(run) == 2
        error = capsys.readouterr().err
        assert error.startswith("minivae: error: --resume: checkpoint.npz: ")
        assert error.count("\n") == 1
        assert {path.name: path.read_bytes() for path in run.iterdir()} == files
        return
    assert last.startswith(f"take {NAMES[count]}, because ")
    assert all(name in last for name in NAMES[:count])
    assert resume(run, "--keep", "3") == 0
    out = capsys.readouterr().out
    assert [f"cannot go on from {name}: " in out for name in NAMES] == [number < count for number in range(3)]
    assert (f"going on from {NAMES[count]}; what cannot be read is replaced" in out) == (count > 0)
    assert verify(run, capsys)[0] == 0
    assert_same_run(run, whole)
    assert_same(contents(run / "best.npz"), contents(whole / "best.npz"))


@pytest.mark.parametrize("number", [0, 1])
def test_a_newer_version_is_refused_and_stays(number, run, capsys):
    """Whether it is the newest, or comes behind a damaged one."""
    damage(*(run / name for name in NAMES[:number]))
    newer(run / NAMES[number])
    files = {path.name: path.read_bytes() for path in run.iterdir()}
    status, said, last = verify(run, capsys)
    assert status == 1
    assert said[NAMES[number]].startswith("newer, got checkpoint version 3, expected 1 to 2")
    assert last.startswith(f"refuse: {NAMES[number]}: got checkpoint version 3, expected 1 to 2")
    assert resume(run) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"minivae: error: --resume: {NAMES[number]}: got checkpoint version 3, expected 1 to 2")
    assert error.count("\n") == 1
    assert {path.name: path.read_bytes() for path in run.iterdir()} == files


def test_a_newer_version_may_hold_anything(run):
    """All that is asked of it is a description with the format and the version."""
    path = run / "checkpoint.npz"
    description = {"format": stored.FORMAT, "version": 3}
    stored.archive.write(path, {"description": json.dumps(description), "surplus": "text"})
    with pytest.raises(stored.NewerVersion, match=r"checkpoint\.npz: got checkpoint version 3"):
        stored.read(path)
    for other in (3.0, True, "3", 2):
        stored.archive.write(path, {"description": json.dumps(description | {"version": other})})
        with pytest.raises(ValueError, match=r"checkpoint\.npz") as caught:
            stored.read(path)
        assert not isinstance(caught.value, stored.NewerVersion)


def test_best_is_written_again_from_a_checkpoint_that_holds_it(run, whole, capsys):
    """Where it is damaged, missing or that of another epoch; otherwise it is said, and a better epoch replaces it."""
    losses, best = folder.as_history(whole)["validation_loss"], run / "best.npz"
    assert losses == sorted(losses, reverse=True), "each epoch is the best so far"
    shutil.copy(whole / "checkpoint-00000040.npz", best)
    assert "of epoch 2, but epoch 3 has the lowest" in verify(run, capsys)[1]["best.npz"]
    for spoil in (lambda: None, lambda: damage(best), best.unlink):
        spoil()
        assert verify(run, capsys)[0] == 1
        assert resume(run) == 0
        assert "best.npz is written again from checkpoint.npz; it was " in capsys.readouterr().out
        assert_same(contents(best), contents(whole / "best.npz"))
        assert verify(run, capsys)[0] == 0
    damage(run / NAMES[0], best)
    assert resume(run) == 0
    assert "best.npz: damaged, " in capsys.readouterr().out
    assert_same(contents(best), contents(whole / "best.npz"))


def test_the_others(run, capsys):
    """Each file in turn is missing, cut or changed: verify names it, resume mends what it can."""
    changes = {
        "config.json": lambda path: path.write_text("{}"),
        "history.csv": lambda path: path.write_text("".join(path.read_text().splitlines(True)[:-1])),
        "evaluation.json": lambda path: path.write_text("[]"),
        ".checkpoint-00000050.npz.01234567.tmp": lambda path: path.write_text("half"),
    }
    for name, change in changes.items():
        change(run / name)
        status, said, last = verify(run, capsys)
        assert status == 1
        assert said[name].startswith("unfinished, " if name[0] == "." else "damaged, ")
        assert last == "take checkpoint.npz, because it is the newest"
        assert resume(run) == 0
        (run / "evaluation.json").unlink(missing_ok=True)
        assert verify(run, capsys)[0] == 0
    text = (run / "history.csv").read_text()
    value = text.splitlines()[1].split(",")[1]
    (run / "history.csv").write_text(text.replace(value, value[:-1] + "7" * (value[-1] != "7") + "8", 1))
    assert "its column train_loss is not that of the checkpoint" in verify(run, capsys)[1]["history.csv"]
    for name in ("config.json", "history.csv", "best.npz", "checkpoint.npz"):
        (run / name).unlink()
    status, said, last = verify(run, capsys)
    assert status == 1
    assert [said[name].split(",")[0] for name in ("config.json", "history.csv", "best.npz")] == ["missing"] * 3
    assert last == "take checkpoint-00000050.npz, because there is no checkpoint.npz"
    assert resume(run) == 0
    assert verify(run, capsys)[0] == 0


def test_folders_that_hold_no_run(tmp_path, run, capsys):
    assert main(["verify", str(tmp_path / "none")]) == 2
    assert "none is no folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    status, said, last = verify(tmp_path / "empty", capsys)
    assert status == 1
    assert list(said) == ["config.json"]
    assert last.startswith("refuse: run: ")
    shutil.copy(run / "config.json", tmp_path / "empty")
    assert verify(tmp_path / "empty", capsys)[2] == "begin again, because there is no checkpoint"


def test_copies_of_the_users_own_stay(run):
    """Whose names are alike, in training and under --overwrite."""
    mine = [
        run / name for name in ("checkpoint-good.npz", "checkpoint-7.npz", ".mine.npz.backup.tmp", "checkpoint-.npz")
    ]
    for path in mine:
        path.write_bytes(b"mine")
    assert resume(run, "--epochs", "4", "--keep", "1") == 0
    assert main(["train", *OPTIONS, "--out", str(run), "--overwrite"]) == 0
    assert [path.read_bytes() for path in mine] == [b"mine"] * len(mine)


@pytest.mark.parametrize("name", ["checkpoint.npz", "config.json", "best.npz", "history.csv"])
def test_a_folder_in_the_place_of_a_file_is_refused_before_training(name, run, capsys):
    (run / name).unlink()
    (run / name).mkdir()
    before, refused = sorted(run.iterdir()), f"{name} is a folder, and the run is to write a file there"
    assert main(["verify", str(run)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == f"resume would refuse: {refused}"
    assert resume(run, "--epochs", "4") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert sorted(run.iterdir()) == before


def test_a_model_in_the_place_of_a_checkpoint_is_passed_over(run, whole, capsys):
    """best.npz has no moments to go on with."""
    shutil.copy(run / "best.npz", run / "checkpoint.npz")
    status, said, last = verify(run, capsys)
    assert status == 1
    assert "moments" in said["checkpoint.npz"]
    assert last.startswith("take checkpoint-")
    assert resume(run) == 0
    assert_same_run(run, whole)


def test_a_folder_named_like_a_checkpoint_stays_and_ends_no_training(run):
    (run / "checkpoint-00000001.npz").mkdir()
    assert resume(run, "--epochs", "4", "--keep", "1") == 0
    assert main(["verify", str(run)]) == 0
    assert (run / "checkpoint-00000001.npz").is_dir()


def test_a_run_is_overwritten_only_where_there_is_room(run, monkeypatch, capsys):
    files = {path.name: path.read_bytes() for path in run.iterdir()}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1 << 30, 1 << 30, 1000))
    assert main(["train", *OPTIONS, "--out", str(run), "--overwrite"]) == 2
    assert "bytes free, expected at least 4,0" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in run.iterdir()} == files
    (run / "latent.png").write_bytes(bytes(5_000_000))
    assert main(["train", *OPTIONS, "--out", str(run), "--overwrite"]) == 0


def test_steps_of_more_than_eight_digits_are_in_order(tmp_path):
    for step in (99_999_999, 100_000_000, 20):
        (tmp_path / folder.EARLIER.format(step)).touch()
    assert [path.name[11:-4] for path in folder.earlier_checkpoints(tmp_path)] == ["100000000", "99999999", "00000020"]


def resume_on_a_bad_disk(run, keep, kill):
    """In a process of its own: the first flush of a new checkpoint is the last thing, or fails."""
    real = os.fsync

    def fsync(handle):
        if ".checkpoint.npz." in os.readlink(f"/proc/self/fd/{handle}"):
            if kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.EIO, "Input/output error")
        return real(handle)

    os.fsync = fsync
    raise SystemExit(resume(run, "--keep", str(keep)))


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="open files are found in /proc")
@pytest.mark.parametrize("keep", [1, 2, 3])
@pytest.mark.parametrize("kill", [True, False])
def test_the_file_gone_on_from_outlives_the_first_save(kill, keep, run, whole, monkeypatch):
    """Over and over: killed, or out of luck, while it writes the first checkpoint after a damaged newest one."""
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    damage(run / NAMES[0])
    for _ in range(2):
        process = processes.Process(target=resume_on_a_bad_disk, args=(run, keep, kill))
        process.start()
        process.join()
        assert process.exitcode == (-signal.SIGKILL if kill else 2)
        assert checkpoint.load_state(run / NAMES[1])[1].step == 50
    assert resume(run, "--keep", str(keep)) == 0
    assert_same_run(run, whole)


def test_a_checkpoint_that_may_not_be_read_is_not_given_up(run, monkeypatch, capsys):
    before = (run / "checkpoint.npz").read_bytes()
    monkeypatch.setattr(findings.os, "access", lambda path, mode: path.name != "checkpoint.npz")
    status, found, _ = verify(run, capsys)
    assert status == 1
    assert "closed, it may not be read" in found["checkpoint.npz"]
    assert resume(run, "--epochs", "4") == 2
    assert "checkpoint.npz: it may not be read, and may be whole" in capsys.readouterr().err
    assert (run / "checkpoint.npz").read_bytes() == before


def test_the_checkpoint_of_another_run_does_not_win_over_the_runs_own(run, tmp_path, capsys):
    other = tmp_path / "other"
    assert main(["train", *OPTIONS, "--seed", "5", "--out", str(other)]) == 0
    shutil.copy(other / "checkpoint.npz", run / "checkpoint.npz")
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    status, _, _ = verify(run, capsys)
    assert status == 1
    assert resume(run, "--epochs", "4") == 2
    line = "checkpoint.npz is of another run than config.json and checkpoint-00000050.npz: move it out of the folder"
    assert line in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    (run / "checkpoint.npz").unlink()
    assert resume(run, "--epochs", "4") == 0
