"""The notebooks in examples/ run from top to bottom and give what stands in them.

`python -m tests.test_notebooks` runs them and keeps what they gave.
"""

import re
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))
MEASURED = "measured"  # the tag of a cell whose figures belong to one machine: only their form is compared
BAR, WIDGET = re.compile(r".*100%\|.*\|.*"), "application/vnd.jupyter.widget-view+json"  # progress, one line
COMPILING = "minivae: compiling CPU kernels"  # said where it takes seconds, once on each machine
NUMBER = re.compile(r"\d[\d,]*\.?\d*(?:e[+-]?\d+)?")


def run(path, folder):
    """The notebook with what its cells gave, in a process whose working folder is `folder`."""
    notebook = nbformat.read(path, 4)
    options = {"timeout": 600, "kernel_name": "python3", "record_timing": False}
    return NotebookClient(notebook, resources={"metadata": {"path": str(folder)}}, **options).execute()


def results(cell):
    """(bars of progress, [(kinds, text)]) of a cell; prints that follow one another are one."""
    bars, found = 0, []
    for output in cell.outputs:
        data = output.get("data", {"stream": output.get("text", "")})
        text = data.get("text/plain", data.get("stream", ""))
        if output.output_type == "display_data" and (BAR.fullmatch(text) or WIDGET in data):
            bars += 1
            continue
        if output.get("name") == "stderr" and text.startswith(COMPILING) and text.count("\n") == 1:
            continue
        kinds = {output.get("name", output.output_type), *(kind for kind in data if kind != "text/plain")}
        if kinds == {"stdout", "stream"} and found and found[-1][0] == kinds:
            text = found.pop()[1] + text
        found.append((kinds, text))
    return bars, found


def check(before, after):
    """That a cell gave the same again; numbers with a point may differ by half a percent or in their last digit."""
    (bars, expected), (bars_now, found) = results(before), results(after)
    assert bars == bars_now == ("fit(" in before.source)
    assert [kinds for kinds, _ in found] == [kinds for kinds, _ in expected]
    for (_, text), (_, now) in zip(expected, found, strict=True):
        assert re.sub(r"\s+", " ", NUMBER.sub("#", now)) == re.sub(r"\s+", " ", NUMBER.sub("#", text))
        if MEASURED not in before.metadata.get("tags", ()):
            for number, other in zip(NUMBER.findall(text), NUMBER.findall(now), strict=True):
                digits = int(re.sub(r"e.*|\D", "", number))
                within = max(0.005, 1.01 / max(1, digits)) if "." in number else 0
                value, again = (float(n.replace(",", "")) for n in (number, other))
                np.testing.assert_allclose(again, value, rtol=within, err_msg=text)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_what_stands_in_it(path, tmp_path):
    stored, now = nbformat.read(path, 4), run(path, tmp_path)
    pictures = 0
    for before, after in zip(stored.cells, now.cells, strict=True):
        if before.cell_type == "code":
            check(before, after)
            assert not any("stderr" in kinds for kinds, _ in results(after)[1]), "nothing is complained of"
            pictures += sum("image/png" in output.get("data", {}) for output in after.outputs)
    assert pictures
    assert path.stat().st_size < 300_000
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_of_a_notebook_exist(path):
    for target in re.findall(r"\]\(([^)#:]+)", "".join(cell.source for cell in nbformat.read(path, 4).cells)):
        assert (path.parent / target).exists(), target


def test_all_four_are_there():
    assert {path.stem for path in NOTEBOOKS} == {
        "first_run",
        "backprop_through_a_sample",
        "checking_your_own_gradient",
        "kernels",
    }


@pytest.mark.parametrize(
    ("text", "now"), [("loss 12.3", "loss 12.5"), ("loss 12.3", "loos 12.3"), ("1 wrong", "2 wrong"), ("a", "a\nb")]
)
def test_another_result_would_be_seen(text, now):
    cells = [
        nbformat.v4.new_code_cell("", outputs=[nbformat.v4.new_output("stream", name="stdout", text=t)])
        for t in (text, now)
    ]
    check(cells[0], cells[0])
    with pytest.raises(AssertionError):
        check(*cells)


if __name__ == "__main__":
    for path in NOTEBOOKS if len(sys.argv) == 1 else map(Path, sys.argv[1:]):
        nbformat.write(run(path, path.parent), path)
