"""Ground-truth paste: objects of other frames, with their points, added to a training frame.

Yan, Mao, Li, SECOND, Sensors 2018, with the numbers and rules of mmdet3d's CenterPoint. Its DataBaseSampler
is not used: it needs `np.long`, which numpy 1.24 removed, reads a pickle and a file per object, and walks
through shuffled lists of its own, so that a sample would depend on all samples before it.
Axes: O objects of the database, K boxes, P points, I columns of a point.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from dualdistill.config.nuscenes import CLASSES
from dualdistill.data.geometry import Array, corners, points_in_box
from dualdistill.data.pasted_objects.reader import ObjectDatabase
from dualdistill.data.sensor_files import Points

# a frame with fewer boxes of a class is filled up to this number (db_sampler of mmdet3d's CenterPoint)
FILLED_TO = {
    "car": 2,
    "truck": 3,
    "construction_vehicle": 7,
    "bus": 4,
    "trailer": 6,
    "barrier": 2,
    "motorcycle": 6,
    "bicycle": 6,
    "pedestrian": 2,
    "traffic_cone": 2,
}
OUTLINE = [0, 2, 6, 4]  # upper corners of a box in the order of its outline


def paste(
    database: ObjectDatabase,
    boxes_K9: Array,
    labels_K: NDArray[np.int64],
    points_PI: Points,
    generator: np.random.Generator,
) -> tuple[Array, NDArray[np.int64], Points]:
    """Add objects to the boxes, labels and points of a frame.

    An object keeps the place relative to the car that it had in its own frame; its points replace all points
    in its box.
    """
    chosen = choose(database, boxes_K9, labels_K, generator)
    added_K9 = database.boxes_O9[chosen]
    outside = np.ones(len(points_PI), dtype=bool)
    for box_9 in added_K9:
        outside &= ~points_in_box(box_9, points_PI[:, :3])
    return (
        np.concatenate([boxes_K9, added_K9]),
        np.concatenate([labels_K, database.labels_O[chosen]]),
        np.concatenate([*map(database.points, chosen), points_PI[outside]]),
    )


def choose(
    database: ObjectDatabase, boxes_K9: Array, labels_K: NDArray[np.integer], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Numbers of the objects to paste into a frame with these boxes."""
    chosen = np.zeros(0, dtype=np.int64)
    for label, name in enumerate(CLASSES):
        missing = FILLED_TO[name] - int((labels_K == label).sum())
        of_class = database.of_class[label]
        if missing > 0 and len(of_class):
            drawn = of_class[generator.choice(len(of_class), min(missing, len(of_class)), replace=False)]
            taken_K9 = np.concatenate([boxes_K9, database.boxes_O9[chosen]])
            chosen = np.concatenate([chosen, drawn[free(taken_K9, database.boxes_O9[drawn])]])
    return chosen


def free(taken_K9: Array, candidates_K9: Array) -> NDArray[np.bool_]:
    """Mask of the candidates that overlap, seen from above, neither a taken box nor a later candidate.

    A rejected candidate is in nobody's way: of two that overlap only each other the second stays (mmdet3d).
    """
    outlines = shapely.polygons(corners(np.concatenate([taken_K9, candidates_K9]))[:, OUTLINE, :2])
    overlaps = shapely.intersects(outlines[len(taken_K9) :, None], outlines[None])
    standing = np.ones(len(outlines), dtype=bool)
    for number, overlap in enumerate(overlaps, start=len(taken_K9)):
        overlap[number] = False
        standing[number] = not (overlap & standing).any()
    return standing[len(taken_K9) :]
