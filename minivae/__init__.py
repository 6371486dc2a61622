"""minivae: a variational autoencoder from scratch, every gradient written by hand and checked.

Its names come from `facade`, imported when one is first asked for: `import minivae.gradcheck` takes NumPy alone.
"""

import importlib.util
from typing import TYPE_CHECKING

from .training import leaving as leaving  # first: it waits for Ctrl-C while the others are imported

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .facade import *  # noqa: F403
    from .facade import checkpoint as checkpoint
    from .facade import importance as importance
    from .facade import optim as optim
    from .optim import *  # noqa: F403
else:

    def __getattr__(name):
        """A module of the package, or a name of the facade."""
        public = name == "__all__" or (name.isidentifier() and not name.startswith("_"))
        if public and importlib.util.find_spec(f"{__name__}.{name}"):
            return importlib.import_module(f"{__name__}.{name}")
        facade = importlib.import_module(f"{__name__}.facade") if public else None
        if not hasattr(facade, name):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals().setdefault(name, getattr(facade, name))

    def __dir__():
        return sorted({*globals(), *__getattr__("__all__")})
