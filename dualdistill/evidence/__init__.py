"""Finished runs packed into files, and taken back."""
