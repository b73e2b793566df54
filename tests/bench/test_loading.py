"""bench/loading measures stages and loaders of rows on the real frame."""

from __future__ import annotations

import os
from pathlib import Path

import loading
import pytest
import reduced


@pytest.mark.slow
def test_it_measures_stages_and_loaders(checkout: Path, tmp_path: Path) -> None:
    shared = Path(os.environ.get("DUALDISTILL_SHARED", checkout.parent / "shared"))
    frame = shared / "data" / "nuscenes_frame"
    if not (frame / "info.json").is_file():
        pytest.skip("no real nuScenes frame: set DUALDISTILL_SHARED to a folder with data/nuscenes_frame")
    config = reduced.write_config(checkout, tmp_path / "config", tmp_path, tmp_path)
    words = ["--frame", str(frame), "--work", str(tmp_path / "work"), "--config", str(config)]
    words += ["--rows", "x3kd-r50-centerpoint", "centerpoint", "--samples", "4", "--loaders", "0", "1"]
    lines = loading.main(words)
    header, _, *rows = (line.strip("| ").split(" | ") for line in lines[1:5])
    student, teacher = (dict(zip(header, row, strict=True)) for row in rows)
    for stage in ("decode", "warp", "depth targets", "sweeps", "masks", "collate"):
        assert float(student[stage]) > 0, stage
    assert float(teacher["sweeps"]) > 0
    assert float(teacher["decode"]) == float(teacher["masks"]) == 0
    for whole, stages in ((float(each[loading.WHOLE]), each) for each in (student, teacher)):
        assert 0.3 * whole < sum(float(stages[name]) for name in header[2:-2]) < 1.7 * whole
    speeds = [line.strip("| ").split(" | ") for line in lines[-2:]]
    assert [row for row, *_ in speeds] == ["x3kd-r50-centerpoint", "centerpoint"]
    assert all(float(rate) > 0 for _, *rates in speeds for rate in rates)
