"""Simulated experiments with known effects: rows, seeds, teachers and scenes that scatter as in the pilot."""

from dataclasses import dataclass, field

import numpy as np

from dualdistill.report.claims.contrasts import Contrast, mean, slope
from dualdistill.report.claims.estimate import Measured

SCENES, DRAWS = 60, 200
GROUPS = {
    **dict.fromkeys(("base", "longer", "longest"), ("r50", "")),
    **dict.fromkeys(("a-cp", "b-cp", "c-cp", "dual-cp"), ("r50", "cp")),
    **dict.fromkeys(("b-mvp", "dual-mvp", "head", "mfd", "t1", "t2", "t3"), ("r50", "mvp")),
    "base-101": ("r101", ""),
    **dict.fromkeys(("a-cp-101", "dual-cp-101"), ("r101", "cp")),
}
ROWS = list(GROUPS)


def pairs(*several: tuple[str, str]) -> Contrast:
    return mean([{row: 1.0, beats: -1.0} for row, beats in several])


METHODS = ("a-cp", "b-cp", "c-cp", "dual-cp", "b-mvp", "dual-mvp")
CLAIMS = {
    "all help": pairs(*((row, "base") for row in METHODS)),
    "at equal time": pairs(*((row, "longer") for row in METHODS)),
    "dual helps": pairs(("dual-cp", "base"), ("dual-mvp", "base")),
    "mvp helps": pairs(("dual-mvp", "base")),
    "beyond the head": pairs(("dual-mvp", "head")),
    "adds to mfd": pairs(("dual-mvp", "mfd")),
    "better teacher": pairs(("b-mvp", "b-cp"), ("dual-mvp", "dual-cp")),
    "trend": slope(["t1", "t2", "t3", "dual-mvp"]),
    "both backbones": pairs(("dual-cp", "base"), ("dual-cp-101", "base-101")),
    "deeper": pairs(("dual-cp-101", "dual-cp"), ("a-cp-101", "a-cp"), ("base-101", "base")),
}


@dataclass(frozen=True)
class World:
    """Standard deviations in points; those over scenes are of the mean over all scenes."""

    seed: float = 1.0
    teacher: float = 0.6  # shared by the students of a seed's teacher
    student: float = 1.1
    scene: float = 0.4  # of a row
    scene_student: float = 0.4  # of a row and seed
    apart: dict[str, float] = field(default_factory=dict)  # row -> factor on its student's

    def run(self, generator: np.random.Generator, seeds: int, effects: dict[str, float]) -> Measured:
        """One experiment in which `effects` are added to the true scores of rows."""
        groups = sorted(set(GROUPS.values()))
        shape = len(ROWS), seeds
        normal = generator.standard_normal
        scale_R1 = np.array([[self.student * self.apart.get(row, 1.0)] for row in ROWS])
        score_RS = scale_R1 * normal(shape) + self.seed * normal(seeds)
        luck = (
            self.teacher * normal((len(groups), seeds)) * np.array([[teacher != ""] for _, teacher in groups])
        )
        score_RS += luck[[groups.index(GROUPS[row]) for row in ROWS]]
        score_RS += np.array([[effects.get(row, 0.0)] for row in ROWS])
        by_scene = self.scene * normal((len(ROWS), 1, SCENES)) + self.scene_student * normal((*shape, SCENES))
        by_scene *= np.sqrt(SCENES)
        times_BS = generator.multinomial(SCENES, np.full(SCENES, 1 / SCENES), DRAWS)
        draws = score_RS[..., None] + by_scene @ times_BS.T / SCENES
        score_RS += by_scene.mean(axis=2)
        return Measured(
            {row: dict(enumerate(score_RS[place])) for place, row in enumerate(ROWS)},
            GROUPS,
            {row: dict(enumerate(draws[place])) for place, row in enumerate(ROWS)},
            SCENES,
        )
