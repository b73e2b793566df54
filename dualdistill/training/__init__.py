"""One training from its first weights to its records."""
