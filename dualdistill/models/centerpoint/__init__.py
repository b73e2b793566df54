"""The LiDAR teachers: pillars, BEV backbone, head."""
