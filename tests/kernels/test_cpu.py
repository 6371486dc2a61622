"""The CPU backend as a whole: bits, threads, processes, the cache on disk, bad arguments."""

import itertools
import os
import random
import re
import subprocess
import sys
import textwrap
import time
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import minivae as mv
from benchmarks import starts
from minivae.kernels import CONTRACT, load_backend, philox
from minivae.kernels.cases import cases_of

pytest.importorskip("numba")

import numba

from minivae.kernels.cpu import data, jit, memory, optimizers, program, threads

from ..together import together


def run_python(code, **environment):
    """(stdout, stderr) of a fresh interpreter; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


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


TRAIN = """
    import os, sys, threading
    import numpy as np
    import minivae as mv

    def trained():
        model = mv.VAE(features=130, latent=5, hidden=(90,), backend="cpu", seed=1)
        data = np.random.default_rng(0).integers(0, 256, (200, 130)).astype(np.uint8)
        mv.fit(model, data, epochs=2, batch_size=64, seed=2)
        return model.store.flat.tobytes()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_that_has_run_kernels_may_fork():
    out, _ = run_python(
        TRAIN
        + """
    expected = trained()
    for _ in range(2):
        child = os.fork()
        if child == 0:
            os._exit(0 if trained() == expected else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert trained() == expected
    print("same bits")
    """
    )
    assert out == "same bits\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_may_fork_while_a_thread_compiles(tmp_path):
    """The child has nobody who would release the locks of that thread."""
    out, _ = run_python(
        """
    import os, threading, time
    import numpy as np
    from minivae.kernels import load_backend
    from minivae.kernels.cpu import jit
    begun, compile = threading.Event(), jit.Kernel._compile
    def slowly(self, cache=True):
        begun.set()
        time.sleep(1)
        return compile(self, cache)
    jit.Kernel._compile = slowly
    tick, clock = load_backend("cpu").tick, np.array([4])
    thread = threading.Thread(target=tick, args=(clock,))
    thread.start()
    begun.wait()
    child = os.fork()
    if child == 0:
        free = jit._lock.acquire(timeout=20)
        tick(clock)
        os._exit(0 if free and clock[0] > 4 else 1)
    thread.join()
    print(os.waitpid(child, 0)[1], clock[0])
    """,
        NUMBA_CACHE_DIR=str(tmp_path),
    )
    assert out == "0 5\n"


@pytest.mark.parametrize("setting", ["workqueue", "FORKSAFE"])
def test_workqueue_is_used_with_a_warning_and_one_at_a_time(setting):
    out, err = run_python(
        TRAIN
        + """
    expected, results = trained(), []
    threads = [threading.Thread(target=lambda: results.append(trained())) for _ in range(2)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    assert results == [expected] * 2
    import numba
    print(numba.threading_layer())
    """,
        NUMBA_THREADING_LAYER=setting,
    )
    if setting == "FORKSAFE" and out != "workqueue\n":
        pytest.skip(f"a better pool is here: {out}")
    assert out == "workqueue\n"
    assert len(re.findall("RuntimeWarning: .*workqueue", err)) == 1
    assert "100 us" in err


def test_numba_is_imported_only_when_the_backend_is_used():
    out, _ = run_python(
        """
        import sys
        import minivae as mv
        assert "cpu" in mv.available_backends()
        mv.VAE(features=4, latent=1, hidden=(3,), backend="numpy")
        print("numba" in sys.modules, "matplotlib" in sys.modules)
        """
    )
    assert out == "False False\n"


def test_where_numba_may_not_compile_numpy_is_used_and_the_backend_says_why():
    out, _ = run_python(
        """
        import minivae as mv
        from minivae.kernels import load_backend
        print(mv.VAE(features=4, latent=1, hidden=(3,)).backend)
        try:
            load_backend("cpu")
        except ValueError as error:
            print(error)
        """,
        NUMBA_DISABLE_JIT="1",
    )
    assert out.startswith("Backend('numpy')\nbackend 'cpu' cannot run here: NUMBA_DISABLE_JIT is set")


def test_random_settings_of_numba_give_the_same_bits_or_one_clear_line():
    """benchmarks/starts.py does 300. Each setting that an earlier version fell over is one of the first."""
    for number, (what, fault) in enumerate(starts.settings(8, seed=0)):
        assert fault is None, f"{number}: {what}: {fault}"


@pytest.mark.parametrize("how", ["attribute", "file", "later"])
def test_jit_that_is_disabled_otherwise_is_noticed_as_well(how, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(mv.__file__).parents[1]))
    if how == "file":
        pytest.importorskip("yaml", reason="without it Numba does not read its file")
        Path(".numba_config.yaml").write_text("disable_jit: 1\n")
    later = "model = mv.VAE(4, 1, (3,), backend='cpu')"
    disable = "import numba; numba.config.DISABLE_JIT = True" if how != "file" else ""
    out, _ = run_python(
        f"""
import minivae as mv
{later if how == "later" else ""}
{disable}
try:
    {"model.forward([[0.0] * 4])" if how == "later" else "mv.VAE(4, 1, (3,), backend='cpu')"}
except ValueError as error:
    print(error)
print(mv.VAE(4, 1, (3,)).backend.name)
"""
    )
    assert re.fullmatch("(backend 'cpu' cannot run here: )?.*DISABLE_JIT is set.*\nnumpy\n", out)


@pytest.mark.parametrize(
    "disable",
    ["numba.config.DISABLE_JIT = True", "os.environ['NUMBA_DISABLE_JIT'] = '1'"],
    ids=["attribute", "variable"],
)
def test_jit_that_is_disabled_between_two_kernels_is_noticed_where_one_must_be_compiled(disable, tmp_path):
    out, _ = run_python(
        f"""
        import os
        import numba
        import numpy as np
        from minivae.kernels import load_backend
        backend, clock = load_backend("cpu"), np.array([4])
        backend.tick(clock)
        {disable}
        backend.tick(clock)
        print(clock[0])
        try:
            backend.standard_normal(1, 2, clock, np.empty(5, np.float32))
        except ValueError as error:
            print(error)
        """,
        NUMBA_CACHE_DIR=str(tmp_path),
    )
    assert re.fullmatch("6\n.*DISABLE_JIT is set.*\n", out)


def test_what_is_said_goes_to_standard_error_or_nowhere(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    jit._say.__wrapped__("compiling")
    assert capsys.readouterr().out == ""


def test_the_cache_says_when_it_compiles_survives_damage_and_knows_its_sources(tmp_path):
    code = """
        import sys
        import numpy as np
        from minivae.kernels import load_backend
        from minivae.kernels.cpu import jit
        if {changed}:
            jit._digest = lambda folder: "other sources"
        clock = np.array([4])
        backend = load_backend("cpu")
        backend.tick(clock)
        noise = np.empty(5, np.float32)
        backend.standard_normal(1, 2, clock, noise)
        print(clock[0], noise.sum())
    """
    cold, said = run_python(code.format(changed=False), NUMBA_CACHE_DIR=str(tmp_path))
    assert said.count("compiling CPU kernels") == 1
    warm, said = run_python(code.format(changed=False), NUMBA_CACHE_DIR=str(tmp_path))
    assert said == ""
    _, said = run_python(code.format(changed=True), NUMBA_CACHE_DIR=str(tmp_path))
    assert said.count("compiling CPU kernels") == 1
    assert run_python(code.format(changed=False), NUMBA_CACHE_DIR=str(tmp_path))[0] == cold == warm
    files, rng = sorted(tmp_path.rglob("*.kernel")), random.Random(0)
    whole = {file: file.read_bytes() for file in files}
    for damage in starts.DAMAGE.values():
        file, other = rng.sample(files, 2)
        file.write_bytes(damage(whole[file], whole[other], rng))
        damaged, said = run_python(code.format(changed=False), NUMBA_CACHE_DIR=str(tmp_path))
        assert damaged == cold
        assert len(re.findall("minivae: .*compil", said)) == said.count("\n") == 1
        assert file.read_bytes()[32:96] == whole[file][32:96]  # which says what it was compiled from
    if hasattr(os, "geteuid"):
        files[0].parent.chmod(0o777)
        files[0].write_bytes(b"anybody's")
        again, said = run_python(code.format(changed=False), NUMBA_CACHE_DIR=str(tmp_path))
        assert again == cold
        assert re.fullmatch("minivae: .* may be written by others: kernels are compiled at each start.*\n", said)
        assert files[0].read_bytes() == b"anybody's"


def test_a_process_that_only_loads_kernels_does_without_the_compiler_and_one_that_misses_some_has_it(tmp_path):
    code = """
        import sys
        import numpy as np
        from minivae.kernels import load_backend
        from minivae.kernels.cpu import jit
        jit._LOADED_ALONE = {versions} or jit._LOADED_ALONE
        backend = load_backend("cpu")
        clock, noise, more = np.array([4]), np.empty(100_000, np.float32), np.ones(64, np.float32)
        backend.standard_normal(1, 2, clock, noise)  # enough to be run by the thread pool
        compiler = "numba.np.linalg" in sys.modules
        if {more}:
            backend.sgd_update(more, noise[:64], None, np.ones(1), clock, 0.0, False)
        print(compiler, "numba.np.linalg" in sys.modules, noise.sum(), more.sum())
    """

    def run(more, versions=None):
        out, _ = run_python(code.format(more=more, versions=versions), NUMBA_CACHE_DIR=str(tmp_path))
        return out.split()

    cold, warm, missing, later = (run(more) for more in (False, False, True, True))
    assert [cold[:2], warm[:2], missing[:2], later[:2]] == [
        ["True", "True"],
        ["False", "False"],
        ["False", "True"],
        ["False", "False"],
    ]
    assert cold[2:] == warm[2:]
    assert missing[2:] == later[2:]
    unknown_version = run(True, ((99, 0), (99, 1)))
    assert unknown_version == ["True", "True", *later[2:]]


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


def test_no_more_threads_than_cores_and_the_same_bits():
    """Sixty-four threads wanted on any machine; a setting that is lowered when the pool has started."""
    code = """
        import hashlib, os
        import numpy as np
        import minivae as mv
        data = np.random.default_rng(0).integers(0, 256, (100, 512)).astype(np.uint8)
        def trained():
            model = mv.VAE(512, 2, (256,), backend="cpu", seed=1)
            mv.fit(model, data, epochs=2, batch_size=64, seed=2)
            return hashlib.sha256(model.store.flat.tobytes()).hexdigest()
        print(trained())
        import numba
        from minivae.kernels.cpu import threads
        assert threads.most() <= len(os.sched_getaffinity(0)), threads.most()
        assert threads.count() <= threads.most()
        before = numba.get_num_threads()
        numba.config.NUMBA_NUM_THREADS = 1
        print(trained())
        assert numba.get_num_threads() == before
    """
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("no way to ask for the cores of a process")
    found = [run_python(code, NUMBA_NUM_THREADS=count)[0].split() for count in ("1", "2", "64")]
    assert len({digest for two in found for digest in two}) == 1


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
