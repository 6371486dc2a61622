"""One case of a kernel against the specification, on whatever device."""

import numpy as np

from minivae.kernels.cuda import runtime

from .host import cuda_backend


def placed(argument):
    """A copy of the argument on the device in use; a column block stays a block of a wider array."""
    if not isinstance(argument, np.ndarray):
        return argument
    if argument.flags.c_contiguous:
        return runtime.current().from_host(argument)
    return runtime.current().from_host(np.hstack([argument, np.zeros_like(argument)]))[:, : argument.shape[1]]


def check(case, device, where):
    """Runs the kernel there. AssertionError where a result is off or an input has changed; else the largest error, as a
    share of what is allowed.
    """
    kernel = getattr(cuda_backend(), case.kernel)

    def call(*arguments):
        moved = [placed(argument) for argument in arguments]
        kernel(*moved)
        for argument, result in zip(arguments, moved, strict=True):
            if isinstance(argument, np.ndarray):
                argument[...] = device.to_host(result)

    with runtime.use(device):
        share, text = case.judge(case.run(call))
    assert share <= 1, f"{where}: {text}"
    return share
