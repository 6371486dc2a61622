"""Reading and writing bytes safely: atomic replacement, bounded streams, NPY arrays, archives."""
