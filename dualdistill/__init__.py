"""DualDistill and its neighbours: LiDAR-to-camera distillation for BEV 3D detection, as one suite."""

from dualdistill import mmcv_stand_in

__version__ = "0.1.0"

# whatever of this package comes first, mmdet and mmdet3d can then be imported
mmcv_stand_in.install()
