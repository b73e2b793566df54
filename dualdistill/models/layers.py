"""Building blocks shared by the image, depth and BEV networks."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.backbones.resnet import BasicBlock
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from torch import Tensor, nn


def channels_last(map_BCHW: Tensor) -> Tensor:
    """Store a map in channels-last layout: convolutions keep it and are faster in it."""
    return map_BCHW.contiguous(memory_format=torch.channels_last)


def place(module: nn.Module, device: torch.device) -> None:
    """Move a module to a device, its weights in channels-last layout: else every convolution copies them."""
    layout: dict[str, Any] = {"memory_format": torch.channels_last}  # missing in the stubs of `to`
    module.to(device, **layout)


def conv_norm_relu(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Size-preserving convolution without bias, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def residual_stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    """Basic residual blocks; the shortcut of the first is a plain 3x3 convolution, as in BEVDet."""
    shortcut = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
    first = BasicBlock(inputs, outputs, stride=stride, downsample=shortcut)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs) for _ in range(blocks - 1)))


def initialise(module: BaseModule) -> None:
    """Run a module's init_weights without the library's log line per parameter."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        module.init_weights()
    finally:
        logger.setLevel(level)
