"""Whether a CUDA device can be used here, found out without importing Numba."""

import ctypes
import functools
import importlib.util
import sys

DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


@functools.cache
def why_not():
    """What is missing, as a phrase, or None where a device can be used."""
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return "there is no NVIDIA driver"
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return "the NVIDIA driver finds no device"
    if importlib.util.find_spec("numba_cuda") is None:
        return "the package numba-cuda is not installed"
    return None
