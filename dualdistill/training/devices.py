"""The devices that share a training: their number decides how often each accumulates."""

from __future__ import annotations

import logging
import os

import torch
from lightning_fabric import Fabric

from dualdistill.config.run_spec import ScheduleSpec
from dualdistill.training import precision

log = logging.getLogger(__name__)


def launch(schedule: ScheduleSpec) -> Fabric:
    """One process on one device, unless torchrun started several."""
    local, world = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    parts = schedule.parts(world)
    plugin = precision.plugin(schedule.precision, device.type)
    fabric = Fabric(accelerator=device.type, devices=local, num_nodes=world // local, plugins=[plugin])
    fabric.launch()
    if fabric.global_rank > 0:  # the first process speaks for all, unless something is wrong
        logging.getLogger("dualdistill").setLevel(logging.WARNING)
    precision.check_in_effect(fabric, schedule.precision)
    shares = (schedule.batch, world, schedule.per_device, parts)
    log.info("batch %d = %d (devices) x %d (samples at once) x %d (accumulated parts)", *shares)
    return fabric
