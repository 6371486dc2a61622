"""What the pictures of a run say is what its table says."""

import csv

import numpy as np
import pytest

from minivae import plotting
from minivae.command.main import main
from minivae.runs import pictures


@pytest.fixture
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("unit.npy", np.random.default_rng(0).random((200, 4)) ** 3)
    return tmp_path


BASE = ["train", "--data", "unit.npy", "--test-fraction", "0.4", "--hidden", "8", "--latent", "3", "--backend", "numpy"]
BASE += ["--batch-size", "16", "--out", "run"]


@pytest.mark.parametrize(
    "options",
    [
        ["--epochs", "2", "--seed", "5"],
        ["--epochs", "3", "--pixels", "dynamic", "--validation-noise", "fresh"],
        ["--epochs", "40", "--early-stopping", "1", "--learning-rate", "0.1", "--pixels", "dynamic"],
    ],
    ids=" ".join,
)
def test_latent_png_says_what_the_table_says(inside, monkeypatch, options):
    """Of all held-out rows, and of the epoch whose parameters the model has, however many points are drawn."""
    said, plot = {}, plotting.plot_latent

    def plotted(mu, labels, path, **options):
        said.update(options, points=len(mu))
        return plot(mu, labels, path, **options)

    monkeypatch.setattr(plotting, "plot_latent", plotted)
    monkeypatch.setattr(pictures, "SCATTER", 20)
    assert main([*BASE, *options]) == 0
    with open("run/history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["validation_loss"]) for row in rows]
    row = rows[np.argmin(losses)] if "--early-stopping" in options else rows[-1]
    assert said["points"] == 20
    assert said["kl_per_latent"].tolist() == pytest.approx([float(row[f"kl_{j}"]) for j in range(3)], rel=1e-5)
    assert said["kl_per_latent"].sum() == pytest.approx(float(row["validation_kl"]), rel=1e-5)
    assert said["active"].sum() == int(row["active_units"])
    assert said["subtitle"] == "Posterior means of the first 20 examples; KL and active latents of all 80"


def test_as_many_rows_are_drawn_as_are_asked_for(inside, monkeypatch, capsys):
    assert main([*BASE, "--epochs", "1", "--no-pictures"]) == 0
    drawn, plot = [], plotting.plot_profiles
    monkeypatch.setattr(plotting, "plot_profiles", lambda rows, *more, **options: drawn.append(len(rows)))
    for options in ([], ["--count", "9"]):
        assert main(["reconstruct", "run", "--backend", "numpy", *options]) == 0
    assert drawn == [6, 9]
    assert "9 reconstructions in run/reconstructions.png" in capsys.readouterr().out
    assert main(["reconstruct", "run", "--backend", "numpy", "--count", "31"]) == 2
    assert "--count: got 31, expected at most 30 in a picture, or --out FILE.npy" in capsys.readouterr().err
    with pytest.raises(ValueError, match="originals: got '31 rows', expected at most 30"):
        plot(np.ones((31, 2)), np.ones((31, 2)))
