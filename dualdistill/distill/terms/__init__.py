"""Loss terms that methods are put together from."""
