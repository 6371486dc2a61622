"""docs/extending.md: each example is a program of at most 30 lines, blank ones aside, that runs."""

import re
from pathlib import Path

import pytest

from minivae.kernels import backend

PAGE = Path(__file__).parent.parent / "docs" / "extending.md"
EXAMPLES = {  # by the title above it
    section.partition("\n")[0]: section.split("```python\n")[1].split("```")[0]
    for section in PAGE.read_text().split("\n## ")
    if "```python" in section
}


def test_every_kind_of_part_has_its_example():
    assert len(EXAMPLES) == 9
    assert len(EXAMPLES) == PAGE.read_text().count("```python")
    for title, code in EXAMPLES.items():
        assert len(list(filter(str.strip, code.splitlines()))) <= 30, title
        assert "mv.fit(" in code
        assert re.search(r"assert model\.check\(|mv\.assert_gradients\(|assert_allclose\(", code), title


@pytest.mark.parametrize("title", EXAMPLES)
def test_examples_run(title, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(backend, "BACKENDS", dict(backend.BACKENDS))
    exec(compile(EXAMPLES[title], f"{PAGE}: {title}", "exec"), {"__name__": "__main__"})
