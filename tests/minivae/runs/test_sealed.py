"""Checkpoints that someone has changed and sealed again: a run goes on, or one short line names the file."""

import copy
import json
import shutil
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minivae.command.main import main
from minivae.files import stored
from minivae.runs.folder import as_history, read_config

from ..datasets.file_bytes import assert_time_grows_with_the_file, npy, rewrite
from .test_checkpoint import described, edited, packed, unpacked
from .tiny import TINY

LONG, LONGISH = "x" * 5000, "x" * 700


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two epochs, with early stopping, that goes on from within the second."""
    folder = tmp_path_factory.mktemp("sealed") / "run"
    options = ["--size", "96", "--epochs", "2", "--checkpoint-every", "2", "--early-stopping", "9"]
    assert main(["train", *TINY, *options, "--out", str(folder)]) == 0
    files = sorted(path for path in folder.glob("checkpoint-*.npz"))
    shutil.copy(files[-1], folder / "checkpoint.npz")
    for path in (*files, folder / "best.npz"):
        path.unlink()
    return folder


@pytest.fixture(scope="module")
def good(run):
    return (run / "checkpoint.npz").read_bytes()


@pytest.fixture
def outcome(run, good, capsys):
    """A function that resumes and evaluates a run with this checkpoint; the complaint, or None."""
    folder = run.parent / "tried"

    def attempt(content, *commands):
        complaints = []
        for command in commands or (["train", "--no-pictures", "--resume"], ["evaluate", "--backend", "numpy"]):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(run, folder)
            rewrite(folder / "checkpoint.npz", content)
            if command[0] == "train":
                (folder / "config.json").unlink()
            capsys.readouterr()
            status = main([*command, str(folder)])
            out, error = capsys.readouterr()
            assert status in (0, 2), command
            assert all(len(line) < 500 + len(str(folder)) for line in out.splitlines())
            if status:
                assert error.count("\n") == 1
                assert len(error) < 500 + len(str(folder)), error
                complaints.append(error)
        return complaints[0] if complaints else None

    return attempt


def array(**values):
    """Edits of arrays by name, in which __ stands for /."""
    return lambda good: packed(
        (unpacked(good) | {f"{name.replace('__', '/')}.npy": npy(value) for name, value in values.items()}).items()
    )


def history(**values):
    return array(**{f"history__{name}": value for name, value in values.items()})


HOSTILE = {
    "another column": history(mine=np.ones(1)),
    "a long name": history(**{LONG: np.ones(1)}),
    "part of the columns of validation": lambda good: packed(
        (name, content) for name, content in unpacked(good).items() if "active_units" not in name
    ),
    "no validation": lambda good: packed(
        (name, content)
        for name, content in unpacked(good).items()
        if not any(word in name for word in ("validation", "active_units", "kl_per_latent"))
    ),
    "three dimensions": history(train_loss=np.ones((1, 1, 1))),
    "booleans": history(train_loss=np.ones(1, bool)),
    "whole numbers": history(beta=np.ones(1, int)),
    "numbers for units": history(active_units=np.ones(1)),
    "a row for each latent missing": history(kl_per_latent=np.ones((1, 3))),
    "losses that are none": history(train_loss=np.array([np.nan])),
    "other epochs": history(epoch=np.array([7])),
    "texts": lambda good: packed([*unpacked(good).items(), ("history/train_loss2", LONG)]),
    "totals that are none": array(totals=np.full((2, 6), np.nan)),
    "infinite totals": array(totals=np.full((2, 6), np.inf)),
    "a bad step": array(totals=np.full((2, 6), 3.0)),
    "a moment that is none": lambda good: array(
        first__posterior=np.zeros(1), **{"first__posterior.bias": np.full(4, np.nan, "f4")}
    )(good),
    "many steps": lambda good: described(good, training__step=10**30),
    "many updates": lambda good: described(good, training__updates=2**60),
    "updates that are none": lambda good: described(good, training__updates=LONG),
    "another length of an epoch": lambda good: described(good, training__batches=2),
    "a step of another epoch": lambda good: described(good, training__step=77),
    "moments of another optimizer": lambda good: described(good, training__moments=["first"]),
    "moments twice": lambda good: described(good, training__moments=["first", "second", "first"] * 1000),
    "a long moment": lambda good: described(good, training__moments=[LONG]),
    "moments that are lists": lambda good: described(good, training__moments=[["first"]]),
    "another end": lambda good: described(good, training__stopped=LONG),
    "an end without the best": lambda good: described(good, training__stopped="early"),
    "finished, perhaps": lambda good: described(good, training__finished="yes"),
    "the best of an epoch to come": lambda good: described(good, training__best=9),
    "time that is none": lambda good: described(good, training__seconds=float("nan")),
    "no training": lambda good: described(good, training=LONG),
    "many draws": lambda good: described(good, model__samples=10**7),
    "draws that are none": lambda good: described(good, model__samples=LONG),
    "many layers": lambda good: described(good, model__hidden=[1] * 400_000),
    "a plan of many parts": lambda good: described(
        good, model__plan={f"encoder.{i}": [1, 1, "relu"] for i in range(10**5)}
    ),
    "a long argument": lambda good: described(good, **{f"model__{LONG}": 1}),
    "a long activation": lambda good: described(good, model__activation=LONG),
    "a large number": lambda good: described(good, model__features=10**4000),
    "a long part": lambda good: described(good, model__plan={LONG: [2, 8, "relu"]}),
    "no configuration": lambda good: described(good, extra={}),
    "a configuration that is none": lambda good: described(good, extra__config=[LONG]),
    "a long choice": lambda good: described(good, extra__config__training__schedule=LONG),
    "a long batch": lambda good: described(good, extra__config__training__batch_size=LONG),
    "a choice that is not known": lambda good: described(good, **{f"extra__config__model__{LONG}": 1}),
    "a list for what another optimizer takes": lambda good: described(good, extra__config__training__momentum=[]),
    "another rate": lambda good: described(good, extra__config__training__learning_rate=-1.0),
    "another number of epochs": lambda good: described(good, extra__config__training__epochs=0),
    "another backend": lambda good: described(good, extra__config__backend=LONG),
    "a long version": lambda good: described(good, version=LONG),
    "a long member": lambda good: edited(good, LONG, b""),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_the_line_names_the_file(good, outcome, kind):
    complaint = outcome(HOSTILE[kind](good), ["train", "--no-pictures", "--resume"])
    assert complaint
    assert "checkpoint.npz: " in complaint
    assert "x" * 400 not in complaint


def test_what_was_not_changed_goes_on(good, outcome):
    assert outcome(packed(unpacked(good).items())) is None


def test_memory_is_in_proportion_to_the_file(good, outcome):
    """Ten million draws, many layers, a thousand claims of moments."""
    for kind in ("many draws", "many layers", "moments twice"):
        content = HOSTILE[kind](good)
        tracemalloc.start()
        try:
            assert outcome(content, ["evaluate", "--backend", "numpy"]) or kind == "moments twice"
            assert tracemalloc.get_traced_memory()[1] < (8 << 20) + 30 * len(content), kind
        finally:
            tracemalloc.stop()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, -1, 2, 10**9, 2**63, 10**400, LONGISH, [], {}, [LONGISH], "numpy", "early"])
    | st.floats()
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
ARRAYS = st.builds(
    lambda dtype, shape, value: np.full(shape, value if dtype[0] == "f" else 7).astype(dtype),
    st.sampled_from(["f4", "f8", "i8", "u1", "?"]),
    st.lists(st.integers(1, 8), min_size=1, max_size=3),
    st.sampled_from([0, 1, 7, -1, 1e30, float("nan"), float("inf")]),
)


def places(entry, path=()):
    """The paths of all that is in a description, but for how long to train."""
    for key, value in entry.items() if isinstance(entry, dict) else ():
        if key != "epochs":
            yield (*path, key)
        yield from places(value, (*path, key))


EDITS = st.tuples(st.integers(0, 200), st.booleans(), VALUES)
NAMES = st.sampled_from(["same", "none", "history/mine.npy", f"parameter/{LONGISH}.npy"])


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of the checkpoint's bytes
@given(entries=st.lists(EDITS, max_size=2), arrays=st.lists(st.tuples(st.integers(0, 99), ARRAYS, NAMES), max_size=2))
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_change_gives_a_run_or_one_line(good, outcome, entries, arrays):
    """Entries of the description, arrays and names are replaced and dropped; only data and a divergence are called by
    their own names.
    """
    members = unpacked(good)
    description = json.loads(members["description"])
    paths = list(places(description))
    for place, keep, value in entries:
        *outer, last = paths[place % len(paths)]
        at = description
        for key in outer:
            at = at.get(key) if isinstance(at, dict) else None
        if isinstance(at, dict):
            at.pop(last, None)
            at |= {last: copy.deepcopy(value)} if keep else {}
    names = sorted(members.keys() - {"description"})
    for place, array, other in arrays:
        name = names[place % len(names)]
        members.pop(name, None)
        if other != "none":
            members[name if other == "same" else other] = npy(array)
    members["description"] = json.dumps(description)
    complaint = outcome(packed(members.items()), ["train", "--no-pictures", "--resume"])
    if complaint:
        places_named = "checkpoint.npz: ", "error: data: ", "the loss became", "a parameter became"
        assert any(words in complaint for words in places_named), complaint


# What the readers of a run folder take or refuse, at any length: (the file, its content for a count).
GROWING = {
    "rows of a history": ("history.csv", lambda count: "epoch,train_loss\n" + "1,0.5\n" * count),
    "columns of a history": ("history.csv", lambda count: "epoch" + ",x" * count + "\n1" + ",2" * count),
    "digits": ("history.csv", lambda count: "epoch,x\n1," + "7" * count + "x"),
    "quotes": ("history.csv", lambda count: "epoch,x\n1," + '""' * count),
    "digits of a choice": ("config.json", lambda count: '{"model": ' + "7" * count + "}"),
    "words of a choice": ("config.json", lambda count: '{"model": {}, "backend": "' + "x\\n" * count + '"}'),
    "levels": ("config.json", lambda count: "[" * count),
    "choices": ("config.json", lambda count: json.dumps({f"x{i}": i for i in range(count)})),
    "a description": ("checkpoint.npz", lambda count: {"description": json.dumps({"x": [1] * count})}),
    "members": ("checkpoint.npz", lambda count: {"description": "{}"} | {f"x{i}.npy": b"" for i in range(count // 8)}),
}


@pytest.mark.parametrize("kind", GROWING)
def test_the_time_of_reading_grows_with_the_file_and_not_with_its_square(kind, tmp_path):
    name, content = GROWING[kind]
    read = {"history.csv": as_history, "config.json": read_config}.get(name)

    def made(count):
        found = content(count)
        return found.encode() if isinstance(found, str) else packed(found.items())

    def look(path):
        return read(tmp_path) if read else stored.read(path)

    assert_time_grows_with_the_file(tmp_path / name, made, look, 10_000)
