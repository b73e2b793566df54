"""Reference suite for LiDAR-to-camera distillation in BEV 3D detection: DualDistill and related methods."""

from dualdistill import mmcv_stand_in

__version__ = "0.1.0"

# before any other module of this package imports mmdet or mmdet3d
mmcv_stand_in.install()
