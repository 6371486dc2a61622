"""The figure that all pictures are drawn on. Imported, with matplotlib, when the first is drawn."""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class Picture(Figure):
    """A figure that shows itself in a notebook, where others are shown by pyplot, which knows nothing of this one."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        FigureCanvasAgg(self)

    def _repr_png_(self):
        """The PNG and, for who cannot see it, its title."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi="figure")
        return file.getvalue(), {"alt": " ".join(text.get_text() for text in self.texts)}
