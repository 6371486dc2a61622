"""The CPU backend as a whole: bits, threads, programs, bad arguments."""

import itertools
import time
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

import minivae as mv
from minivae.kernels import CONTRACT, load_backend, philox
from minivae.kernels.cases import cases_of

pytest.importorskip("numba")

import numba

from minivae.kernels.cpu import data, jit, memory, optimizers, program, threads

from ..together import together


def trained(steps=3, **options):
    model = mv.VAE(features=130, latent=5, hidden=(90,), backend="cpu", seed=1, **options)
    data = np.random.default_rng(0).integers(0, 256, (200, 130)).astype(np.uint8)
    pixels = "grey" if model.likelihood.of_bytes else "dynamic"
    mv.fit(model, data, epochs=steps, batch_size=64, optimizer=mv.Adam(1e-3, clip_norm=50.0), pixels=pixels, seed=2)
    return model.store.flat.copy()


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "float32"},
        {"dtype": "float64"},
        {"free_bits": 0.1},
        {"likelihood": "gaussian", "learn_sigma": True},
        {"likelihood": "gaussian", "learn_sigma": "features"},
        {"likelihood": "beta_binomial"},
        {"likelihood": "logistic"},
    ],
    ids=str,
)
def test_same_bits_for_one_and_two_threads_and_from_run_to_run(options):
    if numba.get_num_threads() < 2:
        pytest.skip("one core")
    two, again = trained(**options), trained(**options)
    numba.set_num_threads(1)
    try:
        one = trained(**options)
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    np.testing.assert_array_equal(two, again)
    np.testing.assert_array_equal(two, one)


def test_free_bits_sum_columns_in_one_order():
    """A batch that is shared out: by latents, then by examples."""
    if numba.get_num_threads() < 2:
        pytest.skip("one core")
    rng, backend = np.random.default_rng(0), load_backend("cpu")
    nll, kl = rng.random(2000, np.float32), rng.random((2000, 61), np.float32)
    floor = np.sort(kl.mean(axis=0, dtype=np.float64))[30:31]  # the mean of one latent: any other order may tip it

    def made():
        active, loss = np.empty(61, np.float32), np.empty(2000, np.float32)
        backend.free_bits(nll, kl, np.ones(1), floor, active, loss)
        return active.tobytes() + loss.tobytes()

    shared = made()
    numba.set_num_threads(1)
    try:
        assert made() == shared
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)


def test_training_ends_where_the_numpy_backend_does():
    data = np.random.default_rng(0).integers(0, 256, (256, 130)).astype(np.uint8)
    losses = {}
    for backend in ("cpu", "numpy"):
        model = mv.VAE(features=130, latent=5, hidden=(90,), backend=backend, seed=1)
        losses[backend] = mv.fit(model, data, epochs=5, batch_size=64, seed=2)["train_loss"]
    np.testing.assert_allclose(losses["cpu"], losses["numpy"], rtol=2e-6)


def test_a_million_normals_have_the_bits_of_the_scalar_source():
    backend = load_backend("cpu")
    clock = np.array([2**40 + 3])
    noise, same = np.empty(1_000_003, np.float32), np.empty(1_000_003, np.float32)
    backend.standard_normal(2**63 + 9, philox.SAMPLE, clock, noise)
    # NumPy's are tested against the scalar source element by element
    philox.fill_normals(2**63 + 9, philox.SAMPLE, int(clock[0]), same)
    np.testing.assert_array_equal(noise.view(np.uint32), same.view(np.uint32))


def test_a_recorded_step_does_what_the_calls_do():
    backend = load_backend("cpu")
    rng = np.random.default_rng(0)
    x, weight = rng.random((65, 70), dtype=np.float32), rng.random((70, 90), dtype=np.float32)
    bias, y, dy = np.zeros(90, np.float32), np.empty((65, 90), np.float32), rng.random((65, 90), dtype=np.float32)
    dx, dweight, dbias = np.empty_like(x), np.empty_like(weight), np.empty_like(bias)

    def step():
        backend.dense_forward(x, weight, bias, "tanh", y)
        backend.dense_backward(x, weight, y, dy, "tanh", dx, dweight, dbias)

    program = backend.record(step)
    expected = [array.copy() for array in (y, dx, dweight, dbias)]
    for array in (y, dx, dweight, dbias):
        array.fill(np.nan)
    program()
    for got, array in zip((y, dx, dweight, dbias), expected, strict=True):
        np.testing.assert_array_equal(got, array)
    assert str(program).startswith("dense_forward(65x70, 70x90, 90, 'tanh', 65x90)\n")


@pytest.mark.parametrize("reads_dx", [False, True])
@pytest.mark.parametrize("above", ["identity", "gelu"])
def test_relu_between_two_layers_is_applied_where_its_gradient_is_computed(above, reads_dx):
    backend = load_backend("cpu")
    rng = np.random.default_rng(0)
    x, w1, w2 = (rng.standard_normal(shape).astype("float32") for shape in ((50, 70), (70, 60), (60, 40)))
    y, dy2, dy = np.maximum(x @ w1, 0), rng.standard_normal((50, 40)).astype("float32"), np.empty((50, 60), "float32")
    y2, a2 = dy2, rng.standard_normal((50, 40)).astype("float32")
    dw1, dw2, dx = np.empty_like(w1), np.empty_like(w2), np.empty_like(x)
    db1, db2, copy = np.empty(60, "float32"), np.empty(40, "float32"), np.empty((50, 60), "float32")
    none, one = np.zeros(60, "float32"), np.eye(60, dtype="float32")

    def step():
        backend.dense_backward(y, w2, y2, dy2, above, dy, dw2, db2, a2)
        backend.dense_backward(x, w1, y, dy, "relu", dx, dw1, db1)
        if reads_dx:
            backend.dense_forward(dy, one, none, "identity", copy)

    program = backend.record(step)
    expected = [array.copy() for array in (dw1, db1, dw2, db2, dx)]
    before = dy.copy()
    program()
    for got, array in zip((dw1, db1, dw2, db2, dx), expected, strict=True):
        np.testing.assert_array_equal(got, array)
    # what another call reads must be what it is without a program
    np.testing.assert_array_equal(dy, before if reads_dx else np.where(y > 0, before, 0))
    assert not np.array_equal(before, np.where(y > 0, before, 0))


def test_parts_get_smaller_and_make_up_the_whole():
    for stretches, turns in itertools.product(range(1, 6), range(1, 7)):
        pieces = [program.piece.py_func(part, stretches * turns, turns) for part in range(stretches * turns)]
        ends = [(Fraction(i, n), Fraction(i + 1, n)) for i, n in pieces]
        assert [first for first, _ in ends] == [0, *(last for _, last in ends[:-1])]
        assert ends[-1][1] == 1
        sizes = [last - first for first, last in ends]
        for start in range(0, len(sizes), turns):
            assert sum(sizes[start : start + turns]) == Fraction(1, stretches)
            assert sizes[start : start + turns] == sorted(sizes[start : start + turns], reverse=True)


def test_two_python_threads_train_two_models_at_once():
    expected = trained()
    for result in together(lambda _: trained()):
        np.testing.assert_array_equal(result, expected)


def test_arguments_that_do_not_fit_are_refused_before_anything_is_written():
    backend = load_backend("cpu")
    x, weight, bias = np.ones((4, 3), np.float32), np.ones((3, 5), np.float32), np.ones(5, np.float32)
    y = np.full((4, 5), 3, np.float32)
    bad = {
        r"weight: got shape \(4, 5\)": (x, np.ones((4, 5), np.float32), bias, "relu", y),
        r"bias: got shape \(5,\) of float64": (x, weight, np.ones(5), "relu", y),
        "activation: got 'swish'": (x, weight, bias, "swish", y),
        r"a: got shape \(4, 3\)": (x, weight, bias, "gelu", y, np.empty((4, 3), np.float32)),
        "x: got dtype int64": (np.ones((4, 3), int), weight, bias, "relu", y),
        "weight: got an array with strides": (x, np.asfortranarray(weight), bias, "relu", y),
        "x: got an array with strides": (np.ones((4, 6), np.float32)[:, ::2], weight, bias, "relu", y),
        r"x: got shape \(0, 3\), expected at least one": (x[:0], weight, bias, "relu", y[:0]),
    }
    for message, arguments in bad.items():
        with pytest.raises(ValueError, match=message):
            backend.dense_forward(*arguments)
    assert (y == 3).all()
    with pytest.raises(ValueError, match="weight: got None"):
        backend.bernoulli_nll(x, x.copy(), None, None, y[:, :3].copy())
    with pytest.raises(ValueError, match=r"noise: got 5 rows, expected a multiple of 4"):
        backend.reparameterize_forward(x, x, np.ones((5, 3), np.float32), "exp", x.copy(), np.ones((5, 3), np.float32))
    with pytest.raises(ValueError, match="velocity: got None"):
        backend.sgd_update(bias, bias.copy(), None, np.ones(1), np.zeros(1, np.int64), 0.9, False)


@pytest.mark.parametrize("kernel", CONTRACT)
def test_an_array_that_is_read_only_is_never_written(kernel):
    backend = load_backend("cpu")
    for case in itertools.islice(cases_of(kernel, "float32"), 3):
        for name in case.bounds:
            arguments = case.run(lambda *_: None)  # copies
            if isinstance(arguments[name], np.ndarray):
                before = arguments[name].copy()
                arguments[name].setflags(write=False)
                with pytest.raises(ValueError, match=f"{name}: got a read-only array"):
                    getattr(backend, kernel)(*arguments.values())
                np.testing.assert_array_equal(arguments[name], before)


def test_a_plan_takes_the_arguments_a_kernel_names_and_no_others():
    gradient, plan = np.ones(5, np.float32), program.Plan(program.Arena())
    shrink, given = optimizers.optimizer_kernels("float32").shrink, {"size": 5, "gradient": gradient}
    for wrong, message in (
        (given, "missing arguments: sums; unknown arguments: none"),
        (given | {"sum": np.ones(1)}, "missing arguments: sums; unknown arguments: sum"),
        (given | {"sums": np.ones(1), "norm": None}, "missing arguments: none; unknown arguments: norm"),
        ({}, "missing arguments: .*; unknown arguments: none"),
    ):
        with pytest.raises(TypeError, match=f"^shrink_float32: {message}$"):
            plan.add(shrink, wrong, work=0)
    with pytest.raises(TypeError, match="float"):
        plan.add(shrink, {"sums": np.ones(1), "gradient": gradient, "size": 5.0}, work=0)
    assert len(plan) == 0
    # in any order; a number where the kernel has a float may be an integer
    finish_norm, sums, norm = optimizers.optimizer_kernels("float32").finish_norm, np.array([7.0, 9.0]), np.zeros(1)
    plan.add(finish_norm, {"limit": 2, "norm": norm, "sums": sums, "pieces": 2}, work=0)
    plan.add(shrink, {"sums": sums, "gradient": gradient, "size": 5}, work=0)
    plan.table().run()
    assert norm == 4
    assert (gradient == 0.5).all()


def test_an_argument_that_a_kernel_does_not_name_is_refused_when_it_is_compiled():
    @jit.kernel("test", "size values")
    def misspelt(given, part, parts):
        memory.float64_vector(given.value, given.size)[0] = 1.0

    with pytest.raises(numba.TypingError, match="Unknown attribute 'value' of type arguments of misspelt_test"):
        misspelt.assembly()


def test_a_program_beside_a_busy_process_takes_half_the_threads_where_that_is_faster():
    def threads_taken(seconds_of, runs):
        """What `Pace` allows of 2 for each run, where run i on n threads takes seconds_of(i, n)."""
        pace, taken = threads.Pace(), []
        for i in range(runs):
            taken.append(pace.count(2))
            pace.note(seconds_of(i, taken[-1]))
        return taken

    def busy_for_a_while(i, n):
        return (4e-3 if 100 <= i < 2000 else 2e-3) if n == 2 else 3e-3

    taken = threads_taken(busy_for_a_while, 6000)
    assert set(taken[:100]) == {2}
    assert taken[100 : 100 + threads.Pace.PATIENCE] == [2] * threads.Pace.PATIENCE
    assert taken[200:2000].count(1) > 0.95 * 1800  # the rest are looks at whether it is over
    assert set(taken[4000:]) == {2}
    # a machine that has become slower for good, or for one run in ten
    assert threads_taken(lambda i, n: 2e-3 if i < 100 else 9e-3 / n, 1000)[200:].count(1) == 0
    assert 1 not in threads_taken(lambda i, n: 20e-3 if i % 10 == 0 else 4e-3 / n, 1000)
    assert 1 not in threads_taken(lambda i, n: 1e-4 if i % 50 > 25 else 1e-5, 1000)  # short ones are left alone


def test_fit_takes_the_threads_it_is_given_and_no_more(capsys):
    data, most = np.random.default_rng(0).random((64, 30), np.float32), threads.count()

    def taken(wanted, backend="cpu"):
        found = []
        model = mv.VAE(30, 2, (8,), backend=backend, seed=0)
        mv.fit(model, data, epochs=1, batch_size=32, threads=wanted, on_epoch=lambda row: found.append(threads.count()))
        return found

    assert [taken(None), taken(1), taken(64)] == [[most], [1], [most]]
    assert together(lambda index: taken((1, None)[index])) == [[1], [most]]
    mv.register_backend("threads_own", SimpleNamespace(tick=lambda clock: clock.__iadd__(1)), base="cpu")
    assert taken(1, "threads_own") == [1]
    for wanted, backend, message in (
        (0, "cpu", "threads: got 0"),
        (1.5, "cpu", "threads: got 1.5"),
        (1, "numpy", "threads: got 1 with backend 'numpy'"),
    ):
        with pytest.raises(ValueError, match=message):
            taken(wanted, backend)
    assert threads.count() == most


def test_compiling_does_not_count_as_training(monkeypatch):
    """A kernel that takes a second to be compiled, in the first epoch only."""
    compile, slow = jit.Kernel._compile, iter([1.0])

    def slowly(kernel):
        time.sleep(next(slow, 0))
        return compile(kernel)

    monkeypatch.setattr(jit.Kernel, "_compile", slowly)
    for module in (data, optimizers):
        for factory in vars(module).values():
            getattr(factory, "cache_clear", int)()
    rows = np.random.default_rng(0).integers(0, 256, (64, 30)).astype(np.uint8)
    started = time.perf_counter()
    history = mv.fit(mv.VAE(30, 2, (8,), backend="cpu", seed=0), rows, epochs=1, batch_size=32)
    assert next(slow, None) is None
    took = time.perf_counter() - started
    assert 64 / history["examples_per_second"][0] < took - 0.9
