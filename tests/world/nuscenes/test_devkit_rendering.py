"""The devkit renders this root with the functions that its tutorials use for nuScenes."""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pytest
from nuscenes.nuscenes import NuScenes
from PIL import Image

from dualdistill.config.run_spec import WorldSpec

WINDOWS = ("namedWindow", "moveWindow", "imshow", "destroyAllWindows")


@pytest.fixture(autouse=True)
def canvas():
    """Draw figures in memory and close them after each test."""
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def colours(path: Path) -> int:
    with Image.open(path) as image:
        return len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0))


def test_render_sample_draws_all_sensors(nusc: NuScenes, tmp_path: Path) -> None:
    nusc.render_sample(nusc.sample[0]["token"], out_path=str(tmp_path / "sample.png"), verbose=False)
    titles = {axes.get_title().strip() for axes in plt.gcf().axes}
    assert set(nusc.sample[0]["data"]) <= titles
    assert colours(tmp_path / "sample.png") > 5000


def test_render_annotation_draws_the_box_in_the_point_cloud_and_in_an_image(
    nusc: NuScenes, tmp_path: Path
) -> None:
    people = [row for row in nusc.sample_annotation if row["category_name"].startswith("human")]
    row = max(people, key=lambda row: row["num_lidar_pts"])
    nusc.render_annotation(row["token"], out_path=str(tmp_path / "box.png"))
    above, camera = plt.gcf().axes
    assert all(axes.lines for axes in (above, camera)), "the box is missing"
    assert colours(tmp_path / "box.png") > 1000


def test_render_scene_channel_writes_a_video_of_the_stored_images(
    nusc: NuScenes, spec: WorldSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the devkit opens a window even when it writes a file; OpenCV's headless build cannot
    for name in WINDOWS:
        monkeypatch.setattr(cv2, name, lambda *_: None)
    monkeypatch.setattr(cv2, "waitKey", lambda *_: -1)
    scene, path = nusc.scene[0], tmp_path / "front.avi"
    nusc.render_scene_channel(scene["token"], "CAM_FRONT", out_path=str(path))
    data = nusc.get("sample_data", nusc.get("sample", scene["first_sample_token"])["data"]["CAM_FRONT"])
    video, count = cv2.VideoCapture(str(path)), 0
    while (read := video.read())[0]:
        stored = cv2.resize(cv2.imread(str(Path(nusc.dataroot) / data["filename"])), (640, 360))
        assert np.median(cv2.absdiff(read[1], stored)) < 8, "not the stored image"
        count += 1
        data = nusc.get("sample_data", data["next"]) if data["next"] else data
    assert count == spec.frames_per_scene
