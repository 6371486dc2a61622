"""The explorer's page measured in headless Chromium, and its pictures (`pip install -e ".[explorer-test]"`).

    python -m benchmarks.explorer [RUN]        size, opening, dragging z: of a 784-400-20 model, or of a run folder
    python -m benchmarks.explorer pictures     docs/images/explorer-VIEW.png, of a 784-400-2 model

Models are trained first, on the shipped MNIST with seed 0, and kept in --work.

Opening is from the start of the navigation, of a page in a window of its own, to the first frame that shows it all.
A frame while z is dragged lasts from the first pointer event that it answers, or from its own beginning, to when it is
handed to the compositor: handlers, arithmetic, drawing, layout and paint. On a busy machine that holds what others took
of it; the processor time of the page's main thread does not.
"""

import argparse
import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

import minivae as mv
from minivae.runs import reopening
from tests.minivae.explorer.chromium import READY, VIEWS, launch, show

from . import harness

ROUNDS = 10  # openings
MOVES = 300  # of the pointer
EXAMPLE = 3  # in the pictures
SETTLED = 15_000  # milliseconds, until whatever a view computes bit by bit is there
FRAME = 16.0  # milliseconds that a frame may take
IMAGES = Path(__file__).parents[1] / "docs" / "images"

# The frame's own callback is the first in each frame, since it asks for the next one before anything else does; a
# message that it sends arrives once the frame is painted.
TIMES = """() => {
  const channel = new MessageChannel(), times = { spent: [], intervals: [] };
  let begun = null, last = null, moved = false;
  window.addEventListener("pointermove", () => { moved = true; begun ??= performance.now(); }, true);
  channel.port1.onmessage = () => {
    if (moved) times.spent.push(performance.now() - begun);
    begun = null;
    moved = false;
  };
  const frame = (time) => {
    requestAnimationFrame(frame);
    begun ??= performance.now();
    if (last !== null && moved) times.intervals.push(time - last);
    last = time;
    channel.port2.postMessage(null);
  };
  requestAnimationFrame(frame);
  globalThis.times = times;
}"""
DECODING = """() => {
  const { network, payload, state } = explorer, times = [];
  for (let i = 0; i < 200; i++) {
    const z = state.state.z.map((value) => value + 0.01 * i), begun = performance.now();
    network.decode(payload.payload.model, z);
    times.push(performance.now() - begun);
  }
  return times.slice(50);
}"""


def trained(work, latent, epochs):
    """(model, data) of a model as `minivae train` makes it."""
    data, path = mv.load_dataset("mnist"), Path(work) / f"explorer-{latent}.npz"
    if path.exists():
        return mv.VAE.load(path), data
    model = mv.VAE(784, latent, (400,), seed=0)
    mv.fit(model, data.train, epochs=epochs, batch_size=128, optimizer=mv.Adam(1e-3), seed=0, progress=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return model, data


def opened(browser, path, fragment="", watched=False, **options):
    """A page that is ready; where it is `watched`, its processor time counts from before."""
    page = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}).new_page()
    if watched:
        page.session = page.context.new_cdp_session(page)
        page.session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(path.as_uri() + fragment)
    page.locator(READY).wait_for(state="attached")
    return page


def opening(browser, path):
    """Milliseconds from the navigation to the page that can be used, of several openings; and of the main thread's
    processor time in each.
    """
    taken, processor = [], []
    for _ in range(ROUNDS):
        page = opened(browser, path, watched=True)
        taken.append(page.evaluate("performance.getEntriesByName('ready')[0].startTime"))
        processor.append(busy(page))
        page.context.close()
    return taken, processor


def plane(page):
    """The box of the figure in which z is dragged: of those of the first view, the one in which a press moves z."""
    for figure in page.locator("#view-model canvas.active").all():
        figure.scroll_into_view_if_needed()
        box = figure.bounding_box()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.4 * box["height"])
        page.mouse.up()
        if page.evaluate("explorer.state.state.moved"):
            return box
    raise SystemExit("no figure of the first view moves z")


def dragging(browser, path):
    """Milliseconds of each frame, and between frames, while z goes round twice; the main thread's processor time for
    each move; and of decodings.
    """
    page = opened(browser, path, "#model", watched=True)
    box = plane(page)
    page.evaluate(TIMES)
    before = busy(page)
    page.mouse.down()
    for angle in np.linspace(0, 4 * np.pi, MOVES):
        x, y = 0.5 + 0.35 * np.cos(angle), 0.5 + 0.35 * np.sin(angle)
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.evaluate("new Promise(requestAnimationFrame)")
    page.mouse.up()
    processor = (busy(page) - before) / MOVES
    times, decoding = page.evaluate("times"), page.evaluate(DECODING)
    page.context.close()
    return times["spent"], times["intervals"], processor, decoding


def busy(page):
    """Milliseconds of processor time that the main thread of a watched page has had."""
    metrics = {metric["name"]: metric["value"] for metric in page.session.send("Performance.getMetrics")["metrics"]}
    return 1000 * metrics["TaskDuration"]


def described(milliseconds):
    found = {"median_ms": np.median(milliseconds), "p95_ms": np.percentile(milliseconds, 95)}
    found |= {"worst_ms": np.max(milliseconds), "count": len(milliseconds)}
    return {name: round(float(value), 2) for name, value in found.items()}


def measure(page, browser, folder):
    path = folder / "page.html"
    size = page.save(path)
    spent, intervals, processor, decoding = dragging(browser, path)
    opening_taken, opening_processor = opening(browser, path)
    return {
        "bytes": size,
        "opening": described(opening_taken),
        "opening_processor": described(opening_processor),
        "frame": described(spent) | {"over": int((np.array(spent) > FRAME).sum())},
        "frame_processor_ms": round(processor, 2),
        "between_frames": described(intervals),
        "decoding": described(decoding),
        "browser": f"Chromium {browser.version}",
    }


def pressed(page, *names):
    for name in names:
        page.get_by_role("button", name=name, exact=True).click()
        page.wait_for_timeout(300)


def descended(page):
    """Forty steps, with two of the mistakes beside them."""
    for name in ("softplus, then exp again", "no KL term"):
        page.get_by_label(name).check()
    pressed(page, *4 * ["10 steps"])


SHOWN = {"trick": lambda page: pressed(page, "Run many draws"), "bound": descended}


def pictures(browser, folder, work):
    """Of each view one, of the same example and the same draw each time."""
    model, data = trained(work, 2, 20)
    path = folder / "page.html"
    mv.explore(model, data, name="mnist-1").save(path)
    for view in VIEWS:
        size = {"width": 1280, "height": 800}
        page = opened(browser, path, f"#{view}&lang=en&theme=light", viewport=size, reduced_motion="reduce")
        page.locator(".strip button").nth(EXAMPLE).click()
        show(page, view)
        SHOWN.get(view, lambda page: None)(page)
        page.wait_for_timeout(SETTLED)
        picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
        page.context.close()
        picture.convert("RGB").quantize(256).save(IMAGES / f"explorer-{view}.png", optimize=True)
        print(IMAGES / f"explorer-{view}.png")


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explorer", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", nargs="?", metavar="RUN|pictures", help="a run folder (a model that is trained first)")
    parser.add_argument("--work", default="runs", help="where trained models are kept (%(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as library:
        browser = launch(library)
        if arguments.what == "pictures":
            return pictures(browser, Path(folder), arguments.work)
        if arguments.what:
            _, model, data, _ = reopening.open_run(arguments.what)
        else:
            model, data = trained(arguments.work, 20, 10)
        found = measure(mv.explore(model, data, name="default"), browser, Path(folder))
    for name, value in found.items():
        print(f"{name:16} {value}")
    if not arguments.what:
        harness.write("explorer", {"machine": harness.machine(), **found})


if __name__ == "__main__":
    main()
