"""The pytest plugin: the fixture `gradcheck`, `@pytest.mark.gradcheck`, `--gradcheck-effort`, a line at the end.

pytest loads it wherever minivae is installed, so it imports NumPy and the checker only when something is checked.
`-p no:minivae_gradcheck` leaves it out.
"""

import functools
import inspect
import traceback
from collections.abc import Mapping
from unittest import TestCase

import pytest

EFFORTS: dict[str, dict[str, int]] = {
    "quick": {"full": 24, "coordinates": 12, "directions": 2, "elsewhere": False},
    "default": {},
    "full": {"full": 20_000, "coordinates": 500, "directions": 10},
}
RETURNS = "(target, inputs) or (target, inputs, options)"


def pytest_addoption(parser):
    text = "how many derivatives a gradient check looks at where the test does not say"
    inifile = "default: gradcheck_effort of the ini file"
    parser.getgroup("minivae").addoption("--gradcheck-effort", choices=[*EFFORTS], help=f"{text}; {inifile}")
    parser.addini("gradcheck_effort", f"{text}: {', '.join(EFFORTS)}", default="default")


def pytest_configure(config):
    text = f"gradcheck(**options): checks what the test returns, {RETURNS}; options are those of check_gradients"
    config.addinivalue_line("markers", text)
    effort = config.getini("gradcheck_effort")
    if effort not in EFFORTS:
        raise pytest.UsageError(f"gradcheck_effort: got {effort!r}, expected one of {', '.join(EFFORTS)}")


@pytest.fixture
def gradcheck(request):
    """minivae.gradcheck.assert_gradients, by default with --gradcheck-effort and the options of a mark; counted in the
    summary.
    """

    def gradcheck(target, inputs, **options):
        __tracebackhide__ = True
        report = _check(request.node, target, inputs, options)
        if not report.passed:
            raise AssertionError(_text(report))
        return report

    return gradcheck


def pytest_runtest_setup(item):
    if item.get_closest_marker("gradcheck"):
        plain = isinstance(item, pytest.Function) and not issubclass(item.cls or object, TestCase)
        _demand(plain, "it is for test functions, which can return something; call assert_gradients here")


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    function = pyfuncitem.obj

    @functools.wraps(function)
    def test(*arguments, **keywords):  # it returns None, as pytest demands of a test
        _judge(pyfuncitem, function(*arguments, **keywords))

    if pyfuncitem.get_closest_marker("gradcheck"):
        pyfuncitem.obj = test
    yield
    pyfuncitem.obj = function


def _judge(item, returned):
    """Checks what a marked test returned."""
    waits = inspect.iscoroutine(returned) or inspect.isgenerator(returned)
    if waits:
        returned.close()  # or Python would warn that nobody has awaited it
    waits = waits or inspect.isasyncgen(returned)
    _demand(not waits, f"got an async test or a generator, expected a function that returns {RETURNS}")
    if returned is None:
        counted = any(key == "gradcheck" for key, _ in item.user_properties)
        _demand(counted, f"nothing was checked: the test returned None, expected {RETURNS}")
        return
    parts = returned if isinstance(returned, tuple) else ()
    whole = len(parts) == 2 or (len(parts) == 3 and isinstance(parts[2], Mapping))
    _demand(whole, f"the test returned {type(returned).__name__}, expected {RETURNS}")
    target, inputs, *options = parts
    report = _check(item, target, inputs, {"name": item.name, **dict(*options)})
    if not report.passed:
        pytest.fail(_text(report), pytrace=False)


def _demand(condition, text):
    if not condition:
        pytest.fail(f"@pytest.mark.gradcheck: {text}", pytrace=False)


def _check(item, target, inputs, options):
    """check_gradients with the options of the effort, of the marks from the farthest to the closest, and these."""
    from .check import check_gradients

    effort = item.config.getoption("gradcheck_effort") or item.config.getini("gradcheck_effort")
    chosen = dict(EFFORTS[effort])
    for mark in reversed([*item.iter_markers("gradcheck")]):
        _demand(not mark.args, f"got {mark.args[:1]}, expected options of check_gradients by name")
        chosen.update(mark.kwargs)
    report = check_gradients(target, inputs, **chosen | options)
    verdicts = {array.verdict for array in report.arrays}
    failed = "unresolved" if not report.problems and "wrong" not in verdicts else "failed"
    found = {
        "verdict": "passed" if report.passed else failed,
        "arrays": len(report.arrays),
        "coordinates": sum(len(array.coordinates) for array in report.arrays),
        "directions": sum(len(array.directions) for array in report.arrays),
    }
    item.user_properties.append(("gradcheck", found))  # plain values: pytest-xdist sends them to the process that sums
    return report


def _text(report):
    """The report, and where in its own code the target raised."""
    cause = report.cause
    if cause is None:
        return str(report)
    frames = cause.__traceback__
    while frames.tb_next and frames.tb_frame.f_globals["__name__"].startswith("minivae.gradcheck."):
        frames = frames.tb_next
    lines = traceback.format_exception(type(cause), cause.with_traceback(frames), frames)
    return f"{report}\n\n{''.join(lines)}"


def pytest_terminal_summary(terminalreporter):
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    ends = [report for report in reports if getattr(report, "when", None) == "teardown"]  # they have all properties
    checks = [value for report in ends for key, value in report.user_properties if key == "gradcheck"]
    if not checks:
        return
    arrays, coordinates, directions = (
        _count(sum(c[word] for c in checks), word) for word in ("arrays", "coordinates", "directions")
    )
    failed, unresolved = (sum(c["verdict"] == word for c in checks) for word in ("failed", "unresolved"))
    text = f"gradcheck: {_count(len(checks), 'checks')} of {arrays} ({coordinates}, {directions}), "
    terminalreporter.write_line(f"{text}{failed} failed, {unresolved} unresolved")


def _count(number, things):
    return f"{number:,} {things if number != 1 else things[:-1]}"
