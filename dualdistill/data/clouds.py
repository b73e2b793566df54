"""Clouds as a teacher reads them: plain, degraded, or with virtual points."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dualdistill.config.run_spec import RunSpec
from dualdistill.data.cache import Cache
from dualdistill.data.lidar_sweeps import DegradedClouds
from dualdistill.data.sensor_files import Points, SensorFiles
from dualdistill.data.virtual_points.reader import VirtualClouds


def teacher_cloud(
    files: SensorFiles, source: SensorFiles | Cache, spec: RunSpec, virtual: Path | None
) -> Callable[[int], Points]:
    """Reader of the clouds of a run, or of its teacher, by record."""
    if degraded := spec.degraded:
        return DegradedClouds(files, degraded).cloud  # a cached cloud has no rings
    return VirtualClouds(virtual, files.index, source.cloud).cloud if virtual else source.cloud
