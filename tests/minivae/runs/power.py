"""A folder on a disk whose power may fail: what each operation leaves that `files.atomic` makes, and what may be left.

Names and contents reach such a disk when they are flushed. Until then any of the operations on the folder may be on it
and any may be missing, and a file that was not flushed may hold anything.
"""

import io
import itertools
import os
import stat
from pathlib import Path

from minivae.files import atomic

TORN = b"torn"


class Power:
    """Watches one folder while it is patched in, by `watch`.

    Parameters
    ----------
    folder : with the files that are on the disk at first
    at : before which operation, from 0, `do` is called with this object; what it raises is the operation's error

    done_at : the number of that operation, once it has come
    left : for each operation, and before the first, the set of folders that a kill or a loss of power then may leave;
        each a frozenset of (name, content)
    """

    def __init__(self, folder, at=None, do=None):
        self.folder, self._at, self._do, self.done_at = Path(folder), at, do, None
        self.now = {path.name: number for number, path in enumerate(sorted(self.folder.iterdir()))}
        self.content = {number: (self.folder / name).read_bytes() for name, number in self.now.items()}
        self._flushed, self._waiting = dict(self.now), []
        self._durable, self._handles = dict(self.content), {}
        self.left = []
        self._look()

    def watch(self, monkeypatch):
        for name in ("fsync", "replace", "link", "unlink"):
            monkeypatch.setattr(os, name, self._watched(getattr(self, f"_{name}"), getattr(os, name)))
        monkeypatch.setattr(atomic, "open", self._open, raising=False)

    def damage(self, name):
        """What lies under the name is no longer what was written, for every name that it has."""
        number = self.now[name]
        self.content[number] = self._durable[number] = TORN
        (self.folder / name).write_bytes(TORN)

    def _watched(self, note, real):
        def operation(*arguments, **options):
            self._before()
            done = real(*arguments, **options)
            note(*arguments)
            self._look()
            return done

        return operation

    def _before(self):
        if len(self.left) - 1 == self._at:
            self.done_at, self._at = self._at, None
            self._do(self)
            self.left[-1] = set()
            self._look_again()

    def _open(self, path, mode):
        if mode == "rb":
            return open(path, mode)
        self._before()
        power, number = self, len(self.content)
        self.content[number] = b""

        class File(io.FileIO):
            def write(self, content):
                power._before()
                start = self.tell()
                written = super().write(content)
                power.content[number] = power.content[number][:start] + bytes(content)
                power._look()
                return written

        raw = File(path, mode)
        self._handles[raw.fileno()] = number
        self._name(path, number)
        self._look()
        return io.BufferedWriter(raw)

    def _name(self, path, number):
        self._waiting.append({Path(path).name: number})
        self.now |= self._waiting[-1]

    def _fsync(self, handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            self._flushed, self._waiting = dict(self.now), []
        else:
            self._durable[self._handles[handle]] = self.content[self._handles[handle]]

    def _replace(self, source, target):
        self._waiting.append({Path(target).name: self.now[Path(source).name], Path(source).name: None})
        self.now |= self._waiting[-1]

    def _link(self, source, target):
        self._name(target, self.now[Path(source).name])

    def _unlink(self, path):
        self._name(path, None)

    def _look(self):
        self.left.append(set())
        self._look_again()

    def _look_again(self):
        """Whatever may be left now; names of unfinished files are none."""
        changes = [{name: number for name, number in change.items() if name[0] != "."} for change in self._waiting]
        changes = [change for change in changes if change]
        for there in itertools.product((False, True), repeat=len(changes)):
            names = dict(self._flushed)
            for change in itertools.compress(changes, there):
                names |= change
            self.left[-1].add(self._folder_of(names, self._durable))
        self.left[-1].add(self._folder_of(self.now, self.content))

    def _folder_of(self, names, content):
        shown = {name: number for name, number in names.items() if number is not None and name[0] != "."}
        return frozenset((name, content.get(number, TORN)) for name, number in shown.items())
