"""Files that are mapped and not read: what is looked at beforehand, and when the rest is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivae as mv
from minivae import errors
from minivae.datasets import files, load_dataset
from minivae.evaluation.held_out import Evaluator, variance
from minivae.files import mapped
from minivae.training import unseen

RNG = np.random.default_rng(0)
ROWS = RNG.random((600, 9), dtype=np.float32)


@pytest.fixture
def small(monkeypatch):
    """What is large is small here: a chunk is of 5 rows, a sample of 4 chunks."""
    monkeypatch.setattr(errors, "CHUNK", 45)
    monkeypatch.setattr(errors, "SAMPLED", 4)
    monkeypatch.setattr(files, "MAPPED_FROM", 2000)


def trained(rows, **options):
    model = mv.VAE(9, 2, (4,), backend="numpy", seed=1)
    history = mv.fit(model, rows, batch_size=32, epochs=2, progress=False, seed=2, **options)
    return model, history


def saved(folder, rows):
    np.save(folder / "large.npy", rows)
    return folder / "large.npy"


def test_a_large_file_is_mapped(tmp_path, small):
    data = load_dataset(saved(tmp_path, ROWS), test_fraction=0.2)
    assert errors.is_mapped(data.train)
    assert errors.is_mapped(data.test)
    assert not data.train.flags.writeable
    assert "mapped and not read whole" in data.source
    assert data.source.endswith("its last 120 rows held out")
    np.testing.assert_array_equal(data.train, ROWS[:480])
    np.testing.assert_array_equal(data.test, ROWS[480:])
    assert load_dataset(tmp_path / "large.npy", size=50).train.shape == (50, 9)
    before = data.fingerprint()
    assert load_dataset(saved(tmp_path, ROWS + 1), test_fraction=0.2).fingerprint() != before


def test_it_trains_as_in_memory(tmp_path, small):
    data = load_dataset(saved(tmp_path, ROWS))
    mine, theirs = trained(data.train, validation=data.test), trained(ROWS[:540], validation=ROWS[540:])
    assert mine[1]["train_loss"] == theirs[1]["train_loss"]
    assert mine[1]["validation_loss"] == theirs[1]["validation_loss"]
    np.testing.assert_array_equal(mine[0].encode(data.train)[0], theirs[0].encode(ROWS[:540])[0])


def test_without_a_list_of_the_rows_each_is_seen_once_in_an_epoch(tmp_path, small, monkeypatch):
    monkeypatch.setattr(unseen, "MOST_ORDERED", 100)
    monkeypatch.setattr(mapped, "MOST", 1)
    seen, shuffled = [], unseen.shuffled
    monkeypatch.setattr(unseen, "shuffled", lambda *given: seen.append(shuffled(*given)) or seen[-1])
    rows = np.load(saved(tmp_path, ROWS), mmap_mode="r")
    model, history = trained(rows)
    assert np.isfinite(history["train_loss"]).all()
    assert history["train_loss"][1] < history["train_loss"][0]
    for epoch in (seen[:19], seen[19:]):
        assert sorted(np.concatenate(epoch).tolist()) == list(range(600))
    assert not np.array_equal(seen[0], seen[19])
    again, _ = trained(rows)
    np.testing.assert_array_equal(again.store.flat, model.store.flat)


@pytest.mark.parametrize("ordered", [100, 1 << 22])
@pytest.mark.parametrize(("value", "expected"), [(1.5, r"values in \[0, 1\]"), (np.nan, "finite numbers")])
def test_a_value_that_is_wrong_is_an_error_when_it_is_met(tmp_path, small, monkeypatch, ordered, value, expected):
    monkeypatch.setattr(unseen, "MOST_ORDERED", ordered)
    wrong = ROWS.copy()
    wrong[333, 4] = value  # in no chunk of the sample
    rows = np.load(saved(tmp_path, wrong), mmap_mode="r")
    with pytest.raises(ValueError, match=r"train: got .* at row 333"):
        trained(wrong)
    with pytest.raises(ValueError, match=rf"train\[333:334\]: got {value} at row 0, column 4, expected {expected}"):
        trained(rows)
    model = mv.VAE(9, 2, (4,), backend="numpy", seed=1)
    with pytest.raises(ValueError, match=r"data\[0:500\]: got .* at row 333"):
        Evaluator(model, rows)()
    for use in (model.encode, model.elbo):
        with pytest.raises(ValueError, match=r"x\[0:600\]: got .* at row 333"):
            use(rows)
    wrong[0, 0] = value
    with pytest.raises(ValueError, match=r"train: got .* at row 0"):  # in the sample
        trained(np.load(saved(tmp_path, wrong), mmap_mode="r"))


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        (ROWS, {"standardize": True}, "GB that are mapped', expected values scaled in the file"),
        (ROWS, {"transpose": True, "image_shape": (3, 3)}, "got 'images to be turned in a file"),
        ((ROWS > 0.5).astype(np.uint8), {}, "got 'bytes up to 1 in a file that is mapped', expected such numbers as"),
        (ROWS, {"label": "y"}, "label: got 'y', expected a table"),
    ],
)
def test_what_would_copy_all_of_it_is_refused(rows, options, said, tmp_path, small):
    with pytest.raises(ValueError, match=said):
        load_dataset(saved(tmp_path, rows), **options)


@pytest.mark.parametrize("rows", [ROWS.astype("f2"), ROWS.astype(">f4"), np.asfortranarray(ROWS), ROWS > 0.5])
def test_others_are_read(rows, tmp_path, small):
    data = load_dataset(saved(tmp_path, rows))
    assert not errors.is_mapped(data.train)
    assert len(data.train) == 540


def test_a_mapped_file_that_is_cut_short_is_refused(tmp_path, small):
    path = saved(tmp_path, ROWS)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="truncated or damaged"):
        load_dataset(path)


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 5))
@settings(max_examples=60)
def test_a_shuffle_is_a_permutation(size, seed, epoch):
    order = unseen.shuffled((seed, 1, epoch), size, np.arange(size))
    assert np.bincount(order, minlength=size).tolist() == [1] * size


def test_a_shuffle_mixes():
    """Places are uniform and those of neighbours are not near each other, in each of many orders."""
    size, index = 1000, np.arange(1000)
    orders = np.stack([unseen.shuffled((seed, 1, 0), size, index) for seed in range(200)])
    assert np.abs(orders.mean(axis=0) - 499.5).max() < 6 * 289 / np.sqrt(200)
    gaps = np.abs(np.diff(orders, axis=1))
    assert abs(gaps.mean() - size / 3) < 5
    correlation = [np.corrcoef(index, order)[0, 1] for order in orders]
    assert np.abs(correlation).max() < 5 / np.sqrt(size)


@given(seed=st.integers(0, 99), cuts=st.lists(st.integers(1, 59), max_size=4, unique=True))
@settings(max_examples=30)
def test_moments_of_parts_are_those_of_all(seed, cuts):
    rows = (np.random.default_rng(seed).normal(1000, 1, (60, 3))).astype(np.float32)
    parts = [part.astype(float) for part in np.split(rows, sorted(cuts))]
    moments = [np.concatenate([[len(part)], part.mean(axis=0), len(part) * part.var(axis=0)]) for part in parts]
    np.testing.assert_allclose(variance(moments), rows.astype(float).var(axis=0), rtol=1e-9)


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_pages_are_let_go_and_no_value_with_them(mode, tmp_path):
    """Of a mapping that is a copy of its own, what was written would be lost."""
    rows = np.load(saved(tmp_path, ROWS), mmap_mode=mode)
    if mode != "r":
        rows[3] = 7
    expected = rows.copy()
    mapped.Pages(rows[2:]).touched(10_000, 0)
    np.testing.assert_array_equal(rows, expected)
