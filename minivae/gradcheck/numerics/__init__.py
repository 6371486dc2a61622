"""Derivatives from values, what is claimed held against them, and kinks."""
