"""What holds for all tests: no outcome depends on how busy the machine is."""

import os
import signal

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
