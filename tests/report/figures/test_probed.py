"""Figures of probed networks: drawn as recorded, and refused without a probe file."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from report_runs import check_readable

from dualdistill.data.geometry import corners
from dualdistill.errors import UserError
from dualdistill.plan import figures
from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan
from dualdistill.report.figures import bev_maps, draw, key_frame

CONFIG = Path(__file__).parents[3] / "config"
TEMPERATURES = (1.0, 0.5, 0.1)


@pytest.fixture(autouse=True)
def styled() -> Iterator[None]:
    with draw.styled(CONFIG / figures.STYLE):
        yield


def probed(plan: Plan, name: str, arrays: dict[str, np.ndarray]) -> FigureView:
    """A figure of the repository over arrays of the test."""
    view = figures.load(plan, plan.results.parent / "config")[name]
    path = figures.probe_file(view)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return view


def images(figure: Figure) -> list[np.ndarray]:
    """Maps from left to right, top to bottom; a colour bar has none."""
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


AROUND = {"truth_K9": np.array([[1.0, 2, 0, 4, 2, 1.5, 0, 0, 0]]), "half_extent_m": np.array(16.0)}


def test_agreement_and_counts_are_drawn_as_counted(plan: Plan):
    counts = {
        "common": np.array([[[8, 6, 3], [6, 6, 3], [3, 3, 2]], [[8, 6, 3], [6, 6, 3], [3, 3, 3]]]),
        "at_temperature": np.array([[8, 6, 3]] * 2),
        "at_threshold": np.array([8, 6, 3]),
        "temperatures": np.array(TEMPERATURES),
        "thresholds": np.array([0.1, 0.25, 0.445]),
        "same_as": np.array([0.1, 0.25, 0.445]),
        "frames": np.array(2),
        "threshold": np.array(0.1),
    }
    figure = draw.draw(plan, probed(plan, "temperature", counts))
    agreement, kept = figure.axes
    texts = [text.get_text() for text in agreement.texts]
    assert texts == ["100.0 %\n(100.0 %)", "100.0 %\n(100.0 %)", "100.0 %\n(50.0 %)"]
    assert kept.lines[0].get_ydata().tolist() == [4, 3, 1.5]
    assert [text.get_text() for text in kept.texts] == ["4.0", "3.0", "1.5"]
    assert "world, 2 frames of split val; teacher CenterPoint, seed 0;" in figure.get_supxlabel()
    # both rankings are visible where they agree: the second is a thin line on the first
    widths = [line.get_linewidth() for line in agreement.lines if line.get_linestyle() == "-"]
    assert [broad > 3 * thin for broad, thin in zip(widths[::2], widths[1::2], strict=True)] == [True] * 3
    check_readable(figure)


def test_maps_are_drawn_unchanged(plan: Plan):
    rng = np.random.default_rng(0)
    names = ("fg", "fp", "tn", "teacher", "student", "used")
    arrays = {name: rng.random((8, 8)) for name in names}
    arrays["fp"][:] = 0
    arrays["teacher"][0, 0] = 100  # one bright cell leaves the others their colours
    figure = draw.draw(plan, probed(plan, "attention", arrays | AROUND))
    attentions = [arrays[name] for name in ("teacher", "student", "used")]
    assert figure.axes[3].images[0].get_clim() == (0, np.percentile(attentions, 99))
    check_readable(figure)
    shown = images(figure)
    assert [np.nan_to_num(np.ma.filled(image, 0)).tolist() for image in shown] == [
        arrays[name].tolist() for name in names
    ]
    taps = [f"{tap}_{column}" for tap in ("s2", "head") for column in ("before", "after", "teacher")]
    arrays = {name: rng.random((4, 4)) for name in taps}
    figure = draw.draw(plan, probed(plan, "alignment", arrays | AROUND))
    assert [image.tolist() for image in images(figure)] == [arrays[name].tolist() for name in taps]
    ranges = [axes.images[0].get_clim() for axes in figure.axes if axes.images]
    assert ranges[1] == ranges[2] == (0, max(arrays["s2_after"].max(), arrays["s2_teacher"].max()))


def scene() -> dict[str, np.ndarray]:
    """A box ahead of every camera's axis; the cameras look along +y of the LiDAR."""
    turn = np.eye(4)
    turn[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    ahead = np.array([[0.0, 8, 0, 4, 2, 2, np.pi / 2, 0, 0]])
    return {
        "images_NHW3": np.arange(6 * 9 * 16 * 3, dtype=np.uint8).reshape(6, 9, 16, 3),
        "intrinsics_N33": np.stack([np.array([[8.0, 0, 8], [0, 8, 4.5], [0, 0, 1]])] * 6),
        "lidar_to_camera_N44": np.stack([turn] * 6),
        "points_P3": np.array([[1.0, 2, 0], [3, 4, 0]]),
        "half_extent_m": np.array(16.0),
        "name": np.array("world-val-0000, key frame 2"),
        "truth_K9": ahead,
        "teacher_K9": np.concatenate([ahead, np.add(ahead, [1, 1, 0, 0, 0, 0, 0, 0, 0])]),
        "teacher_scores_K": np.array([0.9, 0.2]),
        "student_K9": ahead,
        "student_scores_K": np.array([0.31]),
    }


def test_a_key_frame_shows_its_images_and_the_boxes_that_score(plan: Plan):
    arrays = scene()
    figure = draw.draw(plan, probed(plan, "frame", arrays))
    shown = {axes.get_title(): axes for axes in figure.axes}
    front = key_frame.LAYOUT.index("CAM_FRONT")
    assert list(shown)[front] == "front"
    number = key_frame.CAMERAS.index("CAM_FRONT")
    assert (np.asarray(shown["front"].images[0].get_array()) == arrays["images_NHW3"][number]).all()
    # the rear face, 6 m away and 2 m wide and high, of true and predicted box
    for edges in shown["front"].collections:
        pixels = np.concatenate(edges.get_segments())
        assert pixels.min(axis=0) == pytest.approx([8 - 8 / 6, 4.5 - 8 / 6])
        assert pixels.max(axis=0) == pytest.approx([8 + 8 / 6, 4.5 + 8 / 6])
    for who in ("teacher", "student"):
        points, *boxes = shown[f"{who} from above, with LiDAR"].collections
        assert points.get_offsets().tolist() == [[1, 2], [3, 4]]
        assert [len(lines.get_segments()) for lines in boxes] == [2, 2]  # an outline and a stroke each
    runs = "teacher CenterPoint, seed 0; student DualDistill ResNet-50 taught by CenterPoint, seed 0."
    assert f"world, split val, key frame 2 of scene 0; {runs}" in " ".join(figure.get_supxlabel().split())
    check_readable(figure)


def test_a_box_around_the_camera_is_clipped():
    axes = Figure().subplots()
    arrays = scene()
    box_19 = np.array([[0.0, 0, 0, 4, 2, 2, np.pi / 2, 0, 0]])
    bev_maps.boxes_in_camera(axes, box_19, arrays["lidar_to_camera_N44"][0], arrays["intrinsics_N33"][0])
    ends = np.array(axes.collections[0].get_segments())
    assert ends.shape == (8, 2, 2)  # four edges of the front, and four that come from behind
    assert np.abs(ends - [8, 4.5]).max() == pytest.approx(8 / bev_maps.NEAR_M)
    behind = box_19 - [0, 9, 0, 0, 0, 0, 0, 0, 0]
    bev_maps.boxes_in_camera(axes, behind, arrays["lidar_to_camera_N44"][0], arrays["intrinsics_N33"][0])
    assert not axes.collections[1].get_segments()


def test_an_edge_joins_two_corners_that_differ_in_one_coordinate():
    eight = corners(np.array([[0.0, 0, 0, 4, 2, 1, 0, 0, 0]]))[0]
    lengths = np.linalg.norm(eight[bev_maps.EDGES[:, 0]] - eight[bev_maps.EDGES[:, 1]], axis=1)
    assert sorted(lengths.tolist()) == [1.0] * 4 + [2.0] * 4 + [4.0] * 4


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "the probe file does not exist"),
        (b"no archive", "the probe file cannot be read"),
        ({}, "the probe file has no 'common'"),
    ],
)
def test_a_missing_or_damaged_probe_file_is_refused(plan: Plan, content: object, sentence: str):
    view = figures.load(plan, plan.results.parent / "config")["temperature"]
    path = figures.probe_file(view)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        np.savez(path, nothing=np.zeros(1))
    elif content is not None:
        path.write_bytes(io.BytesIO(content).getvalue())
    with pytest.raises(UserError, match=rf"{sentence}.* \(python -m dualdistill probe temperature\)"):
        draw.draw(plan, view)
