"""Loss terms of the methods."""
