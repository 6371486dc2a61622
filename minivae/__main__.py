"""`python -m minivae` is the command `minivae`."""

import sys

from .command.main import main

sys.exit(main())
