"""`minivae explore`: a page in which the run's model can be played with, in any browser and without a network."""

import contextlib
import os
import sys
import webbrowser

from . import options
from .options import say

SUMMARY = "write a page in which the model runs, and open it in a browser"


def add(parser):
    options.add_run(parser)
    options.add_data(parser, options.HELD_OUT)
    parser.add_argument("-o", "--out", metavar="FILE", help="a .html file (RUN/explorer.html)")
    parser.add_argument("--no-open", action="store_true", help="only write it")


def run(args):
    from ..explorer import explore
    from ..runs import folder, reopening

    path = options.result_path(args, folder.EXPLORER, (".html",))
    options.expect_result(path, args)
    try:
        config, model, data, own = reopening.open_run(*options.asked(args))
    except ValueError as error:
        if ": parts: got " in str(error):  # those of the model that are of one's own, which are not in a file
            raise ValueError(f"{error}: load it with them, and call mv.explore(model, data)") from error
        raise
    shape = data.image_shape or reopening.image_shape(args.run, config)
    name, pixels = os.path.basename(os.path.abspath(args.run)), config.training.pixels
    page = explore(model, data, image_shape=shape, pixels=pixels, name=name, seed=args.seed)
    size = page.save(path)
    say(f"{path}, {size:,} bytes" + ("" if own else f", with examples of {data.name}, other data than the run's"))
    if page.reason:
        say(page.reason)
    if not args.no_open and _has_display():
        with contextlib.suppress(Exception):  # the file is there, and its name was said
            webbrowser.open(path.resolve().as_uri())


def _has_display():
    """Whether a browser would have a window: without one, some systems start a browser in the terminal."""
    if os.environ.get("CI"):
        return False
    return sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
