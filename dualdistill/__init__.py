"""DualDistill and its neighbours: LiDAR-to-camera distillation for BEV 3D detection, as one suite."""

__version__ = "0.1.0"
