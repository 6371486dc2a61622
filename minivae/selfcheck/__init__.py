"""What `minivae gradcheck` does: every gradient, kernel and update rule of this package, checked on each backend."""
