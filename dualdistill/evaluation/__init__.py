"""Predictions, their validation and their official scores."""
