"""What holds for all tests: no outcome depends on how busy the machine is."""

import os

from hypothesis import HealthCheck, settings
from tqdm import tqdm

# The tests' matrix products are small: with its threads a BLAS takes ten times as long, on a busy machine longer still.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
settings.register_profile("tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")
tqdm.monitor_interval = 0  # or a thread would wake by the clock while memory is measured
