"""`python -m minivae` is the command `minivae`."""

import sys

from .command.main import program

sys.exit(program())
