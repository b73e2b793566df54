"""Cameras and LiDAR, and what they see."""
