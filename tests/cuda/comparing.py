"""One case of a kernel against the specification, whatever runs it."""

from minivae.kernels.cuda import runtime

from .host import HostRuntime, cuda_backend


def check(case, execute, where):
    """Runs the kernel by `execute`; AssertionError where a result is off or an input has changed."""
    with runtime.use(HostRuntime(execute)):
        share, text = case.judge(case.run(getattr(cuda_backend(), case.kernel)))
    assert share <= 1, f"{where}: {text}"
