"""Threads that start at once."""

import threading
from concurrent.futures import ThreadPoolExecutor


def together(function, count=2):
    """[function(0), function(1), ...], each from a thread of its own; what one of them raises is raised."""
    barrier = threading.Barrier(count)

    def one(index):
        barrier.wait()
        return function(index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))
