"""Whether samples come from the distribution that is meant, and whether a KL is that of it."""
