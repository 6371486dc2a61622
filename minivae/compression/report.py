"""What a model's compression is worth: its rate beside the bounds, other compressors, and the bytes of the model."""

import bz2
import contextlib
import gzip
import io
import lzma
import math
from typing import Any

import numpy as np

from ..evaluation.importance import estimate
from .codec import Codec
from .file import as_pixels, compress, read_header
from .networks import networks_of

SEVERAL = 16  # K of the second rate
MOST = 1000  # rows of it: it takes K times the time
NEAR = 16  # pixels that the context model looks at
PRIOR = 0.4  # of its counts
WIDEST_PICTURE = 16383  # pixels, of WebP


def report(model: Any, x: np.ndarray, train: np.ndarray | None = None, image_shape: Any = None) -> dict[str, Any]:
    """Rates in bits per dimension of the rows x, and what they are to be seen beside, as a dict.

    `rate` counts every byte of the file; `minus_elbo` is of the same rows, by one draw of z each. `others` are rates of
    general compressors of all rows in one piece (of 0 and 1, eight to a byte; zstd where `zstandard` is installed);
    where rows are images also of PNG and WebP, all in one picture, and of a context model of images of 0 and 1.
    `break_even` is the number of rows from which a file with the model inside, in 8 bits a weight, is smaller than that
    of the best of them without the context model: None where it never is.
    """
    x = np.asarray(x)
    pixels, _ = as_pixels(model, x)
    n, features = pixels.shape
    networks = networks_of(model)
    content = compress(model, x, progress=False)
    rate = 8 * len(content) / pixels.size
    _, drawn = Codec(networks).encode(pixels[:MOST], read_header(content).growth)
    few = x[:MOST]
    several = 8 * len(compress(model, few, SEVERAL, progress=False)) / few.size
    bits = features * math.log(2)
    alone = compress(model, x, weight_bits=8, progress=False)
    words = sum(block.words.stop - block.words.start for block in read_header(alone).blocks)
    weights = np.concatenate([part.ravel() for layer in (*networks.encoder, *networks.decoder) for part in layer[:2]])
    others = general(pixels if networks.of_bytes else np.packbits(pixels, axis=1), pixels.size)
    result = {
        "rows": n,
        "rate": rate,
        "minus_elbo": -float(estimate(model, x, 1, progress=False).log_likelihood.mean()) / bits,
        "initial_bits": 32 * drawn,
        "draws": SEVERAL,
        "rate_of_draws": several,
        "bound_of_draws": -float(estimate(model, few, SEVERAL, progress=False).log_likelihood.mean()) / bits,
        "rows_of_draws": len(few),
        "model_bytes": 4 * weights.size,
        "model_bytes_8_bits": len(alone) - words,
        "others": others,
    }
    flat = image_shape is not None and len(image_shape) == 2
    if flat:
        others |= pictures(pixels.reshape(n, *image_shape), networks.of_bytes)
    saved = (min(others.values()) - 8 * words / pixels.size) * features
    result["break_even"] = math.ceil(8 * result["model_bytes_8_bits"] / saved) if saved > 0 else None
    if flat and not networks.of_bytes:
        images = pixels.reshape(n, *image_shape)
        others[f"{NEAR} pixels of context"] = context_rate(images)
        if train is not None:
            others[f"{NEAR} pixels of context, primed"] = context_rate(
                images, as_pixels(model, train)[0].reshape(-1, *image_shape)
            )
    return result


def general(packed: np.ndarray, dimensions: int) -> dict[str, float]:
    """Rates of the standard library's compressors at their best, bits per dimension."""
    content = packed.tobytes()
    sizes = {
        "gzip -9": len(gzip.compress(content, 9)),
        "bz2 -9": len(bz2.compress(content, 9)),
        "lzma -9e": len(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)),
    }
    with contextlib.suppress(ImportError):
        from zstandard import ZstdCompressor

        sizes["zstd -19"] = len(ZstdCompressor(level=19).compress(content))
    return {name: 8 * size / dimensions for name, size in sizes.items()}


def pictures(images: np.ndarray, of_bytes: bool) -> dict[str, float]:
    """Rates of formats of pictures that lose nothing, for images (n, height, width) side by side in one; none where it
    is larger than they can be.
    """
    from PIL import Image, features

    (n, height, width), across = images.shape, math.ceil(math.sqrt(len(images)))
    if across * max(height, width) > WIDEST_PICTURE:
        return {}
    places = np.zeros((across * across, height, width), np.uint8)
    places[:n] = images
    sheet = places.reshape(across, across, height, width).swapaxes(1, 2).reshape(across * height, across * width)
    picture, sizes = Image.fromarray(sheet if of_bytes else sheet.astype(bool)), {}
    for name, options in (("PNG", {"optimize": True}), ("WebP", {"lossless": True})):
        if name == "PNG" or features.check("webp"):
            file = io.BytesIO()
            (picture if name == "PNG" else picture.convert("RGB")).save(file, name, **options)
            sizes[name] = 8 * file.tell() / images.size
    return sizes


def context_rate(images: np.ndarray, earlier: np.ndarray | None = None, near: int = NEAR, square: int = 0) -> float:
    """The rate of an adaptive context model of images (n, height, width) of 0 and 1, bits per pixel.

    The probability of a pixel is (n_v + a) / (n_0 + n_1 + 2 a), from how often each value came after the same `near`
    pixels above and to the left: as JBIG2 codes. `earlier` images are counted before; with `square`, pixels in squares
    of that side are counted apart. What an arithmetic coder spends on all pixels of a context together does not depend
    on their order: it is a ratio of Beta functions of the counts.
    """
    places = [(y, x) for y in range(5) for x in range(-4, 5) if y > 0 or x > 0]
    places = sorted(places, key=lambda place: (place[0] ** 2 + place[1] ** 2, place))[:near]
    counts = _counts(images, places, square)
    before = np.zeros(counts.shape) if earlier is None else _counts(earlier, places, square)
    used = counts.sum(axis=0) > 0
    ours = [_log_beta(*(before[:, used] + PRIOR)), _log_beta(*(before + counts)[:, used] + PRIOR)]
    return float((ours[0] - ours[1]).sum() / math.log(2) / images.size)


def _counts(images, places, square):
    """(2, contexts): how often 0 and 1 came after each context."""
    rows, columns = (np.arange(size) // (square or max(images.shape)) for size in images.shape[1:])
    squares = (rows[-1] + 1) * (columns[-1] + 1)
    contexts = np.zeros(images.shape, np.int32)
    contexts += (rows[:, None] * (columns[-1] + 1) + columns).astype(np.int32)
    for y, x in places:
        moved = np.zeros_like(images)
        height, width = images.shape[1:]
        if y < height and abs(x) < width:
            moved[:, y:, max(x, 0) : width + min(x, 0)] = images[:, : height - y, max(-x, 0) : width + min(-x, 0)]
        contexts = contexts << 1 | moved
    return np.stack([np.bincount(contexts[images == value], minlength=squares << len(places)) for value in (0, 1)])


def _log_beta(a, b):
    return np.array([math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y) for x, y in zip(a, b, strict=True)])
