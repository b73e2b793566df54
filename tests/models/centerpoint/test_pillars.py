"""Dynamic pillars against mmdet3d's hard pillars, and the position of a point on the canvas."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from batches import SLIM_GRID, SLIM_TEACHER, points_on, random_boxes
from mmdet3d.models.voxel_encoders import PillarFeatureNet

from dualdistill.interop.conventions import fold_height
from dualdistill.models.centerpoint.pillars import PillarEncoder


def cloud(seed: int, columns: int = 5) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    points = points_on(random_boxes(12, 20.0, draw)[0], 80, draw)
    return torch.cat([points, torch.randn(len(points), columns - 5, generator=draw)], dim=1)


def hard_voxels(
    clouds: tuple[torch.Tensor, ...], most: int = 10**6
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Points, counts and (batch, z, y, x) of every occupied pillar, which keeps its first points."""
    groups: dict[tuple[int, int, int], list[torch.Tensor]] = {}
    for sample, points in enumerate(clouds):
        for point in points:
            column, row = ((point[:2] + 25.6) / 0.4).floor().long().tolist()
            members = groups.setdefault((sample, row, column), [])
            members += [point] if len(members) < most else []
    room = max(len(members) for members in groups.values())
    voxels = torch.zeros(len(groups), room, 5)
    for voxel, members in zip(voxels, groups.values(), strict=True):
        voxel[: len(members)] = torch.stack(members)
    counts = torch.tensor([len(members) for members in groups.values()])
    return voxels, counts, torch.tensor([(b, 0, y, x) for b, y, x in groups])


def library_pillars() -> PillarFeatureNet:
    return PillarFeatureNet(
        in_channels=5,
        feat_channels=(16,),
        voxel_size=(0.4, 0.4, 8.0),
        point_cloud_range=(-25.6, -25.6, -5.0, 25.6, 25.6, 3.0),
        norm_cfg={"type": "BN1d", "eps": 1e-3, "momentum": 0.01},
        legacy=False,
    ).eval()


def test_dynamic_pillars_equal_hard_pillars_when_no_cap_binds():
    clouds = (cloud(0), cloud(1))
    hard = library_pillars()
    dynamic = PillarEncoder(SLIM_TEACHER, SLIM_GRID).eval()
    layer = hard.pfn_layers[0]
    with torch.no_grad():
        layer.linear.weight[:, 10] = 0  # the library's eleventh input, the offset to the centre in z
        dynamic.linear.weight.copy_(layer.linear.weight[:, :10])
    voxels, counts, places = hard_voxels(clouds)
    expected = hard(voxels, counts, places)
    canvas = dynamic(clouds)
    assert canvas.shape == (2, 16, 128, 128)
    features = canvas[places[:, 0], :, places[:, 2], places[:, 3]]
    assert expected.abs().sum() > 0
    assert torch.allclose(features, expected, atol=1e-4, rtol=1e-5)
    canvas[places[:, 0], :, places[:, 2], places[:, 3]] = 0
    assert not canvas.any()


def test_padded_pillars_of_eleven_inputs_equal_the_library_s_after_folding():
    """Random statistics, so that a padded point has a feature above those of many real ones."""
    draw = torch.Generator().manual_seed(3)
    clouds, limit = (cloud(0), cloud(1)), 3
    hard = library_pillars()
    norm, linear = hard.pfn_layers[0].norm, hard.pfn_layers[0].linear
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.copy_(torch.randn(16, generator=draw))
        norm.running_var.copy_(torch.rand(16, generator=draw) + 0.5)
    released = {f"pillars.norm.{name}": value for name, value in norm.state_dict().items()}
    released["pillars.linear.weight"] = linear.weight.detach()
    folded = fold_height(released)
    padded = PillarEncoder(replace(SLIM_TEACHER, pillar_points=limit), SLIM_GRID).eval()
    padded.load_state_dict({name.removeprefix("pillars."): value for name, value in folded.items()})
    voxels, counts, places = hard_voxels(clouds, limit)
    assert set(counts.tolist()) == {1, 2, 3}
    with torch.no_grad():
        expected, canvas = hard(voxels, counts, places), padded(clouds)
    features = canvas[places[:, 0], :, places[:, 2], places[:, 3]]
    assert torch.allclose(features, expected, atol=1e-4, rtol=1e-5)
    without = PillarEncoder(SLIM_TEACHER, SLIM_GRID).eval()
    without.load_state_dict({k: v for k, v in padded.state_dict().items() if k != "padding_C"})
    with torch.no_grad():
        dynamic = without(clouds)[places[:, 0], :, places[:, 2], places[:, 3]]
    assert (dynamic - expected).abs().max() > 0.1


def test_a_point_lands_in_the_row_of_its_y_and_the_column_of_its_x():
    encoder = PillarEncoder(SLIM_TEACHER, SLIM_GRID).eval()
    canvas = encoder((torch.tensor([[15.0, 2.5, 0.0, 200.0, 0.0]]),))
    assert canvas[0].sum(0).nonzero().tolist() == [[int((2.5 + 25.6) / 0.4), int((15.0 + 25.6) / 0.4)]]


@pytest.mark.parametrize(
    "outside", [(25.6, 0.0, 0.0), (0.0, -25.61, 0.0), (0.0, 0.0, 3.0), (0.0, 0.0, -5.01)]
)
def test_points_out_of_range_are_ignored(outside: tuple[float, float, float]):
    encoder = PillarEncoder(SLIM_TEACHER, SLIM_GRID).eval()
    stray = torch.tensor([[*outside, 10.0, 0.0]])
    assert torch.equal(encoder((torch.cat([cloud(0), stray]),)), encoder((cloud(0),)))


def test_the_order_of_points_does_not_matter():
    encoder = PillarEncoder(SLIM_TEACHER, SLIM_GRID)
    points = cloud(0)
    mixed = points[torch.randperm(len(points))]
    assert torch.allclose(encoder((points,)), encoder((mixed,)), atol=1e-4)


def test_more_point_columns_are_a_parameter_and_all_of_them_get_a_gradient():
    encoder = PillarEncoder(SLIM_TEACHER, SLIM_GRID, columns=17)
    points = cloud(0, columns=17)
    points[::2, 15] = -1.0
    encoder((points,)).square().sum().backward()
    assert encoder.linear.weight.shape == (16, 22)
    assert encoder.linear.weight.grad.abs().sum(0).gt(0).all()


def test_the_flag_distinguishes_virtual_from_other_points():
    encoder = PillarEncoder(SLIM_TEACHER, SLIM_GRID, columns=17).eval()
    real, painted, virtual = (cloud(0, columns=17) for _ in range(3))
    for points, flag in ((real, 1.0), (painted, 0.0), (virtual, -1.0)):
        points[:, 15] = flag
    canvas = {"real": encoder((real,)), "painted": encoder((painted,)), "virtual": encoder((virtual,))}
    assert torch.equal(canvas["real"], canvas["painted"])
    assert not torch.equal(canvas["real"], canvas["virtual"])


def test_a_sample_without_points_gives_an_empty_canvas():
    encoder = PillarEncoder(SLIM_TEACHER, SLIM_GRID).eval()
    canvas = encoder((cloud(0), torch.zeros(0, 5)))
    assert canvas[0].any()
    assert not canvas[1].any()


def test_points_are_encoded_in_float32_under_autocast():
    """Half precision would move a point at the edge of the grid by centimetres."""
    points_P5 = points_on(*random_boxes(5, 20.0, torch.Generator().manual_seed(0))[:1], 20, torch.Generator())
    encoder = PillarEncoder(SLIM_TEACHER, SLIM_GRID)
    with torch.autocast("cpu", torch.bfloat16):
        mixed_BCYX = encoder((points_P5,))
    assert torch.equal(mixed_BCYX, encoder((points_P5,)))
