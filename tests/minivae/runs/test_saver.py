"""A model check of the saver: every order of damage, crash and failed write about two saves, for 1 to 3 kept files."""

import errno
import itertools
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

import minivae as mv
from minivae.runs import checkpoint, findings
from minivae.runs.config import Config, Data, Model, Training
from minivae.runs.saver import Saver

from .power import TORN, Power

LOOK = findings.look


class Folders:
    """Lives of a run whose state is saved after every step, in folders that begin with given files."""

    def __init__(self, path):
        self._path, self._numbers, self._known, self._looked = path, itertools.count(), {}, {}
        self._model, self._states = mv.VAE(2, 1, (), backend="numpy"), []
        data = np.random.default_rng(0).random((4, 2))
        options = {"validation": data, "epochs": 5, "batch_size": 2, "checkpoint_steps": 1}
        mv.fit(self._model, data, on_checkpoint=self._states.append, **options)
        self._config = Config(Data(fingerprint=""), Model(features=2), Training(), "numpy").to_json()

    def make(self, files):
        path = self._path / str(next(self._numbers))
        path.mkdir()
        for name, content in files:
            (path / name).write_bytes(content)
        return path

    def _find(self, files):
        if files not in self._known:
            path = self.make(files)
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(findings, "look", self._look)
                found = findings.choose(path)
            self._known[files] = found.whole, found.taken.step if found.taken else 0, found.best and found.best.whole
        return self._known[files]

    def _look(self, file, to_go_on=False):
        """As `findings.look`, once for each content."""
        key = file.name, to_go_on, file.read_bytes()
        if key not in self._looked:
            self._looked[key] = LOOK(file, to_go_on)
        return self._looked[key]

    def whole(self, files):
        return self._find(files)[0]

    def step(self, files):
        """Of the checkpoint that `--resume` takes in a folder of these files, 0 where it can take none."""
        return self._find(files)[1]

    def best(self, files):
        """Whether best.npz is whole."""
        return self._find(files)[2]

    def live(self, monkeypatch, files, keep, saves=2, at=None, do=None, again=False):
        """A `Power` that watched a resumed run save so many states, and whether an error ended it.

        again : the first of them is the state that the run went on from, as where it is interrupted at once
        """
        begin, path = self.step(files) - again, self.make(files)
        power = Power(path, at, do)
        with monkeypatch.context() as patched:
            power.watch(patched)
            try:
                with Saver(path, self._model, self._config, keep, self.whole(files)) as saver:
                    for state in self._states[begin : begin + saves]:
                        saver(state)
            except (OSError, ValueError):
                return power, True
        return power, False

    def begun(self, monkeypatch, keep):
        """The files of a run after five saves that nothing happened to."""
        return self.files(self.live(monkeypatch, frozenset(), keep, saves=5)[0].folder)

    @staticmethod
    def files(path):
        return frozenset((file.name, file.read_bytes()) for file in path.iterdir())


@pytest.fixture(scope="module")
def folders():
    """In memory where there is such a place: on a disk most of the time would go into removing files."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as path:
        yield Folders(Path(path))


def damaged(files, counts):
    """The files with so many checkpoints damaged, each choice of them."""
    names = sorted(name for name, _ in files if name.startswith("checkpoint"))
    for count in counts:
        for chosen in itertools.combinations(names, count):
            yield frozenset((name, TORN if name in chosen else content) for name, content in files)


def expect_safe(folders, power):
    """What could be gone on from stays so, whatever is left, at every moment; best.npz is never half-written."""
    safe, best = 0, folders.best(next(iter(power.left[0])))
    for number, left in enumerate(power.left):
        least = min(map(folders.step, left))
        assert least >= safe or number == power.done_at, f"step {least} after operation {number}, where {safe} was safe"
        safe = least
        assert not best or all(map(folders.best, left)), f"best.npz after operation {number}"
    return safe


def expect_saved(folders, power):
    """The same where a life ended without an error: all that is kept is whole. The last step and how many are kept."""
    end, files = expect_safe(folders, power), folders.files(power.folder)
    kept = [name for name, _ in files if name.startswith("checkpoint")]
    assert set(kept) == set(folders.whole(files))
    return end, len(kept)


BEGUN = [(before, keep) for before in (1, 2, 3) for keep in (1, 2, 3)]


@pytest.mark.parametrize(("before", "keep"), BEGUN)
def test_a_crash_at_any_operation_after_any_damage(before, keep, folders, monkeypatch):
    """Two saves by a run that kept `before` checkpoints until it was resumed with `keep`.

    From all that a crash may leave, with one more file damaged, come two more.
    """
    starts = [files for files in damaged(folders.begun(monkeypatch, before), range(before)) if folders.step(files)]
    assert len(starts) == 2**before - 1
    found = set()
    for files in starts:
        for again in (False, True):
            power, failed = folders.live(monkeypatch, files, keep, again=again)
            assert not failed
            end, kept = expect_saved(folders, power)
            assert end == folders.step(files) + 2 - again
            assert kept == min(keep, len(folders.whole(files)) + 2 - again)
            found |= set().union(*power.left)
    seconds = {after for files in found for after in damaged(files, (0, 1)) if folders.step(after)}
    for files in seconds:
        power, failed = folders.live(monkeypatch, files, keep)
        assert not failed
        assert expect_saved(folders, power)[0] == folders.step(files) + 2


@pytest.mark.parametrize(("before", "keep"), BEGUN)
def test_an_error_at_any_operation_after_any_damage(before, keep, folders, monkeypatch):
    def fail(power):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for files in damaged(folders.begun(monkeypatch, before), range(before)):
        for at in itertools.count():
            power, _ = folders.live(monkeypatch, files, keep, at=at, do=fail)
            expect_safe(folders, power)
            if power.done_at is None:
                break
        assert at > 15


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_damage_between_the_saves(keep, folders, monkeypatch):
    for files in damaged(folders.begun(monkeypatch, keep), range(keep)):
        power, _ = folders.live(monkeypatch, files, keep, saves=1)
        names, at = [path.name for path in power.folder.glob("checkpoint*")], len(power.left) - 1
        for name in names:
            power, failed = folders.live(
                monkeypatch, files, keep, at=at, do=lambda power, name=name: power.damage(name)
            )
            assert not failed
            assert power.done_at == at
            assert expect_safe(folders, power) == folders.step(files) + 2


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_a_disk_that_keeps_something_else_than_was_written(keep, folders, monkeypatch):
    """Where the newest checkpoint was damaged, the next is read back before the file gone on from is given up."""
    newest_damaged = next(files for files in damaged(folders.begun(monkeypatch, 2), [1]) if folders.step(files) == 4)
    save = checkpoint.save

    def damaging(path, *arguments):
        save(path, *arguments)
        path.write_bytes(path.read_bytes()[:-100])

    monkeypatch.setattr(checkpoint, "save", damaging)
    power, failed = folders.live(monkeypatch, newest_damaged, keep)
    assert failed
    assert folders.step(folders.files(power.folder)) == 4
