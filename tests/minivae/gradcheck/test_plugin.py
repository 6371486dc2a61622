"""The pytest plugin, in pytest runs of their own."""

import configparser
import importlib.util
import os
import re
from pathlib import Path

import pytest

import minivae.gradcheck.check  # noqa: F401  (a run within this process forgets its imports, and NumPy loads only once)

pytest_plugins = "pytester"
ROOT = Path(__file__).parents[3]

LAYER = """
import numpy as np
import pytest

X = np.linspace(-1, 1, 6).reshape(2, 3)

def layer(factor=1.0):
    return (lambda x: (np.tanh(x), np.tanh(x))), (lambda dy, y: factor * dy * (1 - y**2))
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Runs pytest on the text of a test file, with the plugin and without those that are installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(text, *arguments):
        pytester.makepyfile(LAYER + text)
        plugin = ("-p", "minivae.gradcheck.plugin", "-p", "no:cacheprovider", "--strict-markers", "-W", "error")
        return pytester.runpytest_inprocess(*plugin, *arguments)

    return run


def test_a_mark_checks_what_a_test_returns(run):
    result = run("""
@pytest.mark.gradcheck
@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_layer(factor):
    return layer(factor), X

@pytest.mark.gradcheck(rtol=1e-3)
class TestThem:
    def test_options_of_the_mark(self):
        return layer(1.0001), X

    @pytest.mark.gradcheck(rtol=1e-5)
    def test_the_closest_mark_counts(self):
        return layer(1.0001), X

    def test_options_of_its_own_count_more(self):
        return layer(1.0001), X, {"rtol": 1e-6}
""")
    result.assert_outcomes(passed=2, failed=3)
    result.stdout.fnmatch_lines(
        ["gradient check failed: test_layer?2.0? (float64, *", "*WRONG at 6 of 6*twice the right*"]
    )
    assert "plugin.py" not in result.stdout.str(), "the report is the failure"
    result.stdout.fnmatch_lines(
        ["gradcheck: 5 checks of 5 arrays (30 coordinates, 0 directions), 3 failed, 0 unresolved"]
    )


def test_the_example_of_the_page(run):
    page = (ROOT / "docs" / "gradient-checking-your-code.md").read_text()
    code, line = re.search(r"```py\n(.*?)```\n\n```text\n(gradcheck: .*?)\n```", page, re.DOTALL).groups()
    result = run(code)
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines([line])


def test_a_fixture_checks_more_than_once(run):
    result = run("""
def test_both(gradcheck):
    assert gradcheck(layer(), X).relative_error < 1e-9
    with pytest.raises(AssertionError, match="sign flipped"):
        gradcheck(layer(-1.0), X)
    gradcheck(layer(3.0), X, name="mine")
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ['>       gradcheck(layer(3.0), X, name="mine")', "E*gradient check failed: mine (float64*"]
    )
    assert "plugin.py" not in result.stdout.str()
    result.stdout.fnmatch_lines(
        ["gradcheck: 3 checks of 3 arrays (18 coordinates, 0 directions), 2 failed, 0 unresolved"]
    )


@pytest.mark.parametrize(
    ("test", "says"),
    [
        ("def test(): layer(), X", "nothing was checked: the test returned None, expected (target, inputs) or"),
        ("def test(gradcheck): pass", "nothing was checked"),
        ("def test(): return X", "the test returned ndarray, expected (target, inputs)"),
        ("def test(): return layer(), X, 3", "the test returned tuple, expected (target, inputs)"),
        ("async def test(): return layer(), X", "got an async test or a generator"),
        ("async def test(): yield layer(), X", "got an async test or a generator"),
        ("class Test(__import__('unittest').TestCase):\n    def test(self): pass", "call assert_gradients here"),
        ("def test(): return layer(), X, {'rtoll': 1}", "unexpected keyword argument 'rtoll'"),
    ],
)
def test_a_marked_test_that_checks_nothing_fails(run, test, says):
    result = run(f"@pytest.mark.gradcheck\n{test}")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert says in result.stdout.str()
    assert "checks of" not in result.stdout.str()


def test_options_of_a_mark_have_names(run):
    result = run("@pytest.mark.gradcheck(1e-3)\ndef test(): return layer(), X")
    result.stdout.fnmatch_lines(["@pytest.mark.gradcheck: got (0.001,), expected options of check_gradients by name"])


def test_a_mark_is_content_with_a_check_by_the_fixture(run):
    run("@pytest.mark.gradcheck\ndef test(gradcheck): gradcheck(layer(), X)").assert_outcomes(passed=1)


def test_what_a_target_raises_is_shown_where_it_raised(run):
    result = run("""
def broken(x):
    raise KeyError("lost")

@pytest.mark.gradcheck
def test_layer():
    return (broken, broken), X
""")
    result.stdout.fnmatch_lines(["  forward raised KeyError: 'lost'", "*test_what*in broken", "KeyError: 'lost'"])
    assert "targets.py" not in result.stdout.str()


LARGE = """
@pytest.mark.gradcheck
def test_large():
    return layer(), np.linspace(-1, 1, 300)
"""


@pytest.mark.parametrize(
    ("arguments", "coordinates", "directions"),
    [
        ([], 24, 3),
        (["--gradcheck-effort=quick"], 12, 2),
        (["--gradcheck-effort=full"], 300, 0),
        (["-o", "gradcheck_effort=quick"], 12, 2),
        (["-o", "gradcheck_effort=quick", "--gradcheck-effort=default", "-q"], 24, 3),
    ],
)
def test_effort(run, arguments, coordinates, directions):
    result = run(LARGE, *arguments)
    result.stdout.fnmatch_lines(
        [f"gradcheck: 1 check of 1 array ({coordinates} coordinates, {directions} directions)*"]
    )


def test_quick_effort_stays_at_the_inputs_of_the_test(run):
    wrong_beyond_2 = """
@pytest.mark.gradcheck
def test_here():
    return ((lambda x: (np.tanh(x), x)), lambda dy, x: dy * (1 - np.tanh(x) ** 2) * (abs(x) < 2)), X
"""
    run(wrong_beyond_2).assert_outcomes(failed=1)
    run(wrong_beyond_2, "--gradcheck-effort=quick").assert_outcomes(passed=1)


@pytest.mark.parametrize("arguments", [["--gradcheck-effort=much"], ["-o", "gradcheck_effort=much"]])
def test_an_unknown_effort_is_a_wrong_call(run, arguments):
    result = run(LARGE, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "much" in result.stderr.str()


def test_an_array_that_rounding_hides_is_counted(run):
    result = run("""
def sigmoid(x):
    y = 1 / (1 + np.exp(-x))
    return y, y

@pytest.mark.gradcheck(method="differences")
def test_saturated():
    return (sigmoid, lambda dy, y: dy * y * (1 - y)), np.linspace(35, 36.5, 6)
""")
    result.stdout.fnmatch_lines(["gradcheck: 1 check of 1 array (6 coordinates, 0 directions), 0 failed, 1 unresolved"])


def test_unused_it_says_nothing(run):
    result = run("def test_other():\n    assert X.any()")
    result.assert_outcomes(passed=1)
    assert "gradcheck" not in result.stdout.str()


def test_it_is_installed_and_can_be_left_out(pytester, monkeypatch):
    """By its entry point, and without NumPy in a run that checks nothing."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    name, value = re.fullmatch(r"\s*(\w+) = ([\w.]+)", setup["options.entry_points"]["pytest11"]).groups()
    assert importlib.util.find_spec(value)
    metadata = pytester.mkdir("stand_in-1.dist-info")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stand-in\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[pytest11]\n{name} = {value}\n")
    monkeypatch.setenv("PYTHONPATH", str(pytester.path), prepend=os.pathsep)
    pytester.makepyfile("import sys\ndef test_light(request): assert 'numpy' not in sys.modules, request.fixturenames")
    for plugins, marker in ([], True), (["-p", f"no:{name}"], False):
        found = pytester.runpytest_subprocess(*plugins, "--markers")
        assert ("@pytest.mark.gradcheck(**options)" in found.stdout.str()) == marker
    alone = ("-p", "no:_hypothesis_pytestplugin", "-p", "no:hypothesispytest", "-p", "no:cacheprovider")
    pytester.runpytest_subprocess(*alone).assert_outcomes(passed=1)
