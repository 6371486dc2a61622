"""How a function of the contract is made: it plans its work, and is run at once or recorded into a program."""

import functools
import inspect
import threading
import weakref

import numpy as np

from .program import Arena, Plan, run_whole
from .target import MOST_READY

# name: the planner of a function of the contract.
PLANNERS: dict = {}


class _Local(threading.local):
    """What a thread keeps for its calls outside of programs: scratch memory, and the tables of calls it has made."""

    def __init__(self):
        self.arena = Arena()
        self.ready = {}


_local = _Local()


def contract(planner):
    """Decorator: registers a planner, a function (plan, *arguments of the contract), and returns the contract's
    function, which plans and runs one call, with scratch memory that its thread keeps.

    Planning takes ten times as long as a small kernel, so a call on the very arrays and constants of an earlier one
    finds again what that one ran.
    """
    PLANNERS[planner.__name__] = planner

    signature = inspect.signature(planner)
    signature = signature.replace(parameters=list(signature.parameters.values())[1:])

    @functools.wraps(planner)
    def call(*arguments, **named):
        if named:
            arguments = signature.bind(*arguments, **named).args
        ready = _local.ready
        known = ready.get((planner, *map(id, arguments)))
        if known is None:
            known = _make_ready(planner, arguments, ready)
        known[0]()

    call.__signature__ = signature
    return call


def _make_ready(planner, arguments, ready):
    """(function that runs the call, what has to live as long). An id means the same object while that lives: the entry
    holds the constants, and goes when one of its arrays does.
    """
    arena = _local.arena
    arena.reset()
    plan = Plan(arena)
    planner(plan, *arguments)
    key = planner, *map(id, arguments)
    held = [weakref.ref(a, lambda _: ready.pop(key, None)) if isinstance(a, np.ndarray) else a for a in arguments]
    if len(ready) >= MOST_READY:
        ready.clear()
    table = plan.table()
    run = table.run if table.is_split else functools.partial(run_whole, table.rows)
    ready[key] = known = run, held, table
    return known
