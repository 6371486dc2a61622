"""One kernel against the specification, on whatever device."""

import numpy as np

from minivae.kernels import naive
from minivae.kernels.cuda import runtime

from ..kernels.test_contract import in_float64, run_case
from .host import cuda_backend


def placed(argument):
    """A copy of the argument on the device in use; a column block stays a block of a wider array."""
    if not isinstance(argument, np.ndarray):
        return argument
    if argument.flags.c_contiguous:
        return runtime.current().from_host(argument)
    return runtime.current().from_host(np.hstack([argument, np.zeros_like(argument)]))[:, : argument.shape[1]]


class Comparison:
    """The exact result of one case, and checks of the backend's."""

    def __init__(self, kernel, arguments, bounds):
        self.kernel, self.arguments, self.bounds = kernel, arguments, bounds
        self.exact = run_case(getattr(naive, kernel), [in_float64(argument) for argument in arguments])

    def check(self, device, where):
        """Runs the kernel there. AssertionError where a result is off or an input has changed; else the largest error,
        in units of what is allowed.
        """
        worst = 0.0
        with runtime.use(device):
            got = [placed(argument) for argument in self.arguments]
            getattr(cuda_backend(), self.kernel)(*got)
            for index, argument in enumerate(self.arguments):
                if index in self.bounds:
                    worst = max(worst, self._error(device.to_host(got[index]), index, where))
                elif isinstance(argument, np.ndarray):
                    message = f"{where} changed argument {index}"
                    np.testing.assert_array_equal(device.to_host(got[index]), argument, err_msg=message)
        return worst

    def _error(self, got, index, where):
        exact = self.exact[index]
        finite = np.isfinite(exact)
        np.testing.assert_array_equal(np.isfinite(got), finite, err_msg=f"{where}, argument {index}")
        error = np.abs(np.where(finite, got, 0) - np.where(finite, exact, 0))
        allowed = self.bounds[index] + (np.finfo(got.dtype).tiny if got.dtype.kind == "f" else 0)
        assert (error <= allowed).all(), f"{where}, argument {index}: off by {error.max():.3g}"
        return float(np.max(error / np.maximum(allowed, 1e-300)))
