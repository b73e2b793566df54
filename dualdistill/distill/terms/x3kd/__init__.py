"""The stages of X3KD."""
