"""What cannot fit in memory is refused by the name of an argument, before it is taken."""

import tracemalloc

import numpy as np
import pytest

import minivae as mv
from minivae.command.main import main
from minivae.evaluation.held_out import Evaluator
from minivae.parameters import memory

HUGE = 10**8
SMALL = {"features": 784, "latent": 2, "hidden": (3,), "backend": "numpy"}
X = np.zeros((1000, 784), np.uint8)
ROOM = r", expected what fits in memory: it needs [\d,]+\.\d GB, 8.0 GB are available"


@pytest.fixture(autouse=True)
def eight_gigabytes(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 8 * 10**9)


def small(**options):
    return mv.VAE(**SMALL | options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: small(latent=HUGE), f"latent: got {HUGE}{ROOM}"),
        (lambda: small(hidden=(4, HUGE)), f"hidden: got {HUGE}{ROOM}"),
        (lambda: small(decoder_hidden=(10**6, 10**5)), f"decoder_hidden: got 1000000{ROOM}"),
        (lambda: small(features=10**12), f"features: got {10**12}{ROOM}"),
        (lambda: small(hidden=[1] * 4_000_000), "hidden: got 'more than 1,000 widths', expected at most 1,000"),
        (lambda: small(samples=10**7), "samples.*: got 10000000, expected at most 100,000 draws"),
        (lambda: small(objective="miwae", samples=10**3, outer=10**3), "outer: got 1000000, expected at most"),
        (lambda: small().sample(10**10), f"count: got {10**10}{ROOM}"),
        (lambda: small().log_likelihood(X, samples=10**10), f"samples: got {10**10}{ROOM}"),
        (lambda: small(samples=10**5).forward(X), rf"x: got uint8 of shape \(1000, 784\){ROOM}"),
        (lambda: mv.fit(small(samples=10**5), X), rf"batch_size \* draws: got 12800000{ROOM}"),
        (
            lambda: Evaluator(small(features=2, samples=10**5, decoder_hidden=(20_000,)), X[:, :2]),
            f"samples: got 100000{ROOM}",
        ),
    ],
)
def test_it_is_refused_by_name_and_costs_nothing(make, message):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            make()
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_held_out_rows_that_are_few_need_no_room_for_many(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 2 * 10**9)
    wide = small(decoder_hidden=(10**6,), features=8)  # some gigabytes for each batch of many rows
    assert Evaluator(wide, X[:3, :8])().nll > 0
    with pytest.raises(ValueError, match=r"^model: got '1[12],.* parameters', expected what fits in memory"):
        Evaluator(wide, X[:, :8])


def test_the_command_line_says_it_before_a_folder_is_made(tmp_path, capsys):
    for option in ("--latent", "--hidden"):
        arguments = ["--data", "rings", "--backend", "numpy", "--out", str(tmp_path / "run"), option, str(HUGE * 100)]
        assert main(["train", *arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"minivae: error: {option[2:]}: got {HUGE * 100}, expected what fits in memory")
        assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_training_counts_its_moments_and_its_states(monkeypatch):
    model = mv.VAE(784, 2, (3000,), backend="numpy")
    assert model.store.flat.nbytes < 20 * 10**6
    monkeypatch.setattr(memory, "available", lambda: 100 * 10**6)
    mv.fit(model, X[:2], epochs=1, optimizer=mv.SGD(0.1))
    with pytest.raises(ValueError, match=r"model: got '4,7..,... parameters', expected what fits in memory"):
        mv.fit(model, X[:2], epochs=1, optimizer=mv.Adam())


def test_what_is_free_is_the_least_of_what_system_and_containers_say(tmp_path, monkeypatch):
    monkeypatch.undo()
    assert memory.available() is None or memory.available() > 0
    monkeypatch.setattr(memory, "_groups", lambda: [tmp_path / "absent", tmp_path / "max", tmp_path / "limited"])
    monkeypatch.setattr(memory, "_of_system", lambda: 10**12)
    for name, limit in (("max", "max"), ("limited", "5000000")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "memory.max").write_text(f"{limit}\n")
        (tmp_path / name / "memory.current").write_text("3000000\n")
        (tmp_path / name / "memory.stat").write_text("anon 7\ninactive_file 1000000\n")
    assert memory.available() == 3_000_000
    monkeypatch.setattr(memory, "_of_containers", lambda: [])
    assert memory.available() == 10**12
    monkeypatch.setattr(memory, "_of_system", lambda: None)
    assert memory.available() is None
    memory.expect_room("anything", 1, 10**18)


def test_many_layers_are_put_together_in_a_moment():
    """An array of the model's is made once, not once for each of the others."""
    assert len(mv.VAE(4, 1, [1] * 300, backend="numpy").parameters) == 1204
