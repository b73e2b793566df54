"""Records what mmcv's compiled NMS keeps: nms_rotated.npz and nms.npz beside this file.

Needs the full mmcv in the place of mmcv-lite, for these two files only:

    pip uninstall --yes mmcv-lite
    pip install --no-deps --no-build-isolation mmcv==2.1.0
    python tests/golden/record_nms.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.metadata import version
from math import pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Generator, Tensor

HERE = Path(__file__).parent
PROFILES = HERE.parents[1] / "config" / "profiles"
# length and width of the ten classes in m, in the order of CLASSES
SIZES_C2 = torch.tensor(
    [
        (4.6, 1.95),
        (6.9, 2.5),
        (6.4, 2.9),
        (11.0, 2.9),
        (12.3, 2.9),
        (0.5, 2.5),
        (2.1, 0.8),
        (1.7, 0.6),
        (0.7, 0.7),
        (0.4, 0.4),
    ]
)
IOUS = (0.2, 0.2, 0.2, 0.05, 0.1, 0.5, 0.7)
Kind = Callable[[int, Tensor, Generator], Tensor]


def uniform(draw: Generator, low: float, high: float, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=draw) * (high - low) + low


def boxes(count: int, sizes_K2: Tensor, draw: Generator, spread_m: float) -> Tensor:
    """Boxes turned anywhere around one place, with sizes that vary as a network's do."""
    sizes_K2 = sizes_K2 * uniform(draw, -0.2, 0.2, count, 2).exp()
    centre_2 = uniform(draw, -50, 50, 2)
    centres_K2 = centre_2 + torch.randn(count, 2, generator=draw) * spread_m
    return torch.cat([centres_K2, sizes_K2, uniform(draw, -pi, pi, count, 1)], dim=1)


def scattered(count: int, sizes_K2: Tensor, draw: Generator) -> Tensor:
    return boxes(count, sizes_K2, draw, 15.0)


def dense(count: int, sizes_K2: Tensor, draw: Generator) -> Tensor:
    """Boxes of a blurred heatmap: neighbouring cells with nearly the same box."""
    found_K5 = boxes(count, sizes_K2, draw, 0.0)
    found_K5[:, :2] += torch.randn(count, 2, generator=draw) * sizes_K2.mean(dim=1, keepdim=True) * 0.6
    found_K5[:, 4] = found_K5[0, 4] + torch.randn(count, generator=draw) * 0.2
    return found_K5


def touching(count: int, sizes_K2: Tensor, draw: Generator) -> Tensor:
    """Copies of a box in rows and columns, each sharing an edge or a corner with the next."""
    found_K5 = boxes(1, sizes_K2[:1], draw, 0.0).repeat(count, 1)
    if uniform(draw, 0, 1, 1) < 0.3:
        found_K5[:, 4] = (found_K5[0, 4] / pi * 2).round() * pi / 2
    step_K2 = torch.randint(0, 4, (count, 2), generator=draw) * found_K5[:, 2:4]
    step_K2 *= (1.0, 0.5, 0.75)[int(torch.randint(0, 3, (1,), generator=draw))]
    cos, sin = found_K5[0, 4].cos(), found_K5[0, 4].sin()
    found_K5[:, 0] += cos * step_K2[:, 0] - sin * step_K2[:, 1]
    found_K5[:, 1] += sin * step_K2[:, 0] + cos * step_K2[:, 1]
    return found_K5


def nested(count: int, sizes_K2: Tensor, draw: Generator) -> Tensor:
    """Boxes with one corner in common, or with one centre and turned by quarters."""
    found_K5 = boxes(1, sizes_K2[:1], draw, 0.0).repeat(count, 1)
    share_K2 = torch.randint(1, 9, (count, 2), generator=draw) / 8
    if uniform(draw, 0, 1, 1) < 0.5:
        cos, sin = found_K5[0, 4].cos(), found_K5[0, 4].sin()
        back_K2 = (share_K2 - 1) / 2 * found_K5[:, 2:4]
        found_K5[:, 0] += cos * back_K2[:, 0] - sin * back_K2[:, 1]
        found_K5[:, 1] += sin * back_K2[:, 0] + cos * back_K2[:, 1]
        found_K5[:, 2:4] *= share_K2
    else:
        found_K5[:, 2:4] *= share_K2
        found_K5[:, 4] += torch.randint(-4, 5, (count,), generator=draw) * (pi / 2)
    return found_K5


def equal(count: int, sizes_K2: Tensor, draw: Generator) -> Tensor:
    """Copies of a few boxes that differ in the last bits at most."""
    found_K5 = boxes(count, sizes_K2, draw, 1.0)
    found_K5 = found_K5[torch.randint(0, 1 + count // 4, (count,), generator=draw)]
    return found_K5 * (1 + torch.randint(-2, 3, (count, 5), generator=draw) * 2**-23)


def slivers(count: int, sizes_K2: Tensor, draw: Generator) -> Tensor:
    found_K5 = boxes(count, sizes_K2, draw, 0.5)
    thin_K = 10 ** uniform(draw, -4, -0.5, count)
    side = int(torch.randint(2, 4, (1,), generator=draw))
    found_K5[:, side] = thin_K
    if uniform(draw, 0, 1, 1) < 0.5:
        found_K5[:, 4] = found_K5[0, 4] + torch.randn(count, generator=draw) * 1e-3
        found_K5[:, :2] = found_K5[0, :2] + torch.randn(count, 2, generator=draw) * 10**-2.5
    return found_K5


KINDS: tuple[Kind, ...] = (scattered, dense, dense, touching, nested, equal, slivers)


@cache
def scales() -> list[Tensor]:
    """Every nms_scale of a profile, one factor per class."""
    texts = [path.read_text() for path in sorted(PROFILES.glob("*.yaml"))]
    found = {tuple(own) for text in texts for own in _values(yaml.safe_load(text), "nms_scale")}
    return [torch.tensor(own) for own in sorted(found)]


def _values(node: object, key: str) -> Iterator[list[float]]:
    for name, value in node.items() if isinstance(node, dict) else ():
        if name == key:
            yield value
        yield from _values(value, key)


def rotated_set(seed: int, count: int | None = None) -> tuple[Tensor, Tensor, float]:
    """Boxes, their scores and the IoU that suppresses."""
    draw = Generator().manual_seed(seed)
    if count is None:
        count = int(2 ** uniform(draw, 1, 5, 1))
    scale_C = pick(scales(), draw)
    labels_K = torch.randint(0, 10, (count,), generator=draw)
    if uniform(draw, 0, 1, 1) < 0.5:
        labels_K = labels_K[:1].expand(count)
    found_K5 = KINDS[seed % len(KINDS)](count, SIZES_C2[labels_K], draw)
    found_K5[:, 2:4] *= scale_C[labels_K, None]
    return found_K5, scores(count, draw), pick(IOUS, draw)


def plain_set(seed: int) -> tuple[Tensor, Tensor, float]:
    """Boxes (left, top, right, bottom) in cells of a feature map, some on the same whole numbers."""
    draw = Generator().manual_seed(seed)
    count = int(2 ** uniform(draw, 0, 7, 1))
    first_K2 = uniform(draw, 0, 30, count, 2)
    found_K4 = torch.cat([first_K2, first_K2 + uniform(draw, 0.5, 12, count, 2)], dim=1)
    if seed % 3 == 0:
        found_K4 = (found_K4 / 4).round() * 4
    return found_K4, scores(count, draw), pick((0.7, 0.7, 0.5, 0.3), draw)


def scores(count: int, draw: Generator) -> Tensor:
    """All different, or in a fifth of the sets one of a few values."""
    if uniform(draw, 0, 1, 1) < 0.2:
        return torch.randint(1, 5, (count,), generator=draw) / 4
    return torch.randperm(4096, generator=draw)[:count] / 4096


def pick(values: Sequence[Any], draw: Generator) -> Any:
    return values[int(torch.randint(0, len(values), (1,), generator=draw))]


def record(name: str, sets: Sequence[tuple[Tensor, Tensor, float]], operation: Callable[..., Any]) -> None:
    """One file: the sets one behind the other, and for each what was kept and how torch sorted its scores."""
    kept = [operation(*own)[1] if len(own[0]) else torch.zeros(0, dtype=torch.long) for own in sets]
    orders = [scores_K.sort(0, descending=True).indices for _, scores_K, _ in sets]
    np.savez_compressed(
        HERE / f"{name}.npz",
        boxes=torch.cat([own[0] for own in sets]).numpy(),
        scores=torch.cat([own[1] for own in sets]).numpy(),
        order=torch.cat(orders).short().numpy(),
        size=np.array([len(own[0]) for own in sets], dtype=np.int16),
        iou=np.array([own[2] for own in sets]),
        kept=torch.cat(kept).short().numpy(),
        kept_size=np.array([len(own) for own in kept], dtype=np.int16),
        recorded_with=np.array([f"{package} {version(package)}" for package in ("mmcv", "torch")]),
    )
    print(f"{name}: {len(sets)} sets, {sum(len(own[0]) for own in sets)} boxes, {sum(map(len, kept))} kept")


def main() -> None:
    from mmcv.ops import nms, nms_rotated

    torch.set_num_threads(1)
    empty = (torch.zeros(0, 5), torch.zeros(0), 0.2)
    large = [rotated_set(seed, 500) for seed in range(100_000, 100_000 + len(KINDS))]
    single = [rotated_set(seed, 1) for seed in range(200_000, 200_000 + len(KINDS))]
    record("nms_rotated", [empty, *single, *large, *map(rotated_set, range(2100))], nms_rotated)
    record("nms", [plain_set(seed) for seed in range(300)], nms)


if __name__ == "__main__":
    main()
