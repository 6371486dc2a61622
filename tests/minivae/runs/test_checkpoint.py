"""Checkpoint files: whole or refused, whatever their bytes are, and at no cost in memory."""

import hashlib
import io
import json
import os
import tracemalloc
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivae as mv
from minivae.command.main import main
from minivae.files import archive
from minivae.runs import checkpoint

from ..datasets.file_bytes import npy, npy_claiming, rewrite
from .tiny import assert_same_state

SMALL = {"features": 2, "latent": 1, "hidden": (), "backend": "numpy"}


def trained(**options):
    """A model and a state of its training."""
    model, states = mv.VAE(**(SMALL | options)), []
    data = np.random.default_rng(0).random((6, 2))
    mv.fit(model, data, validation=data, epochs=2, batch_size=2, on_checkpoint=states.append, checkpoint_steps=2)
    return model, states[2]  # after step 4, within epoch 2


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of a small checkpoint with a state."""
    path = tmp_path_factory.mktemp("good") / "c.npz"
    checkpoint.save(path, *trained(), extra={"note": "mine"})
    return path.read_bytes()


def sealed(content):
    """The bytes of an archive with the checksum that belongs to them: what someone who means harm would make."""
    digest = hashlib.sha256(content[: -archive.TRAILER] + b"0" * archive.TRAILER)
    return content[: -archive.TRAILER] + archive.PREFIX + digest.hexdigest().encode()


def packed(members, method=zipfile.ZIP_STORED, seal=True):
    """An archive of raw members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.comment = b"0" * archive.TRAILER
        for name, content in members:
            file.writestr(zipfile.ZipInfo(name), content, method)
    return sealed(buffer.getvalue()) if seal else buffer.getvalue()


def unpacked(content):
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def refusal(path, content):
    """The one line that a file of this content ends in, or None if it is taken."""
    rewrite(path, content)
    try:
        checkpoint.load_state(path, "numpy")
    except ValueError as error:
        message = str(error)
        assert message.startswith(str(path)), message
        assert "\n" not in message
        assert len(message) < 600
        return message
    return None


def test_what_is_saved_is_loaded(tmp_path):
    model, state = trained()
    checkpoint.save(tmp_path / "c.npz", model, state, extra={"note": "mine"})
    again, loaded, extra = checkpoint.load_state(tmp_path / "c.npz")
    assert extra == {"note": "mine"}
    assert again.config == model.config
    assert_same_state(loaded, state, model)
    assert loaded.totals.tolist() == state.totals.tolist()
    np.testing.assert_array_equal(again.store.flat, state.parameters)
    # any reader of npz files can look into it, and the same contents give the same bytes
    with np.load(tmp_path / "c.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["parameter/posterior.bias"], again.parameters["posterior.bias"])
        assert json.loads(file["description"])["training"]["step"] == 4
    checkpoint.save(tmp_path / "d.npz", again, loaded, extra={"note": "mine"})
    assert (tmp_path / "d.npz").read_bytes() == (tmp_path / "c.npz").read_bytes()


@pytest.mark.parametrize("options", [{"beta": 0.25}, {"objective": "iwae", "samples": 2}])
def test_totals_without_the_sum_of_losses_are_loaded(options, tmp_path):
    """As they were stored while beta was a constant: (2, 5)."""
    model, state = trained(**options)
    checkpoint.save(tmp_path / "old.npz", model, replace(state, totals=state.totals[:, :5]))
    loaded = checkpoint.load_state(tmp_path / "old.npz", "numpy")[1]
    assert loaded.totals.shape == (2, 6)
    np.testing.assert_array_equal(loaded.totals[:, :5], state.totals[:, :5])
    np.testing.assert_allclose(loaded.totals[:, 5], state.totals[:, 5], rtol=1e-14)


def test_a_checkpoint_that_is_replaced_while_it_is_opened_is_read(good, tmp_path, monkeypatch):
    """As one of a training that goes on: the new one may be longer."""
    (tmp_path / "c.npz").write_bytes(good)
    (tmp_path / "new.npz").write_bytes(described(good, extra={"more": 1}))
    stat = os.stat

    def late(*arguments, **options):
        found = stat(*arguments, **options)
        if os.path.lexists(tmp_path / "new.npz"):
            os.replace(tmp_path / "new.npz", tmp_path / "c.npz")
        return found

    monkeypatch.setattr(os, "stat", late)
    assert checkpoint.load_state(tmp_path / "c.npz", "numpy")[2] == {"more": 1}


def test_every_truncation_is_refused(good, tmp_path):
    mv.VAE(**SMALL).save(tmp_path / "c.npz")
    small = (tmp_path / "c.npz").read_bytes()
    for length in range(len(small)):
        assert "state" not in refusal(tmp_path / "c.npz", small[:length]), length
    assert refusal(tmp_path / "c.npz", good) is None
    for length in range(0, len(good), 13):
        assert refusal(tmp_path / "c.npz", good[:length]), length


def test_every_flipped_bit_is_refused(tmp_path):
    """No file that differs in one bit from what was saved is loaded, wherever the bit is."""
    path = tmp_path / "c.npz"
    mv.VAE(**SMALL).save(path)
    content = bytearray(path.read_bytes())
    assert len(content) < 4000
    for place in range(len(content)):
        for bit in range(8):
            content[place] ^= 1 << bit
            rewrite(path, content)
            with pytest.raises(ValueError, match=r"c\.npz: "):
                mv.VAE.load(path, "numpy")
            content[place] ^= 1 << bit


def test_every_flipped_bit_under_a_new_checksum_is_survived(tmp_path):
    """The reader behind the checksum, for files that someone has sealed: a model or one line, nothing else."""
    mv.VAE(**SMALL).save(tmp_path / "c.npz")
    content = (tmp_path / "c.npz").read_bytes()
    for place in range(0, len(content) - archive.TRAILER):
        changed = content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]
        refusal(tmp_path / "c.npz", sealed(changed))


@given(
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(max_size=8)), min_size=1, max_size=4),
    seal=st.booleans(),
)
@settings(max_examples=300)
def test_random_damage_is_survived(good, edits, seal, tmp_path_factory):
    content = good
    for place, removed, inserted in edits:
        start = round(place * len(content))
        content = content[:start] + inserted + content[start + removed :]
    refused = refusal(tmp_path_factory.getbasetemp() / "c.npz", sealed(content) if seal else content)
    assert refused or seal or content == good


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(entry=st.sampled_from(["model", "training"]), place=st.integers(0, 30), value=JSON, drop=st.booleans())
@settings(max_examples=100)
def test_any_description_is_survived(good, entry, place, value, drop, tmp_path_factory):
    members = unpacked(good)
    description = json.loads(members["description"])
    keys = sorted(description[entry])
    if drop:
        del description[entry][keys[place % len(keys)]]
    else:
        description[entry][keys[place % len(keys)]] = value
    members["description"] = json.dumps(description)
    refusal(tmp_path_factory.getbasetemp() / "d.npz", packed(members.items()))


HUGE = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000000000)}"


def edited(good, name, value):
    return packed((unpacked(good) | {name: value}).items())


def described(good, **changes):
    members = unpacked(good)
    description = json.loads(members["description"])
    for path, value in changes.items():
        at = description
        *outer, last = path.split("__")
        for key in outer:
            at = at[key]
        at[last] = value
    return packed((members | {"description": json.dumps(description)}).items())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda good: b"", "is empty"),
        (lambda good: b"not a zip" * 100, "damaged or unreadable"),
        (lambda good: good[:-1] + b"x", "checksum does not match"),
        (lambda good: edited(good, "totals.npy", npy(np.array([None]))), r"got NPY type '\|O'"),
        (lambda good: edited(good, "totals.npy", npy_claiming(HUGE)), "needs .* bytes, 0 follow"),
        (lambda good: edited(good, "totals.npy", npy(np.zeros(4))), r"totals: got float64 \(4,\), expected"),
        (lambda good: edited(good, "parameter/posterior.bias.npy", npy(np.zeros(2))), "expected 'float32'"),
        (lambda good: edited(good, "parameter/posterior.bias.npy", b""), "truncated|damaged"),
        (
            lambda good: edited(good, "history/epoch.npy", npy(np.arange(1, 3))),
            r"history/.*: got float64 of shape \(1,\), expected numbers of shape \(2,\)",
        ),
        (lambda good: edited(good, "first/posterior.bias.npy", npy(np.zeros(3, "f4"))), "first/posterior.bias"),
        (lambda good: edited(good, "description", "[" * 100_000), "not a minivae checkpoint"),
        (lambda good: edited(good, "description", "{}"), "not a minivae checkpoint"),
        (lambda good: edited(good, "description", b"\xff"), "not text in utf-8"),
        (lambda good: described(good, version=3), "got checkpoint version 3, expected 1 to 2"),
        (lambda good: described(good, version=0), "got checkpoint version 0, expected 1 to 2"),
        (lambda good: described(good, format="another"), "version 2, expected|not a minivae"),
        (lambda good: described(good, model__features=10**12), "got float32 .* expected 'float32'"),
        (lambda good: described(good, model__features=-2), "expected 'float32'"),
        (lambda good: described(good, model__hidden=[10**9, 10**9]), "got nothing, expected"),
        (lambda good: described(good, model__activation="system"), "activation: got 'system'"),
        (lambda good: described(good, model__nonsense=1), "describes no model that this version can build"),
        (lambda good: described(good, model__dtype="object"), "got float32"),
        (lambda good: described(good, training__step=-1), "step: got -1"),
        (lambda good: described(good, training__step=True), "step: got True"),
        (lambda good: described(good, training__moments=["first", "absent"]), "absent/posterior.weight: got nothing"),
        (lambda good: described(good, training=None), "the state of training is damaged"),
        (lambda good: packed(unpacked(good).items(), zipfile.ZIP_DEFLATED), "unsupported zip compression method 8"),
        (lambda good: packed(unpacked(good).items(), seal=False), "checksum"),
        (lambda good: packed([*unpacked(good).items(), ("totals.npy", npy(np.zeros(5)))]), "holds 'totals' twice"),
        (lambda good: packed([*unpacked(good).items(), ("surplus", "text")]), "a text besides its description"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_refuses(good, make, message, tmp_path):
    refused = refusal(tmp_path / "c.npz", make(good))
    assert refused
    with pytest.raises(ValueError, match=message):
        raise ValueError(refused)


def test_a_hostile_file_costs_no_memory(good, tmp_path):
    """Headers that claim terabytes, a bomb of 64 MB in 64 kB, models of 10^18 parameters, many names for one member."""
    bomb = packed([("description", "{}"), ("x.npy", npy(np.zeros(1 << 23)))], zipfile.ZIP_DEFLATED)
    overlapping = io.BytesIO()
    with zipfile.ZipFile(overlapping, "w") as file:
        file.comment = b"0" * archive.TRAILER
        file.writestr("a", b"0" * 100_000)
        first = file.filelist[0]
        for number in range(1000):
            other = zipfile.ZipInfo(f"{number}")
            for field in ("CRC", "compress_size", "file_size", "header_offset"):
                setattr(other, field, getattr(first, field))
            file.filelist.append(other)
    contents = [edited(good, "totals.npy", npy_claiming(HUGE)), bomb, sealed(overlapping.getvalue())]
    contents += [described(good, model__features=10**18), described(good, model__hidden=[10**9] * 1000)]
    refusal(tmp_path / "c.npz", good)
    tracemalloc.start()
    try:
        for content in contents:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            assert refusal(tmp_path / "c.npz", content)
            assert tracemalloc.get_traced_memory()[1] - before < 4 << 20
    finally:
        tracemalloc.stop()


def version_1(path, model):
    """A file as version 1 wrote it."""
    arrays = {f"parameter/{name}": value for name, value in model.parameters.items()}
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype.str} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]))
    description = {"format": "minivae checkpoint", "version": 1, "model": model.config, "extra": {}}
    description |= {"optimizer": {"name": "Adam", "steps": 3}, "sha256": digest.hexdigest()}
    np.savez(path, description=np.array(json.dumps(description)), **arrays)


def test_version_1_is_read(tmp_path):
    model = mv.VAE(**SMALL, seed=4)
    version_1(tmp_path / "old.npz", model)
    np.testing.assert_array_equal(mv.VAE.load(tmp_path / "old.npz").store.flat, model.store.flat)
    with pytest.raises(ValueError, match=r"old\.npz: holds a model and no state of its training"):
        checkpoint.load_state(tmp_path / "old.npz")
    content = (tmp_path / "old.npz").read_bytes()
    for length in range(0, len(content), 7):
        assert refusal(tmp_path / "old.npz", content[:length])


def test_the_command_line_says_it_in_one_line(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.npz").write_bytes(b"PK\x05\x06 not a zip")
    for command in (["train", "--resume"], ["evaluate"]):
        assert main([*command, str(tmp_path / "run")]) == 2
        assert capsys.readouterr().err.count("\n") == 1
