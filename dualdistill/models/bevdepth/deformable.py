"""Deformable convolution (DCNv2; Zhu et al., CVPR 2019) in plain torch: sampling and a matrix product.

Axes: M images, C channels, h w rows and columns, P = h x w cells, T = 9 taps of the kernel, row by row.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

KERNEL = 3
TAPS = KERNEL**2


class DeformableConv(nn.Conv2d):
    """3x3 convolution with a predicted shift and a predicted weight between 0 and 1 of each tap in each cell.

    It starts with shifts of zero and weights of a half, as mmcv's DCNv2.
    """

    def __init__(self, channels: int, recompute: bool = False) -> None:
        super().__init__(channels, channels, KERNEL, padding=1)
        # sample again in the backward pass: the sampled values take nine times the map's memory
        self.recompute = recompute
        self.taps = nn.Conv2d(channels, 3 * TAPS, KERNEL, padding=1)  # y and x of each, then their weights
        for start in self.taps.parameters():
            nn.init.zeros_(start)

    def forward(self, map_MChw: Tensor) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self._convolve, map_MChw, use_reentrant=False, preserve_rng_state=False)
        return self._convolve(map_MChw)

    def _convolve(self, map_MChw: Tensor) -> Tensor:
        shift_MShw, logit_MThw = self.taps(map_MChw).split([2 * TAPS, TAPS], dim=1)
        with torch.autocast(map_MChw.device.type, enabled=False):  # half precision would move the taps
            wide = torch.promote_types(map_MChw.dtype, torch.float32)
            value_MCThw = sample(map_MChw.to(wide), shift_MShw.to(wide).unflatten(1, (TAPS, 2)))
            value_MCThw = value_MCThw * logit_MThw.to(wide).sigmoid()[:, None]
        cells_MPK = value_MCThw.flatten(1, 2).flatten(2).mT  # K: taps of all channels
        summed_MPC = F.linear(cells_MPK, self.weight.flatten(1), self.bias)
        return summed_MPC.mT.unflatten(2, map_MChw.shape[2:])


def sample(map_MChw: Tensor, shift_MT2hw: Tensor) -> Tensor:
    """Values at the shifted taps of every cell: bilinear, zero outside, [M, C, T, h, w]."""
    height, width = map_MChw.shape[2:]
    row_h, column_w, tap_T = (
        torch.arange(count, dtype=shift_MT2hw.dtype, device=shift_MT2hw.device)
        for count in (height, width, TAPS)
    )
    tap_y_T11, tap_x_T11 = (tap_T // KERNEL - 1)[:, None, None], (tap_T % KERNEL - 1)[:, None, None]
    y_MThw = shift_MT2hw[:, :, 0] + tap_y_T11 + row_h[:, None]
    x_MThw = shift_MT2hw[:, :, 1] + tap_x_T11 + column_w
    # grid_sample puts -1 and 1 on the outer edges of the map
    at_MThw2 = torch.stack([(2 * x_MThw + 1) / width - 1, (2 * y_MThw + 1) / height - 1], dim=-1)
    value_MCPw = F.grid_sample(map_MChw, at_MThw2.flatten(1, 2), align_corners=False)
    return value_MCPw.unflatten(2, (TAPS, height))
