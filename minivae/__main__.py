"""`python -m minivae` is the command `minivae`."""

import sys

from .cli import main

sys.exit(main())
