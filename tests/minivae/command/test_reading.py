"""How data are read that are given to a run: by what was said at its training, or by options of each command."""

import json
import re

import numpy as np
import pytest

from minivae.command.main import main

from .test_after_training import BASE, encoded, read, write_table


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The current folder has a table, an array of its rows and a run on that array."""
    with pytest.MonkeyPatch.context() as patched:
        home = tmp_path_factory.mktemp("reading")
        patched.chdir(home)
        np.save("array.npy", values := np.random.default_rng(0).normal(size=(40, 4)).round(3))
        write_table(home / "table.csv", values, np.arange(40) % 3)
        assert main(["train", "--data", "array.npy", *BASE, "--out", "array"]) == 0
        yield home


# Files of the rows of table.csv that none can be told to be: what settles how each is read.
READINGS = {
    "other.csv": (["--drop", "note"], "a;b;c;d;note\n{};x", "got 'x', .*--drop"),
    "bare.csv": (["--drop", "-1"], "{};x", "got 'x', .*--drop"),
    "kinds.csv": (["--labels", "sort"], "a;b;c;d;sort\n{};x", "got 'x', .*--label"),
    "greek.csv": (["--encoding", "cp1253", "--drop", "β"], "a;b;c;d;β\n{};7", "not UTF-8', .*--encoding"),
    "names.csv": (["--header"], "1;2;3;4\n{}", "got 1, 2, ..., .*--header"),
    "bars.csv": (["--delimiter", "|"], "a|b|c|d\n{}", None),
}


@pytest.mark.parametrize("name", READINGS)
def test_others_are_read_as_options_say(home, name, capsys):
    """By every command that takes data, whatever the run's own are, and not without these options."""
    options, form, message = READINGS[name]
    lines = (home / "table.csv").read_text().splitlines()[1:]
    head, _, line = form.rpartition("\n")
    rows = [line.format(row.rpartition(";")[0]) for row in lines]
    text = "\n".join([head, *rows] if head else rows)
    (home / name).write_bytes((text.replace(";", "|") if "|" in form else text).encode("cp1253"))
    encoded("array", "-o", "all.npy")
    encoded("array", "--data", name, *options, "-o", "o.npy")
    np.testing.assert_allclose(np.load("o.npy"), np.load("all.npy"), rtol=1e-5, atol=1e-6)
    for command in (
        ["evaluate", "array"],
        ["reconstruct", "array", "-o", "o.npy"],
        ["sample", "array", "--interpolate", "0", "1", "-o", "o.npy"],
        ["explore", "array", "--no-open", "-o", "o.html"],
        ["encode", "array", "-o", "o.npy"],
    ):
        assert main([*command, "--data", name, *options]) == 0
        capsys.readouterr()
        if message:
            assert main([*command, "--data", name]) == 2
            assert re.search(message, capsys.readouterr().err)


def test_the_encoding_of_a_run_is_kept(home, capsys):
    """For its own data, also when it goes on, and for others that are in it, or in UTF-8."""
    text = "λ;θ;kind\n" + "".join(f"{i / 8};{i % 3 / 2};{'πδ'[i % 2]}\n" for i in range(20))
    for name, encoding in (("own.csv", "cp1253"), ("again.csv", "cp1253"), ("utf.csv", "utf-8")):
        (home / name).write_bytes((text if name == "own.csv" else text.replace(";0.0;", ";0.25;")).encode(encoding))
    given = ["--label", "kind", "--delimiter", ";"]
    assert main(["train", "--data", "own.csv", *given, *BASE, "--out", "greek"]) == 2
    assert "expected encoding= (--encoding) to say" in capsys.readouterr().err
    assert main(["train", "--data", "own.csv", *given, "--encoding", "cp1253", *BASE, "--out", "greek"]) == 0
    assert main(["train", "--resume", "greek", "--epochs", "3"]) == 0
    encoded("greek", "-o", "own_l.csv")
    labels = []
    for name in ("again.csv", "utf.csv"):
        encoded("greek", "--data", name, "-o", "l.csv")
        labels.append(read("l.csv")["label"])
    assert labels == [["π", "δ"] * 10] * 2 == [read("own_l.csv")["label"]] * 2
    encoded("greek", "--data", "again.csv", "--encoding", "cp1251", status=2)
    assert "expected those of the run, 'λ', 'θ'" in capsys.readouterr().err
    moved = (home / "own.csv").rename(home / "moved.csv")
    assert main(["train", "--resume", "greek", "--epochs", "4", "--data", "moved.csv", "--encoding", "iso8859-7"]) == 0
    assert json.loads((home / "greek" / "config.json").read_text())["data"]["encoding"] == "iso8859-7"
    assert main(["sample", "greek", "--encoding", "cp1253"]) == 2
    assert "--encoding: got 'cp1253', expected --interpolate, or --traverse --at" in capsys.readouterr().err
    moved.write_bytes(text.encode())  # in place of its own, as people mend a table
    for given in [], ["--data", "moved.csv"]:
        encoded("greek", *given, "-o", "anew.csv")
        assert [read("anew.csv")[name] == read("own_l.csv")[name] for name in ("part", "label")] == [True, True]
    encoded("greek", "--encoding", "ascii", status=2)  # what is said holds


def test_whole_numbers_that_an_earlier_version_took_for_a_feature_are_one_in_its_runs(home, capsys):
    """Without an option, by every command, and as the run's own data: they are known by their fingerprint."""
    lines = (home / "table.csv").read_text().replace("label", "class")
    (home / "classes.csv").write_text(lines)
    assert main(["train", "--data", "classes.csv", "--label", "", *BASE, "--out", "earlier"]) == 0
    encoded("earlier", "-o", "now.npy")
    config = json.loads((home / "earlier" / "config.json").read_text())
    config["data"]["label"] = None  # as it was written
    (home / "earlier" / "config.json").write_text(json.dumps(config))
    encoded("earlier", "-o", "then.npy")
    np.testing.assert_array_equal(np.load("then.npy"), np.load("now.npy"))
    for given in [], ["--data", "classes.csv"]:
        assert main(["evaluate", "earlier", *given]) == 0
        result = json.loads((home / "earlier" / "evaluation.json").read_text())
        assert (result["own_data"], result["examples"]) == (True, 4)
    capsys.readouterr()
    assert main(["encode", "earlier", "--array", "x"]) == 2
    line = capsys.readouterr().err.strip()
    assert line.endswith("data: array: got 'x', expected an NPZ file with it; classes.csv is a table")
    assert main(["train", "--resume", "earlier", "--epochs", "3"]) == 0
