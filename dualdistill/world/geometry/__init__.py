"""Triangle meshes, ray tracing and motion on the ground plane."""
