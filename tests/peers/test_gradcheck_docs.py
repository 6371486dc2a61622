"""The examples of docs/gradient-checking.md that need torch or JAX print what it says, where those are installed."""

import contextlib
import io
import re

import pytest

from tests.minivae.gradcheck.test_docs import PAGE, shape


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_examples_print_what_the_page_says(library):
    pytest.importorskip(library, reason=f"{library} is not installed; the example needs it")
    blocks = re.findall(rf"```python {library}\n(.*?)```(?:\n\n```text\n(.*?)```)?", PAGE.read_text(), re.DOTALL)
    assert blocks
    namespace = {}
    for code, printed in blocks:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, str(PAGE), "exec"), namespace)
        assert shape(out.getvalue()) == shape(printed), out.getvalue()
