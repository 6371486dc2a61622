"""The device as the backend sees it: memory, launches, workspaces and graphs, behind one object.

Tests put an object of their own in its place (`use`), which launches the same kernels in a simulator or as PTX on the
CPU; nothing else in this package touches a device.
"""

import contextlib
import copyreg
from typing import NamedTuple

import numpy as np

from .constants import FLAT_BLOCKS, FLAT_THREADS, PARTS, PRODUCT_THREADS, ROW_BLOCKS, ROW_THREADS, VECTOR


class Launch(NamedTuple):
    """One kernel launch, its arguments bound."""

    kernel: object
    blocks: int
    threads: int
    arguments: tuple

    def __str__(self):
        return f"{self.kernel.py_func.__name__}[{self.blocks} x {self.threads}]"


class Runtime:
    """What does not depend on the kind of device: collected launches and workspaces."""

    def __init__(self):
        self._collected = None
        self._workspaces = {}

    def launch(self, kernel, blocks, threads, *arguments):
        """Runs a kernel, or within `collecting` only notes it."""
        launch = Launch(kernel, blocks, threads, arguments)
        if self._collected is None:
            self.run(launch)
        else:
            self._collected.append(launch)

    def launch_flat(self, kernel, elements, *arguments):
        """Runs a grid-stride kernel with a thread for each element, up to a full device."""
        self.launch(kernel, max(1, min(-(-elements // FLAT_THREADS), FLAT_BLOCKS)), FLAT_THREADS, *arguments)

    def launch_rows(self, kernel, rows, *arguments):
        """Runs a kernel that gives each block whole rows; partial sums and counters are its last arguments."""
        workspaces = self.workspace("rows", PARTS * ROW_BLOCKS, "float64"), self.workspace("row counters", 2, "int32")
        self.launch(kernel, min(rows, ROW_BLOCKS), ROW_THREADS, *arguments, *workspaces)

    @contextlib.contextmanager
    def collecting(self):
        """Within this context launches go into the list it gives, and nothing runs."""
        self._collected = launches = []
        try:
            yield launches
        finally:
            self._collected = None

    def workspace(self, name, size, dtype):
        """At least `size` zeros under this name, kept from call to call. A larger request gets a new array; launches
        that were bound to the old one keep it alive.
        """
        key = name, np.dtype(dtype).name
        array = self._workspaces.get(key)
        if array is None or array.shape[0] < size:
            array = self._workspaces[key] = self.zeros((size,), dtype)
        return array

    def given(self, array, dtype):
        """The array, or for None a vector that stands in for what a variant of a kernel does not look at."""
        return self.workspace("unused", 8, dtype) if array is None else array

    def product_arguments(self, name, plan, dtype):
        """(across, splits, part), partial and counters of a planned product; products of one launch differ in name."""
        rows = max(1, plan.workspace_rows)
        partial = self.workspace(name, rows * VECTOR * PRODUCT_THREADS, dtype).reshape((-1, VECTOR * PRODUCT_THREADS))
        counters = self.workspace(name + " counters", plan.tiles, "int32")
        return tuple(map(np.uint32, (plan.across, plan.splits, plan.part))), partial, counters


class Gpu(Runtime):
    """The current device of numba-cuda, on its default stream."""

    def __init__(self):
        super().__init__()
        from numba import cuda
        from numba.cuda.core import config
        from numba.cuda.cudadrv.devicearray import DeviceNDArray

        # a warning at every launch of fewer than 128 blocks, of which a step of a small model has many
        config.CUDA_LOW_OCCUPANCY_WARNINGS = 0
        self._cuda = cuda
        copyreg.pickle(DeviceNDArray, _pickled)

    def zeros(self, shape, dtype):
        return self._cuda.to_device(np.zeros(shape, dtype))

    def from_host(self, array):
        if hasattr(array, "__cuda_array_interface__"):
            return array
        return self._cuda.to_device(np.ascontiguousarray(array))

    def to_host(self, array):
        return array.copy_to_host()

    def assign(self, destination, source):
        host = np.empty(destination.shape, destination.dtype)
        host[...] = source
        destination.copy_to_device(host)

    def address(self, array):
        return array.device_ctypes_pointer.value or 0

    def run(self, launch):
        launch.kernel[launch.blocks, launch.threads](*launch.arguments)

    def capture(self, launches):
        """The launches as one CUDA graph: a function that launches it on the default stream.

        Every kernel must have run before, so that nothing is compiled or loaded during the capture.
        """
        from cuda.core import Device, Stream

        device = Device(self._cuda.get_current_device().id)
        device.set_current()
        builder = device.create_graph_builder()
        builder.begin_building()
        for launch in launches:
            launch.kernel[launch.blocks, launch.threads, builder](*launch.arguments)
        graph, stream = builder.end_building().complete(), Stream.from_handle(0)
        return lambda: graph.launch(stream)

    def synchronize(self):
        self._cuda.synchronize()


def _pickled(array):
    return _unpickled, (array.copy_to_host(),)


def _unpickled(host):
    return current().from_host(host)


_current = None


def current():
    """The device in use; the first call makes it."""
    global _current
    if _current is None:
        _current = Gpu()
    return _current


@contextlib.contextmanager
def use(runtime):
    """Puts another runtime in the device's place."""
    global _current
    previous, _current = _current, runtime
    try:
        yield runtime
    finally:
        _current = previous
