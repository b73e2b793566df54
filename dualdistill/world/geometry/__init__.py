"""Meshes, rays and motion."""
