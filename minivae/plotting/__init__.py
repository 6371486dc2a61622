"""Every picture that a training run leaves, drawn from plain NumPy arrays; nothing here knows a model class.

Each ``plot_*`` function returns a ``matplotlib.figure.Figure`` and, where ``path`` is given, writes it as a PNG in one
step: a reader never meets half a file. Figures are made without pyplot, so they need no display, touch no global state
and leave nothing open. matplotlib itself is imported when the first picture is drawn. In a notebook they show
themselves. Where a picture has one panel, ``ax=`` draws it in axes of your own; where pyplot shows their figure too,
end that line with a semicolon.
"""

from .history import plot_history
from .images import plot_reconstructions, plot_samples
from .latent import manifold_grid, plot_latent
from .points import plot_points, plot_profiles
from .walks import plot_walks

__all__ = [
    "manifold_grid",
    "plot_history",
    "plot_latent",
    "plot_points",
    "plot_profiles",
    "plot_reconstructions",
    "plot_samples",
    "plot_walks",
]
