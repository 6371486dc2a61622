"""The specification: every kernel of the contract as plain loops over plain arrays."""

from .importance import *  # noqa: F403
