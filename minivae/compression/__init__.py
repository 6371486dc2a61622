"""Lossless compression with a model: files that decode to the same bytes on every machine."""

from .file import compress, decompress

__all__ = ["compress", "decompress"]
