"""Annotations of a nuScenes root as columns: boxes, velocities, categories and attributes.

Axes: A annotations, in the order of the samples and, within a sample, of the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from nuscenes.eval.detection.utils import category_to_detection_name

from dualdistill.config.nuscenes import ATTRIBUTE_NAMES, CLASSES
from dualdistill.data.columns import Integers, Strings
from dualdistill.data.geometry import Array
from dualdistill.data.tables import NamedRow, Row, SampleRow, Tables, places, strings

RACK, OTHER = -1, -2  # labels beside those of CLASSES: a bicycle rack, and every other category
NO_ATTRIBUTE, OTHER_ATTRIBUTE = -1, -2  # beside ATTRIBUTE_NAMES: none, and what the benchmark does not know
RACK_CATEGORY = "static_object.bicycle_rack"
MAX_GAP_S = 1.5  # between the frames that a velocity is estimated from, as in the devkit's box_velocity


class AnnotationRow(Row):
    sample_token: str
    instance_token: str
    attribute_tokens: list[str]
    translation: tuple[float, float, float]
    size: tuple[float, float, float]
    rotation: tuple[float, float, float, float]
    prev: str
    next: str
    num_lidar_pts: int
    num_radar_pts: int
    visibility_token: str | None = None


class InstanceRow(Row):
    category_token: str


@dataclass(frozen=True, eq=False)
class Annotations:
    """Annotations of some samples, of all categories."""

    token: Strings
    sample: Integers  # place among the samples
    label: Integers  # into CLASSES, or RACK or OTHER
    attribute: Integers  # into ATTRIBUTE_NAMES, or NO_ATTRIBUTE or OTHER_ATTRIBUTE
    centre: Array  # [A, 3]
    size_wlh: Array  # [A, 3]
    wxyz: Array  # [A, 4]
    velocity: Array  # [A, 3], the devkit's estimate, NaN where it has none
    lidar_points: Integers
    radar_points: Integers
    instance: Strings
    visibility: Integers  # the devkit's level 1..4, 0 unknown

    def take(self, rows: NDArray[np.generic]) -> Annotations:
        """Some of the rows, by mask or by number."""
        return Annotations(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})


def read_annotations(tables: Tables, every_sample: Sequence[SampleRow], chosen: Integers) -> Annotations:
    """The annotations of the chosen samples, in their order; velocities need those of all samples."""
    sample_row = {row.token: number for number, row in enumerate(every_sample)}
    read = _Codes(tables)
    blocks = [
        read.columns(block, sample_row)
        for block in tables.blocks("sample_annotation", AnnotationRow)
        if block
    ]
    if not blocks:
        blocks = [read.columns([], sample_row)]
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    del blocks
    velocity = _velocities(tables, columns, np.array([row.timestamp for row in every_sample]))
    rank = np.full(len(every_sample), -1)
    rank[chosen] = np.arange(len(chosen))
    sample = rank[columns.pop("sample")]
    order = np.flatnonzero(sample >= 0)
    order = order[np.argsort(sample[order], kind="stable")]
    names = [item.name for item in fields(Annotations)]
    return Annotations(
        **{name: (columns | {"sample": sample, "velocity": velocity})[name][order] for name in names}
    )


class _Codes:
    """Numbers in place of the tokens of small tables."""

    def __init__(self, tables: Tables) -> None:
        self.tables, self.instances = tables, {}
        labels = {
            row.token: CLASSES.index(name)
            if (name := category_to_detection_name(row.name))
            else (RACK if row.name == RACK_CATEGORY else OTHER)
            for row in tables.rows("category", NamedRow)
        }
        for row in tables.rows("instance", InstanceRow):
            if row.category_token not in labels:
                raise tables.fault("instance", f"instance {row.token} has an unknown category")
            self.instances[row.token] = labels[row.category_token]
        self.attributes = {row.token: row.name for row in tables.rows("attribute", NamedRow)}
        self.levels = {row.token: rank + 1 for rank, row in enumerate(tables.rows("visibility", Row))}

    def columns(self, rows: list[AnnotationRow], sample_row: dict[str, int]) -> dict[str, np.ndarray]:
        for row in rows:
            if row.sample_token not in sample_row or row.instance_token not in self.instances:
                what = "sample" if row.sample_token not in sample_row else "instance"
                raise self.tables.fault("sample_annotation", f"annotation {row.token} has an unknown {what}")
        count = len(rows)
        return {
            "token": strings([row.token for row in rows]),
            "prev": strings([row.prev for row in rows]),
            "next": strings([row.next for row in rows]),
            "sample": np.array([sample_row[row.sample_token] for row in rows], dtype=np.int64),
            "label": np.array([self.instances[row.instance_token] for row in rows], dtype=np.int8),
            "attribute": np.array([self._attribute(row) for row in rows], dtype=np.int8),
            "centre": np.array([row.translation for row in rows], dtype=np.float64).reshape(count, 3),
            "size_wlh": np.array([row.size for row in rows], dtype=np.float64).reshape(count, 3),
            "wxyz": np.array([row.rotation for row in rows], dtype=np.float64).reshape(count, 4),
            "lidar_points": np.array([row.num_lidar_pts for row in rows], dtype=np.int32),
            "radar_points": np.array([row.num_radar_pts for row in rows], dtype=np.int32),
            "instance": strings([row.instance_token for row in rows]),
            "visibility": np.array(
                [self.levels.get(row.visibility_token or "", 0) for row in rows], dtype=np.int8
            ),
        }

    def _attribute(self, row: AnnotationRow) -> int:
        if not row.attribute_tokens:
            return NO_ATTRIBUTE
        name = self.attributes.get(row.attribute_tokens[0])
        alone = len(row.attribute_tokens) == 1
        return ATTRIBUTE_NAMES.index(name) if alone and name in ATTRIBUTE_NAMES else OTHER_ATTRIBUTE


def _velocities(tables: Tables, columns: dict[str, np.ndarray], timestamp_us: np.ndarray) -> Array:
    """The devkit's estimate: the difference between the annotations before and after."""
    ends = []
    for name in ("prev", "next"):
        token = columns.pop(name)
        given = token != b""
        row = np.arange(len(token))
        row[given] = places(columns["token"], token[given])
        if (row < 0).any():
            what = f"{name} of annotation {columns['token'][np.argmin(row)].decode()} is not in the table"
            raise tables.fault("sample_annotation", what)
        ends.append((row, given))
    (first, has_prev), (last, has_next) = ends
    time_s = 1e-6 * timestamp_us[columns["sample"]]
    gap_s = time_s[last] - time_s[first]
    with np.errstate(divide="ignore", invalid="ignore"):
        velocity = (columns["centre"][last] - columns["centre"][first]) / gap_s[:, None]
    longest_s = np.where(has_prev & has_next, 2 * MAX_GAP_S, MAX_GAP_S)
    velocity[(gap_s > longest_s) | ~(has_prev | has_next)] = np.nan
    return velocity
