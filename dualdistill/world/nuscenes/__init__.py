"""A scene as a nuScenes root."""
