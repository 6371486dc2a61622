"""Training in shards: the same numbers whoever computes them, and those of the whole batch."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivae as mv
from minivae.kernels import philox
from minivae.training.shards import ShardedStep
from minivae.training.team import Team, exchanges

FEATURES = 6


class Ranks(Team):
    """One of several ranks that are threads, of which one at a time computes."""

    def __init__(self, rank, common):
        self.rank, self.size, self._common = rank, len(common.slots), common

    def gather(self, value):
        common = self._common
        common.slots[self.rank] = value
        self._meet()
        values = list(common.slots)
        self._meet()
        return values

    def _meet(self):
        self._common.lock.release()
        try:
            self._common.barrier.wait(60)
        finally:
            self._common.lock.acquire()

    def broadcast(self, value):
        return self.gather(value)[0]

    def merge(self, array):
        array[...] = sum(self.gather(array.copy()))
        return array

    def total(self, array):
        for part, partner, into in exchanges(array, np.empty_like(array), self.rank, self.size):
            into[...] = self.gather(part.copy())[partner]


class Common:
    def __init__(self, size):
        self.slots, self.lock, self.barrier = [None] * size, threading.Lock(), threading.Barrier(size)


def together(size, work):
    """What work(team) returned on each of `size` ranks, or the exception that it raised; none is left waiting."""
    common, found = Common(size), [None] * size

    def rank(number):
        with common.lock:
            try:
                found[number] = work(Ranks(number, common))
            except Exception as error:
                found[number] = error
                if not isinstance(error, (mv.TrainingDiverged, ValueError)):
                    common.barrier.abort()

    threads = [threading.Thread(target=rank, args=(number,)) for number in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    return found


def rows(n, seed=0):
    return np.random.default_rng(seed).random((n, FEATURES), dtype="float32")


def model(cls=mv.VAE, **options):
    return cls(**({"features": FEATURES, "latent": 2, "hidden": (4,), "backend": "numpy", "seed": 3} | options))


def trained(team=None, n=70, options=None, vae=None, **more):
    """All that a training leaves: parameters, moments, history without what was measured."""
    vae = vae or model(**(options or {}))
    optimizer = mv.Adam(1e-2)
    given = {"epochs": 2, "batch_size": 16, "validation": rows(40, 1), "seed": 5, "progress": False} | more
    history = mv.fit(vae, rows(n), optimizer=optimizer, team=team, **given)
    del history["examples_per_second"]
    return [vae.store.flat.tobytes(), *(moment.tobytes() for moment in optimizer.state.values()), history]


@settings(max_examples=15)
@given(
    st.integers(0, 4).flatmap(lambda shards: st.tuples(st.just(2**shards), st.integers(0, min(shards, 3)))),
    st.integers(1, 90),
    st.integers(1, 3),
    st.sampled_from(["elbo", "iwae"]),
)
def test_ranks_have_the_bits_of_one_process(cut, n, rows_of_shard, objective):
    shards, ranks = cut[0], 2 ** cut[1]
    options = {"objective": objective, "samples": 1 if objective == "elbo" else 3}
    given = {"n": n, "options": options, "batch_size": shards * rows_of_shard, "shards": shards, "pixels": "dynamic"}
    alone = trained(**given)
    assert all(found == alone for found in together(ranks, lambda team: trained(team, **given)))


@settings(max_examples=20)
@given(st.integers(0, 5), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_every_rank_has_the_sum_of_one_tree(levels, size, seed):
    arrays = np.random.default_rng(seed).normal(size=(2**levels, size)).astype("float32")
    tree = list(arrays)
    while len(tree) > 1:
        half = len(tree) // 2
        tree = [tree[i] + tree[i + half] for i in range(half)]
    mine = [array.copy() for array in arrays]
    together(len(arrays), lambda team: team.total(mine[team.rank]))
    assert all(array.tobytes() == tree[0].tobytes() for array in mine)


@pytest.mark.parametrize("pixels", ["grey", "dynamic"])
def test_ranks_share_validation_out(pixels):
    """Several pages of several batches, for more ranks than there are pages as well."""
    given = {"validation": rows(2100, 1), "shards": 8, "epochs": 1, "pixels": pixels, "validation_noise": "fresh"}
    alone = trained(**given)
    for ranks in (2, 8):
        assert all(found == alone for found in together(ranks, lambda team: trained(team, **given)))


OBJECTIVES = {
    "elbo": {},
    "beta": {"beta": 2.5},
    "sigma": {"likelihood": "gaussian", "learn_sigma": "features"},
    "iwae": {"objective": "iwae", "samples": 3},
    "stl": {"objective": "stl", "samples": 3},
    "dreg": {"objective": "dreg", "samples": 3},
    "miwae": {"objective": "miwae", "samples": 3, "outer": 2},
    "piwae": {"objective": "piwae", "samples": 3, "outer": 2},
}


class OfTheirOwn(mv.VAE):
    """A model whose passes know of no batch but their own rows."""

    def forward(self, x, noise=None):
        return super().forward(x, noise)

    def backward(self):
        super().backward()


@pytest.mark.parametrize("cls", [mv.VAE, OfTheirOwn])
@pytest.mark.parametrize("options", OBJECTIVES.values(), ids=OBJECTIVES)
def test_shards_add_up_to_the_gradient_of_the_whole_batch(options, cls):
    """In each step of three epochs: as it stands, recorded, compared and replayed, and in last batches whose shards are
    whole, partial and empty.
    """
    shards, n, batch = 4, 27, 16
    vae, whole = (model(kind, **(options | {"dtype": "float64"})) for kind in (cls, mv.VAE))
    step = ShardedStep(vae, rows(n).astype("float64"), batch, mv.SGD(1e-2), "dynamic", 5, None, shards, Team())
    step.look(6)
    with step:
        for number in range(6):
            if number % 2 == 0:
                step.shuffle(number // 2)
            of_batch = min(batch, n - number % 2 * batch)
            x, noise = drawn(step, number, of_batch, vae.draws)
            whole.store.flat[...] = vae.store.flat
            whole.pass_down(x, noise)
            whole.pass_up()
            assert step(number) == of_batch
            np.testing.assert_allclose(vae.store.flat_gradients, whole.store.flat_gradients, rtol=1e-9, atol=1e-12)
    assert bool(step.model.batch_rows) is False


def drawn(step, number, of_batch, draws):
    """Pixels and noise of all shards of a step, one under another."""
    backend, own, clock = step.model.backend, step.batch_size // step.shards, np.zeros(1, "int64")
    xs, noises = [], []
    for shard in range(step.shards):
        clock[0] = number * step.shards + shard
        n = min(max(of_batch - shard * own, 0), own)
        x, noise = np.empty((n, FEATURES)), np.empty((n * draws, step.model.latent))
        if n:
            backend.gather(step._data, step._order, clock, own, "dynamic", 5, philox.PIXELS, x)
            backend.standard_normal(5, philox.NOISE, clock, noise)
        xs.append(x)
        noises.append(noise)
    return np.concatenate(xs), np.concatenate(noises)


def test_other_code_sees_a_model_that_is_in_no_batch():
    """What on_epoch computes has the weights of its own rows, and changes nothing."""
    vae, seen = model(objective="iwae", samples=3), []

    def look(row):
        vae.forward(rows(5), np.zeros((15, 2), "float32"))
        vae.backward()
        same = model(objective="iwae", samples=3)
        same.store.flat[...] = vae.store.flat
        same.forward(rows(5), np.zeros((15, 2), "float32"))
        same.backward()
        seen.append(same.store.flat_gradients.tobytes() == vae.store.flat_gradients.tobytes())

    assert trained(vae=vae, shards=4, on_epoch=look) == trained(shards=4, options={"objective": "iwae", "samples": 3})
    assert seen == [True, True]


def test_a_batch_of_more_rows_than_there_are_is_one_of_all():
    assert trained(n=30, batch_size=1024, shards=8) == trained(n=30, batch_size=32, shards=8)
    with pytest.raises(ValueError, match=r"batch_size: got 30, expected a multiple of the 8 shards"):
        trained(n=30, batch_size=30, shards=8)


def test_a_flag_of_one_rank_is_raised_on_all_in_the_same_step():
    def work(team):
        step = ShardedStep(model(), rows(64), 16, mv.SGD(1e-2), "grey", 5, None, 4, team)
        step.look(4)
        raised = []
        with step:
            for number in range(4):
                step.flags = (lambda number=number: team.rank == 1 and number == 2), (lambda: team.rank == 0)
                step.shuffle(0)
                step(number)
                raised.append((step.raised(0), step.raised(1)))
        return raised

    assert together(2, work) == [[(False, True), (False, True), (True, True), (False, True)]] * 2


class Spoils:
    """A layer that puts a NaN into one row of the first shard of rank 1's."""

    def __init__(self, spoils):
        self.spoils, self.passes = spoils, 0

    def forward(self, x):
        self.passes += self.spoils
        if self.passes == 30:
            x = x.copy()
            x[1, 2] = np.nan
        return x

    def backward(self, dy):
        return dy


def test_a_nan_of_one_rank_is_found_by_all_which_are_back_at_the_last_good_state():
    def work(team):
        good = {}
        vae = model(encoder=[Spoils(team.rank == 1)])

        def keep(row):
            good["parameters"] = vae.store.flat.copy()

        with pytest.raises(mv.TrainingDiverged) as caught:
            trained(team, vae=vae, shards=4, epochs=20, on_epoch=keep)
        return str(caught.value), vae.store.flat.tobytes() == good["parameters"].tobytes()

    one, other = together(2, work)
    assert one == other
    assert "the output of encoder.0, row 1, column 2 (nan)" in one[0]
    assert one[1]


def test_on_epoch_of_one_rank_ends_the_training_of_all():
    def work(team):
        return trained(team, epochs=9, on_epoch=lambda row: not (row["epoch"] == 2 and team.rank == 1))[-1]["epoch"]

    assert together(2, work) == [[1, 2]] * 2


def changed(vae):
    vae.beta = 0.3


DIFFERENT = {
    "epochs: got 2 on rank 0 and 3 on rank 1": {"epochs": 3},
    "shards: got 2 on rank 0 and 4 on rank 1": {"shards": 4},
    "train: got float32 of shape (70, 6) on rank 0 and float32 of shape (69, 6) on rank 1": {"n": 69},
    "validation: got float32 of shape (40, 6) on rank 0 and None on rank 1": {"validation": None},
    "validation: got another on rank 1": {"validation": rows(40, 2)},
    "model.activation: got 'relu' on rank 0 and 'tanh' on rank 1": {"options": {"activation": "tanh"}},
    "model.beta: got 1.0 on rank 0 and 2.0 on rank 1": {"beta": 2.0},
    "beta: got ('NoneType'": {"beta": mv.Warmup(10)},
    "batch_size: got 0": {"batch_size": 0},
    "the model's parts: got another on rank 1": {"vae": model(OfTheirOwn)},
}


@pytest.mark.parametrize("message", DIFFERENT)
def test_ranks_that_differ_are_refused_on_all_of_them(message):
    found = together(2, lambda team: trained(team, **({"shards": 2} | (DIFFERENT[message] if team.rank else {}))))
    assert all(isinstance(error, ValueError) and message in str(error) for error in found), found


def test_a_communicator_is_no_team():
    with pytest.raises(ValueError, match=r"team: got 'COMM_WORLD', expected MPITeam\(\) or MPITeam\(comm\)"):
        trained("COMM_WORLD")


def test_a_model_that_one_rank_changes_is_found_out():
    def work(team):
        vae = model()
        trained(team, vae=vae, on_epoch=lambda row: changed(vae) if team.rank else None)

    assert all("the model between steps: got another" in str(error) for error in together(2, work))
