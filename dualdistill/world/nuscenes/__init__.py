"""Recording scenes as a nuScenes data root."""
