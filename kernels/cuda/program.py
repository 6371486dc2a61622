"""Recorded steps: neighbouring calls that share a launch, and the launches as a CUDA graph."""

import functools
import inspect
from types import SimpleNamespace

from .. import naive
from . import runtime


def named(name, arguments):
    """A recorded call as an object that has its arguments under their names in the contract."""
    bound = inspect.signature(getattr(naive, name)).bind(*arguments)
    bound.apply_defaults()
    return SimpleNamespace(**bound.arguments)


def belong_together(call, following):
    """Whether the arrays and options that both calls name are the same. Each draws by its own seed and stream."""
    shared = vars(call).keys() & vars(following).keys() - {"seed", "stream"}
    pairs = ((getattr(call, name), getattr(following, name)) for name in shared)
    return all(a is b or (isinstance(a, str) and a == b) for a, b in pairs)


def fuse(kernels, calls):
    """The calls as functions that launch. A kernel that can do what follows it has a keyword-only parameter of that
    name, under which it gets the following call (see `named`) where the two belong together.
    """
    calls = [(name, arguments, named(name, arguments)) for name, arguments in calls]
    while calls:
        (name, arguments, call), *calls = calls
        kernel, extra = kernels[name], {}
        if calls and calls[0][0] in (kernel.__kwdefaults__ or ()) and belong_together(call, calls[0][-1]):
            (following, _, its_call), *calls = calls
            extra = {following: its_call}
        yield functools.partial(kernel, *arguments, **extra)


class CudaProgram:
    """A recorded step as launches with all arguments bound.

    The first run makes the launches one by one, which compiles and loads what is new; the second captures them as a
    CUDA graph, and from then on a step is one graph launch. Results are the same bit for bit.

    calls : what was recorded, as in `kernels.Program`
    kernels : the contract's functions by name
    launches : what the calls became
    """

    def __init__(self, calls, kernels):
        self.calls = tuple(calls)
        self._device = runtime.current()
        with self._device.collecting() as self.launches:
            for launch in fuse(kernels, self.calls):
                launch()
        self._graph = None
        self._runs = 0

    def launch_each(self):
        for launch in self.launches:
            self._device.run(launch)

    def __call__(self):
        if self._graph is None and self._runs:
            self._graph = self._device.capture(self.launches)
        self._runs += 1
        if self._graph is None:
            self.launch_each()
        else:
            self._graph()

    def __str__(self):
        return "\n".join(map(str, self.launches))
