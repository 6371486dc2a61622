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


def contract(writes):
    """Decorator: registers a planner, a function (plan, *arguments of the contract), and returns the contract's
    function, which plans and runs one call, with scratch memory that its thread keeps.

    writes names the arguments that the kernel writes, separated by spaces; read-only ones are refused. Planning takes
    ten times as long as a small kernel, so a call on the very arrays and constants of an earlier one finds again what
    that one ran.
    """
    return lambda planner: _contract(planner, writes.split())


def _contract(plan_call, writes):
    signature = inspect.signature(plan_call)
    signature = signature.replace(parameters=list(signature.parameters.values())[1:])
    places = [(name, list(signature.parameters).index(name)) for name in writes]

    @functools.wraps(plan_call)
    def planner(plan, *arguments):
        for name, place in places:
            # a write to memory that is mapped to be read would end the process
            array = arguments[place] if place < len(arguments) else None
            if isinstance(array, np.ndarray) and not array.flags.writeable:
                raise ValueError(f"{name}: got a read-only array, expected one that can be written")
        plan_call(plan, *arguments)

    PLANNERS[planner.__name__] = planner

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
