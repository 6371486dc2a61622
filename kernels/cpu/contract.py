"""How a function of the contract is made: it plans its work, and is run at once or recorded into a program."""

import functools
import inspect

from .program import run_now

# name: the planner, a function (plan, *arguments of the contract).
PLANNERS: dict = {}


def contract(planner):
    """Decorator: registers a planner and returns the contract's function, which plans and runs one call."""
    PLANNERS[planner.__name__] = planner

    signature = inspect.signature(planner)
    signature = signature.replace(parameters=list(signature.parameters.values())[1:])

    @functools.wraps(planner)
    def call(*arguments, **named):
        if named:
            arguments = signature.bind(*arguments, **named).args
        run_now(planner, arguments)

    call.__signature__ = signature
    return call
