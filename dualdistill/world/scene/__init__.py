"""Random scenes: town, traffic, light and weather."""
