"""How much memory there is, asked before it is taken: a system that runs out of it kills the process without a word."""

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import expect

ASKED_FROM = 1 << 26  # bytes; what is smaller is taken without asking
MOST_LAYERS = 1000  # hidden layers; a list is measured before anything is made of it
MOST_DRAWS = 100_000  # of z for each example

CGROUPS = Path("/sys/fs/cgroup")


def available() -> int | None:
    """Bytes that can still be taken: what the system has free, or a container's limit; None where neither is known."""
    known = [room for room in (_of_system(), *_of_containers()) if room is not None]
    return min(known, default=None)


def _of_system():
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) << 10
    except (OSError, KeyError, ValueError):  # another system than Linux: what is installed is a bound
        try:
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            return None


def _of_containers():
    """What is left under each limit that a control group of Linux sets; what caches files can be let go."""
    for limit, usage in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        for folder in _groups():
            try:
                most, taken = (int((folder / name).read_text()) for name in (limit, usage))
                state = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                yield most - taken + int(state.get("total_inactive_file") or state.get("inactive_file") or 0)
            except (OSError, ValueError):  # there is no limit, or none of this version
                continue


def _groups():
    """The folders of this process's control group and of those around it."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds == "" or "memory" in kinds.split(","):
            root = CGROUPS / "memory" if kinds else CGROUPS
            group = root / path.lstrip("/")
            yield from (group, *(folder for folder in group.parents if folder.is_relative_to(root)))
            yield root  # a container sees its own group there, whatever the path says


def expect_room(name: str, got: object, needed: int) -> None:
    """Raises ValueError, naming an argument, unless so many bytes can be had."""
    if needed > ASKED_FROM and (room := available()) is not None:
        need = f"what fits in memory: it needs {needed / 1e9:,.1f} GB, {max(room, 0) / 1e9:,.1f} GB are available"
        expect(needed <= room, name, got, need)


def expect_room_for_model(
    features: int, latent: int, hidden: Sequence[int], decoder_hidden: Sequence[int], dtype: str
) -> None:
    """The same for the parameters of a model of dense layers, their gradients, and what making them takes besides;
    the argument that is named is the one with the largest number.
    """
    widths = {"features": [features], "latent": [latent], "hidden": hidden, "decoder_hidden": decoder_hidden}
    chains = (features, *hidden, 2 * latent), (latent, *decoder_hidden, features)
    numbers = sum((inputs + 1) * outputs for chain in chains for inputs, outputs in pairwise(chain))
    name = max(widths, key=lambda name: max(widths[name], default=0))
    expect_room(name, max(widths[name]), 3 * numbers * np.dtype(dtype).itemsize)


def expect_room_to_train(model: Any, moments: int, batch_size: int) -> None:
    """The same for what training takes besides the model: moments, two copies of the state, a proof that a step can be
    replayed (see `training.replay`), and a pass.
    """
    if model.backend.on_host:
        state, rows = (5 + 4 * moments) * model.store.flat.nbytes, pass_bytes(model, batch_size)
        if rows > state:
            name = "batch_size" if model.draws == 1 else "batch_size * draws"
            expect_room(name, batch_size * model.draws, state + rows)
        expect_room("model", f"{model.store.flat.size:,} parameters", state + rows)


def pass_bytes(model: Any, rows: int) -> int:
    """What a pass down and up takes for so many examples: what layers put out, and its gradients."""

    def widths(chain):
        return 2 * sum(getattr(layer, "outputs", 0) for layer in chain.layers)

    numbers = rows * (model.features + widths(model.encoder) + 6 * model.latent)
    numbers += rows * model.draws * (3 * model.latent + widths(model.decoder))
    return numbers * np.dtype(model.dtype).itemsize
