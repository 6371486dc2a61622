"""One kernel against the specification, whatever runs it."""

import numpy as np

from minivae.kernels import naive
from minivae.kernels.cuda import runtime

from ..kernels.test_contract import in_float64, run_case
from .host import HostRuntime, cuda_backend


class Comparison:
    """The exact result of one case, and checks of the backend's."""

    def __init__(self, kernel, arguments, bounds):
        self.kernel, self.arguments, self.bounds = kernel, arguments, bounds
        self.exact = run_case(getattr(naive, kernel), [in_float64(argument) for argument in arguments])
        self.backend = cuda_backend()

    def check(self, execute, where):
        """Runs the kernel by `execute`; AssertionError where a result is off or an input has changed."""
        with runtime.use(HostRuntime(execute)):
            got = run_case(getattr(self.backend, self.kernel), self.arguments)
        for index, argument in enumerate(self.arguments):
            if index in self.bounds:
                self._check_result(got[index], index, where)
            elif isinstance(argument, np.ndarray):
                np.testing.assert_array_equal(got[index], argument, err_msg=f"{where} changed argument {index}")

    def _check_result(self, got, index, where):
        exact = self.exact[index]
        finite = np.isfinite(exact)
        np.testing.assert_array_equal(np.isfinite(got), finite, err_msg=f"{where}, argument {index}")
        error = np.abs(np.where(finite, got, 0) - np.where(finite, exact, 0))
        tiny = np.finfo(got.dtype).tiny if got.dtype.kind == "f" else 0
        assert (error <= self.bounds[index] + tiny).all(), f"{where}, argument {index}: off by {error.max():.3g}"
