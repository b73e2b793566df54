"""Building blocks that the camera network, the BEV network and the depth network share."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.backbones.resnet import BasicBlock
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from torch import Tensor, nn


def channels_last(map_BCHW: Tensor) -> Tensor:
    """The same map stored pixel by pixel: convolutions keep that layout and are faster in it."""
    return map_BCHW.contiguous(memory_format=torch.channels_last)


def place(module: nn.Module, device: torch.device) -> None:
    """Move it there, weights in the layout of their maps: else every convolution copies them first."""
    layout: dict[str, Any] = {"memory_format": torch.channels_last}  # the stubs of `to` do not know it
    module.to(device, **layout)


def conv_norm_relu(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Convolution without bias that keeps the size, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def residual_stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    """Basic residual blocks; the first one's shortcut is a plain 3x3 convolution, as in BEVDet."""
    shortcut = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
    first = BasicBlock(inputs, outputs, stride=stride, downsample=shortcut)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs) for _ in range(blocks - 1)))


def initialise(module: BaseModule) -> None:
    """Draw the module's weights by its own recipe, without the library's log line for every parameter."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        module.init_weights()
    finally:
        logger.setLevel(level)
