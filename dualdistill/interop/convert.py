"""Released weights as weights of a network here, with an account of every name on both sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from packaging.version import InvalidVersion, Version
from torch import Tensor

from dualdistill.interop import conventions
from dualdistill.interop.key_maps import beginning, our_name
from dualdistill.interop.layouts import Layout

COUNTER = "num_batches_tracked"  # missing in older files, and never read
TURNED = Version("1.0.0rc0")  # of mmdet3d: from here on boxes are (l, w, h) and turn counter-clockwise


@dataclass
class Report:
    """Every name of the file and of the network, by the use that was made of it."""

    taken: dict[str, str] = field(default_factory=dict)  # released name -> our name
    changed: dict[str, str] = field(default_factory=dict)  # our name -> how its numbers were rewritten
    aside: dict[str, str] = field(default_factory=dict)  # released name -> why it was left aside
    filled: dict[str, str] = field(default_factory=dict)  # our name -> why the file need not have it
    unknown: list[str] = field(default_factory=list)  # released names that fit nothing
    missing: list[str] = field(default_factory=list)  # our names that nothing fits
    misshapen: dict[str, str] = field(default_factory=dict)  # released name -> its shape and ours

    @property
    def fits(self) -> bool:
        return not (self.unknown or self.missing or self.misshapen)

    def lines(self) -> list[str]:
        """A line per name, what does not fit last."""
        turned = {ours: name for name, ours in self.taken.items()}
        lines = [f"taken    {name} -> {ours}" for name, ours in self.taken.items()]
        lines += [f"changed  {turned.get(ours, ours)} -> {ours}: {how}" for ours, how in self.changed.items()]
        lines += [f"aside    {name}: {why}" for name, why in self.aside.items()]
        lines += [f"filled   {ours}: {why}" for ours, why in self.filled.items()]
        lines += [f"unknown  {name}" for name in self.unknown]
        lines += [f"shape    {name}: {both}" for name, both in self.misshapen.items()]
        return [*lines, *(f"missing  {ours}" for ours in self.missing)]

    def summary(self) -> list[str]:
        """Counts, and the reasons for what was left aside."""
        counts = {
            "taken": len(self.taken),
            "left aside": len(self.aside),
            "filled": len(self.filled),
            "unknown": len(self.unknown),
            "of another shape": len(self.misshapen),
            "missing": len(self.missing),
        }
        text = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        reasons = Counter(self.aside.values())
        return [text, *(f"  aside: {count} {why}" for why, count in reasons.items())]


def convert(
    released: Mapping[str, Tensor], layout: Layout, ours: Mapping[str, Tensor], clockwise: bool
) -> tuple[dict[str, Tensor], Report]:
    """The file's weights under our names and in our conventions; only if the report fits are they whole."""
    report, weights = Report(), {}
    for name, tensor in released.items():
        if renamed := our_name(name, layout.names):
            report.taken[name] = renamed
            weights[renamed] = tensor
        elif (prefix := beginning(name, layout.aside)) is not None:
            report.aside[name] = layout.aside[prefix]
        else:
            report.unknown.append(name)
    weights = _in_our_conventions(weights, ours, clockwise, report)
    _compare(weights, ours, report)
    return weights, report


def _in_our_conventions(
    weights: dict[str, Tensor], ours: Mapping[str, Tensor], clockwise: bool, report: Report
) -> dict[str, Tensor]:
    before = dict(weights)
    if clockwise:
        weights = conventions.counter_clockwise(weights)
        report.changed |= {
            name: "to sizes (l, w, h) and a counter-clockwise yaw"
            for name in weights
            if weights[name] is not before[name]
        }
    linear, wanted = weights.get("pillars.linear.weight"), ours.get("pillars.linear.weight")
    if linear is not None and wanted is not None and linear.shape[1] == wanted.shape[1] + 1:
        weights = conventions.fold_height(weights)
        report.changed["pillars.linear.weight"] = "the height above the pillar's middle folded into z"
        report.changed["pillars.norm.running_mean"] = "the constant of that height subtracted"
        if conventions.PADDING in ours:
            report.filled[conventions.PADDING] = "that constant, which a padded point does not have"
    return weights


def _compare(weights: dict[str, Tensor], ours: Mapping[str, Tensor], report: Report) -> None:
    """Fill what a file need not have, and note what does not fit."""
    names = {renamed: name for name, renamed in report.taken.items()}
    for name in sorted(ours.keys() - weights.keys()):
        if name.endswith(COUNTER):
            weights[name] = torch.zeros_like(ours[name])
            report.filled[name] = "a counter that is never read"
        elif name == conventions.PADDING:
            weights[name] = torch.zeros_like(ours[name])
            report.filled[name] = "a padded point is zero"
        else:
            report.missing.append(name)
    for name in sorted(weights.keys() - ours.keys()):
        if name == conventions.PADDING:
            del weights[name]  # of folded weights, for a network without padded points
        else:
            released = names[name]
            del report.taken[released], weights[name]
            report.unknown.append(released)
    for name, released in names.items():
        if name in weights and weights[name].shape != ours[name].shape:
            shapes = tuple(weights[name].shape), tuple(ours[name].shape)
            report.misshapen[released] = f"{shapes[0]} in the file, {shapes[1]} here"


def is_clockwise(layout: Layout, meta: Mapping[str, Any]) -> bool | None:
    """Whether boxes of the file turn clockwise; None if neither its names nor its library's version tell."""
    if "mmengine_version" in meta:  # of mmdet3d 1.1 and later
        return False
    wrote = version(str(meta.get("mmdet3d_version")))
    return layout.clockwise if wrote is None else wrote < TURNED


def version(text: str) -> Version | None:
    """The version that a text states; None if it states none."""
    try:
        return Version(text)
    except InvalidVersion:
        return None
