"""The CPU backend in processes of its own: forks, Numba's settings and pools, kernels on disk."""

import os
import random
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import minivae as mv
from benchmarks import starts

pytest.importorskip("numba")

from minivae.kernels.cpu import jit


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
