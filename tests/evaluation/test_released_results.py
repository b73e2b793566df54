"""Results entries of the boxes that the released heads keep, against those that the released code writes."""

from __future__ import annotations

import dataclasses
import gzip
import json
from typing import Any

import numpy as np
import pytest
import released_goldens as goldens
import torch

from dualdistill.config.run_spec import HeadSpec, TeacherHeadSpec
from dualdistill.evaluation.predict import to_nuscenes
from dualdistill.models.center_head import Head


def nearest(ours: list[dict[str, Any]], entry: dict[str, Any]) -> dict[str, Any]:
    """Our entry of the same class with the most similar score and place."""
    same = [box for box in ours if box["detection_name"] == entry["detection_name"]]
    keys = np.array([(box["detection_score"], *box["translation"]) for box in same])
    apart = np.abs(keys - [entry["detection_score"], *entry["translation"]]).sum(axis=1)
    return same[int(apart.argmin())]


@pytest.mark.parametrize(("kind", "spec"), [("student", HeadSpec()), ("teacher", TeacherHeadSpec())])
def test_boxes_reach_the_results_file_as_in_the_released_code(kind: str, spec: HeadSpec):
    document = json.loads(gzip.decompress((goldens.FOLDER / "results.json.gz").read_bytes()))
    decoded = Head(16, spec, goldens.DECODE_GRID).decode(goldens.raw_predictions())
    for sample, boxes in zip(document["samples"], decoded, strict=True):
        if kind == "student":  # its head regresses a displacement
            rate_9 = torch.tensor([1.0] * 7 + [1 / sample["history_s"]] * 2)
            boxes = dataclasses.replace(boxes, boxes_K9=boxes.boxes_K9 * rate_9)
        ours = to_nuscenes(boxes, np.array(sample["lidar_to_global"]), sample["token"])
        released = document[kind][sample["token"]]
        assert 440 < len(released) < len(ours)  # those beyond the range of their class are left out
        for entry in released:
            found = nearest(ours, entry)
            for name in ("translation", "size", "velocity"):
                assert found[name] == pytest.approx(entry[name], abs=1e-5), name
            assert abs(np.dot(found["rotation"], entry["rotation"])) == pytest.approx(1, abs=1e-9)
            assert found["detection_score"] == pytest.approx(entry["detection_score"], abs=1e-6)
            for name in ("attribute_name", "sample_token"):
                assert found[name] == entry[name]
