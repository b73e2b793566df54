"""The spec of the detectors that students start from."""

from __future__ import annotations

from dataclasses import dataclass

from dualdistill.spec import StudentSpec


@dataclass(frozen=True)
class DetectorSpec(StudentSpec):
    """A student's network, taught one thing more, which leaves nothing behind in the network itself."""

    naming_weight: float = 0.0  # of the loss for what every cell of the image map shows
