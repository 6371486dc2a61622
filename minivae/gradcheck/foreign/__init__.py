"""Targets of torch and JAX, as targets of NumPy arrays. Neither is imported unless the caller did."""
