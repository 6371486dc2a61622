"""The examples for torch and JAX print what docs/gradient-checking-your-code.md says, where those are installed."""

import pytest

from tests.minivae.gradcheck.test_docs import YOURS, examples_print_what_is_said


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_examples_print_what_the_page_says(library):
    pytest.importorskip(library, reason=f"{library} is not installed; the example needs it")
    assert examples_print_what_is_said(YOURS, f"python {library}") == 2
