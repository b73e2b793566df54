"""Trained networks run for figures: observations that no result file contains."""
