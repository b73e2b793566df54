"""Trained networks, run once for what a picture shows and no result holds."""
