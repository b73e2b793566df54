"""Where things stand in a scene, and its light and weather."""
