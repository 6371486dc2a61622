"""What holds for all tests: no outcome depends on how busy the machine is; with --no-skips none may be left out."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings
from tqdm import tqdm

# Where the tests are a shell's background job, Ctrl-C is ignored, and what they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# The tests' matrix products are small: with its threads a BLAS takes ten times as long, on a busy machine longer still.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
settings.register_profile("tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")
tqdm.monitor_interval = 0  # or a thread would wake by the clock while memory is measured


def pytest_addoption(parser):
    parser.addoption("--no-skips", action="store_true", help="a run that skips a test fails")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    # a worker of pytest-xdist has no reporter: the process that started it counts the skips
    if session.config.getoption("--no-skips") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    if config.getoption("--no-skips") and terminalreporter.stats.get("skipped"):
        terminalreporter.write_line("--no-skips: the run fails because of what it skipped", red=True)
