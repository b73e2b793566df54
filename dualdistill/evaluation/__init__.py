"""Predictions, their check and their official scores."""
