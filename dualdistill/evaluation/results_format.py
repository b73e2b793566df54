"""Validation of results_nusc.json before the official evaluation reads it.

The devkit validates by `assert`, which `python -O` removes, and accepts scores of 1.7 and flat boxes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from dualdistill.config.nuscenes import ATTRIBUTES, CLASSES, MAX_BOXES
from dualdistill.errors import DataError

FLAGS = ("use_camera", "use_lidar", "use_radar", "use_map", "use_external")
_LENGTHS = {"translation": 3, "size": 3, "rotation": 4, "velocity": 2}
_FIELDS = ("sample_token", *_LENGTHS, "detection_name", "detection_score", "attribute_name")


def read_results(path: Path) -> dict[str, Any]:
    """Parse a results file; `check` validates its content."""
    try:
        document = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise DataError(
            "the results file does not exist", where=str(path), hint="predict the run first"
        ) from error
    except ValueError as error:
        raise DataError(f"not valid JSON: {error}", where=str(path), hint="predict the run again") from error
    return document if isinstance(document, dict) else {}


def check(document: dict[str, Any], tokens: Collection[str], where: str) -> int:
    """Refuse anything but a valid prediction for exactly these samples; return the number of boxes."""
    results = document.get("results")
    if not isinstance(results, dict):
        raise DataError(
            "no 'results' by sample token", where=where, hint="the file must hold 'meta' and 'results'"
        )
    check_meta(document.get("meta"), where)
    check_samples(results, tokens, where)
    for token, boxes in results.items():
        check_boxes(token, boxes, where)
    return sum(len(boxes) for boxes in results.values())


def check_meta(meta: Any, where: str) -> None:
    """Refuse a file that does not name its inputs."""
    if not isinstance(meta, dict) or not all(isinstance(meta.get(flag), bool) for flag in FLAGS):
        raise DataError(f"'meta' must answer {', '.join(FLAGS)} with true or false", where=where)


def check_samples(results: dict[str, Any], tokens: Collection[str], where: str) -> None:
    """Refuse results that are not those of exactly these samples."""
    expected = set(tokens)
    missing, extra = sorted(expected - results.keys()), sorted(results.keys() - expected)
    if missing or extra:
        raise DataError(
            f"{len(missing)} of the split's {len(expected)} samples are missing "
            f"and {len(extra)} are not of the split, first {(missing + extra)[0]}",
            where=where,
            hint="predict the split that is evaluated",
        )


def check_boxes(token: str, boxes: Any, where: str) -> None:
    """Refuse a sample with too many boxes or with a faulty one."""
    if not isinstance(boxes, list):
        raise DataError(
            f"sample {token} holds {type(boxes).__name__} where a list of boxes belongs", where=where
        )
    if len(boxes) > MAX_BOXES:
        raise DataError(f"sample {token} has {len(boxes)} boxes, {MAX_BOXES} are allowed", where=where)
    for number, box in enumerate(boxes):
        if sentence := fault(box, token):
            raise DataError(f"box {number} of sample {token} {sentence}", where=where)


def fault(box: Any, token: str) -> str:
    """First fault of a box as the end of a sentence; empty for a valid box."""
    if not isinstance(box, dict):
        return f"is {type(box).__name__} where an object belongs"
    if absent := [name for name in _FIELDS if name not in box]:
        return f"lacks {absent[0]!r}"
    if box["sample_token"] != token:
        return f"belongs to sample {box['sample_token']}"
    for name, length in _LENGTHS.items():
        if not _numbers(box[name], length):
            return f"has {name} {box[name]}, not {length} finite numbers"
    if min(box["size"]) <= 0:
        return f"has size {box['size']}, not above zero"
    if abs(math.hypot(*box["rotation"]) - 1) > 1e-3:
        return f"has rotation {box['rotation']}, not a unit quaternion"
    name, score, attribute = box["detection_name"], box["detection_score"], box["attribute_name"]
    if not isinstance(name, str) or name not in ATTRIBUTES:
        return f"has the unknown class {name!r} (the classes are {', '.join(CLASSES)})"
    if not _numbers([score], 1) or not 0 <= score <= 1:
        return f"has score {score}, not in 0..1"
    if attribute != "" and attribute not in ATTRIBUTES[name]:
        return f"has attribute {attribute!r}, which a {name} cannot have"
    return ""


def _numbers(values: Any, length: int) -> bool:
    if not isinstance(values, list) or len(values) != length:
        return False
    # type() instead of isinstance(): True is an int, but not a coordinate
    return all(type(value) in (float, int) and math.isfinite(value) for value in values)
