"""Signals that end a process, at any moment; and handlers, which are put back."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from minivae.command.main import main
from minivae.runs import checkpoint
from minivae.training import interrupts
from minivae.training.fit import Validation

from ..runs.tiny import ENDLESS, HANGS, PIPES, TINY, command, started, wait_for_file

SHORT = [*TINY, "--epochs", "2"]


def handlers():
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


@pytest.fixture
def own_handlers():
    """Handlers that a test sets are taken back."""
    before = handlers()
    yield
    for number, handler in before.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def test_every_signal_that_ends_a_process_saves_first(tmp_path):
    """Also where more follow, as a limit's and a closing terminal's do."""
    numbers = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU]
    runs = {number: tmp_path / number.name for number in numbers}
    with contextlib.ExitStack() as stack:
        processes = {number: stack.enter_context(started(*ENDLESS, "--out", run)) for number, run in runs.items()}
        for number, process in processes.items():
            wait_for_file(process, runs[number] / "checkpoint.npz")
            for following in (number, number, signal.SIGTERM):
                process.send_signal(following)
        for number, process in processes.items():
            out, error = process.communicate(timeout=HANGS)
            assert process.returncode in (128 + number, 143), error  # two that are pending come in the system's order
            assert error == ""
            state = checkpoint.load_state(runs[number] / "checkpoint.npz")[1]
            assert f"interrupted after step {state.step:,};" in out


def test_what_was_ignored_stays_ignored(tmp_path):
    """nohup, and Ctrl-C in a shell's background job."""

    def ignore():
        for number in (signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

    file = tmp_path / "run" / "checkpoint.npz"
    with started(*ENDLESS, "--out", tmp_path / "run", before=ignore) as process:
        wait_for_file(process, file)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        saved = checkpoint.load_state(file)[1].step
        while checkpoint.load_state(file)[1].step < saved + 300:
            assert process.poll() is None, process.communicate()
        process.terminate()
        out, error = process.communicate(timeout=HANGS)
    assert (process.returncode, error) == (143, "")
    assert "interrupted after step" in out


MODULES = ["numpy", "minivae.vae", "minivae.command.main", "minivae.runs.train", "minivae.runs.saver"]
FINDER = """
import os, signal, sys
class Finder:
    def find_spec(name, path=None, target=None):
        if name == os.environ["INTERRUPTED"]:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder)
"""


def test_ctrl_c_during_imports_ends_with_one_line(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(FINDER)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    processes = {}
    for module in MODULES:
        environment = os.environ | {"PYTHONPATH": path, "INTERRUPTED": module}
        processes[module] = subprocess.Popen(command(*SHORT), env=environment, cwd=tmp_path, **PIPES)
    for module, process in processes.items():
        assert process.communicate(timeout=HANGS)[1] == "minivae: interrupted\n", module
        assert process.returncode == 130


@pytest.mark.parametrize("arguments", [["--version"], ["verify", "none"]])
def test_a_signal_that_comes_when_all_is_done_changes_nothing(arguments):
    """While the interpreter clears up: as the second of two, or too late."""
    late = "import atexit, signal, sys; atexit.register(signal.raise_signal, signal.SIGHUP)"
    program = f"{late}; from minivae.command.main import program; sys.exit(program())"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, check=False)
    assert done.returncode == (0 if arguments == ["--version"] else 2)


def test_a_library_takes_no_signal():
    code = "import signal, minivae; assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("arguments", "status"), [(["train", *SHORT], 0), (["train", *SHORT, "--data", "none"], 2), (["--help"], None)]
)
@pytest.mark.parametrize("own", [False, True])
def test_handlers_are_put_back(tmp_path, monkeypatch, own_handlers, arguments, status, own):
    monkeypatch.chdir(tmp_path)
    if own:
        for number in (*interrupts.TERMINATIONS, signal.SIGINT):
            signal.signal(number, lambda *_: None)
    before = handlers()
    if status is None:
        with pytest.raises(SystemExit):
            main(arguments)
    else:
        assert main(arguments) == status
    after = handlers()
    assert all(after[number] is handler for number, handler in before.items())


def test_a_command_can_run_in_any_thread(tmp_path):
    before, found = handlers(), []
    thread = threading.Thread(target=lambda: found.append(main(["train", *SHORT, "--out", str(tmp_path / "run")])))
    thread.start()
    thread.join()
    assert found == [0]
    assert handlers() == before


def test_handlers_of_the_calling_program_work_meanwhile(tmp_path, own_handlers):
    """Those of signals that it has a use for; what they raise comes out."""
    seen = []

    def late(*_):
        raise TimeoutError("too late")

    signal.signal(signal.SIGUSR1, lambda *_: seen.append(threading.current_thread()))
    signal.signal(signal.SIGALRM, late)

    def send():
        while not (tmp_path / "run" / "checkpoint.npz").exists():
            time.sleep(0.01)
        for number in (signal.SIGUSR1, signal.SIGALRM):
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    with pytest.raises(TimeoutError, match="too late"):
        main(["train", *ENDLESS, "--out", str(tmp_path / "run")])
    thread.join()
    assert seen == [threading.main_thread()]


def test_a_signal_after_the_last_step_is_not_lost(tmp_path, monkeypatch, capsys):
    """The run is complete, and goes on with its pictures."""
    validate, run = Validation.__call__, str(tmp_path / "run")

    def interrupted(self, epoch):
        if epoch == 2:
            signal.raise_signal(signal.SIGINT)
        return validate(self, epoch)

    monkeypatch.setattr(Validation, "__call__", interrupted)
    assert main(["train", *SHORT, "--out", run]) == 130
    assert "interrupted after step 38;" in capsys.readouterr().out
    monkeypatch.undo()
    assert main(["train", "--resume", run]) == 0
    assert (tmp_path / "run" / "curves.png").exists()
    assert checkpoint.load_state(tmp_path / "run" / "checkpoint.npz")[1].history.epochs == 2
