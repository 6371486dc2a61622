"""What holds for all tests."""

import os

# The products of the tests are small: threads of the BLAS would take ten times as long, and longer on a busy machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
