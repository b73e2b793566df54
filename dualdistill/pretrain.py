"""How good a pre-trained classifier is on crops of scenes that it has not seen.

The number is for the record alone: no other stage reads it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import DataLoader

from dualdistill.data.crops import BACKGROUND, CropDataset, collate
from dualdistill.data.index import Index
from dualdistill.models import Classifier
from dualdistill.plan import DataPaths
from dualdistill.spec import CLASSES, RunSpec

NAMES = (*CLASSES, "background")


def held_out(spec: RunSpec, data: DataPaths, classifier: Classifier) -> dict[str, Any]:
    """How many crops, and the share that is told right: in all and by class, where a class has any."""
    index, window = Index.load(data.index), classifier.spec.crops
    crops = CropDataset(index, data.root, data.cache, spec, window, train=False)
    count = torch.zeros(BACKGROUND + 1, dtype=torch.long)
    right = torch.zeros_like(count)
    device = next(classifier.parameters()).device
    classifier.eval()
    keys = torch.arange(len(crops)).split(spec.schedule.batch)
    batches = [[(position, 0) for position in part.tolist()] for part in keys if len(part)]
    with torch.inference_mode():
        for batch in DataLoader(crops, batch_sampler=batches, collate_fn=collate):
            told_B = classifier(batch.to(device)).argmax(dim=1).cpu()
            count += batch.labels_B.bincount(minlength=len(count))
            right += batch.labels_B[told_B == batch.labels_B].bincount(minlength=len(count))
    share = {name: right[k].item() / count[k].item() for k, name in enumerate(NAMES) if count[k]}
    return {
        "crops": int(count.sum()),
        "accuracy": right.sum().item() / max(1, count.sum().item()),
        "mean_class_accuracy": sum(share.values()) / max(1, len(share)),
        "by_class": share,
    }
