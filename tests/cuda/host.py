"""The backend with host memory in the device's place: NumPy arrays, and launches that go to an executor."""

import numpy as np

from minivae.kernels import Backend
from minivae.kernels.cuda.runtime import Runtime


def cuda_backend():
    """The backend, on whatever device is in use."""
    from minivae.kernels.cuda import backend

    return Backend("cuda", backend)


class HostRuntime(Runtime):
    """`execute(launch)` runs each launch at once, on NumPy arrays."""

    def __init__(self, execute):
        super().__init__()
        self.run = execute

    def zeros(self, shape, dtype):
        return np.zeros(shape, dtype)

    def from_host(self, array):
        return np.ascontiguousarray(array).copy()

    def to_host(self, array):
        return array.copy()

    def assign(self, destination, source):
        destination[...] = source

    def address(self, array):
        return array.ctypes.data

    def capture(self, launches):
        """A graph with the device's promise: the launches as they were, whatever happens to the list afterwards."""
        frozen = tuple(launches)
        return lambda: [self.run(launch) for launch in frozen]

    def synchronize(self):
        pass
