"""Clouds of a worse LiDAR, made from the stored returns, which know their ring. Axes: P points."""

from __future__ import annotations

import numpy as np

from dualdistill.data.files import Files, Points
from dualdistill.degraded import DegradedInputSpec
from dualdistill.determinism import seed_for

RING = 4  # column of a stored return


class DegradedClouds:
    """Reads from the root even where there is a cache: a cached cloud has lost its rings."""

    def __init__(self, files: Files, spec: DegradedInputSpec) -> None:
        self.files, self.spec = files, spec

    def cloud(self, record: int) -> Points:
        """Points [P, 4]: the kept rings, moved along their rays."""
        points_P5 = self.files.returns(record)
        if self.spec.range_noise_m:
            # drawn before rings are dropped, so that a return has one noise whatever else is dropped
            draws = np.random.default_rng(seed_for(0, "range noise", self.files.index.path(record)))
            noise_m_P = self.spec.range_noise_m * draws.standard_normal(len(points_P5))
            range_m_P = np.linalg.norm(points_P5[:, :3], axis=1)
            measured_m_P = np.maximum(range_m_P + noise_m_P, 0)
            scale_P = np.divide(measured_m_P, range_m_P, out=np.ones(len(points_P5)), where=range_m_P > 0)
            points_P5[:, :3] *= scale_P[:, None]
        return points_P5[points_P5[:, RING] % self.spec.every_ring == 0, :4]
