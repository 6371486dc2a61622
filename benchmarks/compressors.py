"""Other compressors at their best, on the images of `benchmarks.compression`."""

import io
import shutil
import subprocess
import sys

import numpy as np

from minivae.compression.report import context_rate, general


def rates(x, data):
    """Bits per pixel of test images, binarised (x) and grey, every byte counted; what is missing is told, left out."""
    grey, train = data.test, data.train
    images = x.astype(np.uint8).reshape(-1, 28, 28)
    seen = (np.random.default_rng(1).random(train.shape) < train / 255).astype(np.uint8).reshape(-1, 28, 28)
    packed = np.packbits(x)
    found = {"binary": general(packed, x.size), "grey": general(grey, grey.size)}
    try:
        import zstandard
    except ImportError:
        print("without zstd: pip install zstandard", file=sys.stderr)
    else:
        for name, content in (("binary", packed), ("grey", grey)):
            size = len(zstandard.ZstdCompressor(level=19).compress(content.tobytes()))
            found[name]["zstd -19"] = 8 * size / x.size
    try:
        found["binary"] |= pictures(images * np.uint8(255), "1", ("PNG", "WebP", "TIFF"))
        found["grey"] |= pictures(grey.reshape(-1, 28, 28), "L", ("PNG", "WebP"))
    except ImportError:
        print("without PNG, WebP and TIFF: pip install pillow", file=sys.stderr)
    if shutil.which("pbmtojbg"):
        sheet = np.packbits(sheet_of(images), axis=1).tobytes()
        done = subprocess.run(["pbmtojbg", "-q"], input=b"P4 2800 2800\n" + sheet, capture_output=True, check=True)
        found["binary"]["JBIG1, one sheet"] = 8 * len(done.stdout) / x.size
    else:
        print("without JBIG1: its program pbmtojbg is in Debian's package jbigkit-bin", file=sys.stderr)
    found["binary"] |= {
        "16 pixels of context": context_rate(images),
        "14 pixels of context, primed": context_rate(images, seen, 14),
        "20 pixels of context, primed": context_rate(images, seen, 20),
        "14 pixels of context and place, primed": context_rate(images, seen, 14, square=2),
    }
    return {name: dict(sorted(rates.items(), key=lambda item: -item[1])) for name, rates in found.items()}


def sheet_of(images):
    """10,000 images of 28 x 28 as one of 2800 x 2800."""
    return images.reshape(100, 100, 28, 28).swapaxes(1, 2).reshape(2800, 2800)


def pictures(images, mode, formats):
    """Lossless picture files: one of each image, all bytes counted, and one of the sheet."""
    from PIL import Image

    options = {
        "PNG": {"optimize": True},
        "WebP": {"lossless": True, "quality": 100, "method": 6},
        "TIFF": {"compression": "group4"},
    }
    found = {}
    for name in formats:

        def size(image, name=name):
            file = io.BytesIO()
            Image.fromarray(image).convert(mode).save(file, name, **options[name])
            return len(file.getvalue())

        if name == "TIFF":
            found["CCITT group 4, one sheet"] = 8 * size(sheet_of(images)) / images.size
        else:
            found[f"{name}, each image"] = 8 * sum(map(size, images)) / images.size
            found[f"{name}, one sheet"] = 8 * size(sheet_of(images)) / images.size
    return found
