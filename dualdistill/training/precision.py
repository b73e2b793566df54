"""Mixed precision: networks run under autocast, losses and methods in float32, batches stay as they are."""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision, Precision
from torch.optim import Optimizer

from dualdistill.errors import UserError

SMALLEST_SCALE = 2.0**-10  # of the loss; a gradient that overflows even here is wrong, not large
DTYPES = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


class Autocast(MixedPrecision):
    """Fabric's mixed precision without its conversion of inputs and outputs.

    It converts tensors in place and refuses our frozen batches; geometry and targets must stay in float32
    anyway, and autocast casts what a layer reads.
    """

    def convert_input(self, data: Any) -> Any:
        return data

    def convert_output(self, data: Any) -> Any:
        return data

    def unscale_gradients(self, optimizer: Optimizer) -> None:
        # Fabric refuses fused optimizers here, although torch's scaler does not unscale their gradients twice
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)


def plugin(precision: str, device: str) -> Precision:
    """The precision of a schedule for Fabric, which would replace 16-mixed by bf16-mixed on a CPU."""
    return Precision() if precision == "32-true" else Autocast(precision, device)  # type: ignore[arg-type]


def check_in_effect(fabric: Fabric, precision: str) -> None:
    """Refuse to train in another precision than the schedule's, which torch may fall back to."""
    kind = fabric.device.type
    with fabric.autocast():
        actual = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
    if actual != DTYPES[precision]:
        what = f"{kind} would train in {str(actual).removeprefix('torch.')}, the schedule says {precision}"
        raise UserError(what, hint="change schedule.precision")
