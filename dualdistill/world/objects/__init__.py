"""Meshes of vehicles, machines, people and street objects."""
