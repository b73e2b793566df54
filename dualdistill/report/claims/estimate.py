"""From the scores of runs to the estimate of a contrast.

Axes: R rows, S seeds that all rows of the contrast have, B draws of scenes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from dualdistill.report.claims import spread
from dualdistill.report.claims.contrasts import Contrast, mean
from dualdistill.report.claims.rule import Estimate, Part
from dualdistill.report.claims.spread import Array, Groups, Scores, Spread


@dataclass(frozen=True)
class Measured:
    """The scores of all rows that claims compare, in points."""

    scores: Scores
    groups: Groups
    # row -> seed -> score over each draw of scenes, the same draws in all; a run may lack them
    draws: Mapping[str, Mapping[int, Array]] = field(default_factory=dict)
    scenes: int = 0
    same: Mapping[str, str] = field(default_factory=dict)  # row -> an earlier one with the same runs

    @cached_property
    def spreads(self) -> dict[str, Spread]:
        return spread.of_backbones(self.scores, self.groups)

    @cached_property
    def members(self) -> dict[tuple[str, str], list[str]]:
        return spread.members(self.groups)

    def seeds(self, contrast: Contrast) -> list[int]:
        """The seeds that all rows of a contrast have."""
        return sorted(set.intersection(*(set(self.scores.get(row, ())) for row in contrast)))

    def estimate(self, contrast: Contrast) -> Estimate | None:
        """The effect with its variance over students and frames; None without a seed in common."""
        contrast = mean([{self.same.get(row, row): weight} for row, weight in contrast.items()], of=1)
        seeds = self.seeds(contrast)
        if not seeds:
            return None
        effect = float(np.mean(self._by_seed(contrast, seeds)))
        students, method = self._over_students(contrast, seeds) if len(seeds) > 1 else ((), "")
        frames = self._over_frames(contrast, seeds)
        return Estimate(effect, len(seeds), students, frames, self.scenes if frames else 0, method)

    def _by_seed(self, contrast: Contrast, seeds: list[int]) -> Array:
        return sum(  # type: ignore[return-value]
            weight * np.array([self.scores[row][seed] for seed in seeds]) for row, weight in contrast.items()
        )

    def _over_students(self, contrast: Contrast, seeds: list[int]) -> tuple[tuple[Part, ...], str]:
        """Variance within groups, from all rows, and between groups, from the contrast's own seeds."""
        within, between = self._split(contrast, seeds)
        parts, methods = [], []
        for backbone, weights in within.items():
            size = sum(weight**2 for weight in weights.values())
            if size < 1e-12:
                continue
            known, own = self.spreads[backbone], self._by_seed(weights, seeds).var(ddof=1) / size
            variance, freedom = known.moderated(float(own), len(seeds) - 1)
            parts.append(Part(size * variance / len(seeds), freedom))
            prior = known.prior_freedom
            methods.append("pooled" if math.isinf(prior) else f"moderated (prior df {prior:.1f})")
        if any(abs(weight) > 1e-12 for weight in between.values()) or not parts:
            own = self._by_seed(between, seeds).var(ddof=1)
            parts.append(Part(float(own) / len(seeds), len(seeds) - 1))
            methods.append("own seeds")
        return tuple(parts), " + ".join(dict.fromkeys(methods))

    def _split(self, contrast: Contrast, seeds: list[int]) -> tuple[dict[str, Contrast], Contrast]:
        """A contrast as the sum of one within the groups of each backbone and one of group means.

        The means are over the rows of a group that have all of these seeds.
        """
        within: dict[str, Contrast] = {}
        between: Contrast = {}
        for group, rows in self.members.items():
            together = [row for row in rows if set(seeds) <= set(self.scores.get(row, ()))]
            if not any(row in contrast for row in together):
                continue
            common = sum(contrast.get(row, 0.0) for row in together) / len(together)
            between |= dict.fromkeys(together, common)
            inside = within.setdefault(group[0], {})
            inside |= {row: contrast.get(row, 0.0) - common for row in together}
        return within, between

    def _over_frames(self, contrast: Contrast, seeds: list[int]) -> Part | None:
        """Variance over scenes, without the part that differs between seeds: students cover that."""
        if self.scenes < 2 or any(seed not in self.draws.get(row, ()) for row in contrast for seed in seeds):
            return None
        drawn_SB = sum(
            weight * np.stack([self.draws[row][seed] for seed in seeds]) for row, weight in contrast.items()
        )
        mean_B = np.mean(drawn_SB, axis=0)
        variance = float(mean_B.var(ddof=1))
        if len(seeds) > 1:
            interaction = float((drawn_SB - mean_B).var(axis=1, ddof=1).sum()) / (len(seeds) - 1)
            variance = max(0.0, variance - interaction / len(seeds))
        # a bootstrap's variance is too small by this factor, and known from the draws only
        scenes, draws = self.scenes - 1, len(mean_B) - 1
        return Part(variance * self.scenes / scenes, 1 / (1 / scenes + 1 / draws))
