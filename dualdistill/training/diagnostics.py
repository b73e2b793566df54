"""Quality of networks that no evaluation scores: classifiers and label encoders.

The numbers only go into run.json; no later stage reads them. Average precision is nuScenes' own, on the
frames of the dev split, but in the LIDAR_TOP frame and without the official evaluation's ranges and filters.
"""

from __future__ import annotations

from typing import Any

import torch
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.data_classes import EvalBoxes
from nuscenes.eval.common.utils import center_distance
from nuscenes.eval.detection.algo import accumulate, calc_ap
from nuscenes.eval.detection.data_classes import DetectionBox
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.utils.data import DataLoader

from dualdistill.config.nuscenes import BACKGROUND, CLASSES
from dualdistill.config.run_spec import RunSpec
from dualdistill.data import crop_dataset, dataset
from dualdistill.data.crop_dataset import CropDataset
from dualdistill.data.dataset import FrameDataset
from dualdistill.data.index import Index
from dualdistill.models import Classifier, LabelEncoder, Teacher
from dualdistill.plan.plan import DataPaths

NAMES = (*CLASSES, "background")
CONFIG = "detection_cvpr_2019"  # nuScenes' official distances and limits


def classifier_accuracy(spec: RunSpec, data: DataPaths, classifier: Classifier) -> dict[str, Any]:
    """Number of held-out crops and share of correct predictions, in all and for each class that occurs."""
    index, window = Index.load(data.index), classifier.spec.crops
    crops = CropDataset(index, data.root, data.cache, spec, window, train=False)
    count = torch.zeros(BACKGROUND + 1, dtype=torch.long)
    correct = torch.zeros_like(count)
    device = next(classifier.parameters()).device
    classifier.eval()
    keys = torch.arange(len(crops)).split(spec.schedule.per_device)
    batches = [[(position, 0) for position in part.tolist()] for part in keys if len(part)]
    with torch.inference_mode():
        for batch in DataLoader(crops, batch_sampler=batches, collate_fn=crop_dataset.collate):
            predicted_B = classifier(batch.to(device)).argmax(dim=1).cpu()
            count += batch.labels_B.bincount(minlength=len(count))
            correct += batch.labels_B[predicted_B == batch.labels_B].bincount(minlength=len(count))
    share = {name: correct[k].item() / count[k].item() for k, name in enumerate(NAMES) if count[k]}
    return {
        "crops": int(count.sum()),
        "accuracy": correct.sum().item() / max(1, count.sum().item()),
        "mean_class_accuracy": sum(share.values()) / max(1, len(share)),
        "by_class": share,
    }


def label_encoder_precision(
    spec: RunSpec, data: DataPaths, encoder: LabelEncoder, teacher: Teacher
) -> dict[str, Any]:
    """Average precision of the boxes that the teacher's head decodes from the encoder's maps.

    The mean is over the classes that have a ground-truth box.
    """
    index, split = Index.load(data.index), spec.data.dev_split
    frames = FrameDataset(index, data.root, data.cache, split, spec, train=False, images=False, points=False)
    device = next(encoder.parameters()).device
    ground_truth, predicted = EvalBoxes(), EvalBoxes()
    encoder.eval()
    with torch.inference_mode():
        for batch in DataLoader(frames, batch_size=spec.schedule.per_device, collate_fn=dataset.collate):
            on_device = batch.to(device)
            decoded = teacher.decode(teacher.read(encoder(on_device)), on_device)
            samples = zip(batch.tokens, batch.boxes_K9, batch.labels_K, decoded, strict=True)
            for token, boxes_K9, labels_K, detections in samples:
                no_scores_K = torch.full(labels_K.shape, -1.0)
                ground_truth.add_boxes(token, _devkit_boxes(token, boxes_K9, labels_K, no_scores_K))
                boxes = (detections.boxes_K9, detections.labels_K, detections.scores_K)
                predicted.add_boxes(token, _devkit_boxes(token, *boxes))
    precision = average_precision(ground_truth, predicted)
    mean = sum(precision.values()) / max(1, len(precision))
    return {"frames": len(frames), "boxes": len(ground_truth.all), "mean_ap": mean, "by_class": precision}


def average_precision(ground_truth: EvalBoxes, predicted: EvalBoxes) -> dict[str, float]:
    """Average precision by class, averaged over the official distances."""
    config = config_factory(CONFIG)
    precision = {}
    for name in CLASSES:
        if any(box.detection_name == name for box in ground_truth.all):
            curves = (
                accumulate(ground_truth, predicted, name, center_distance, limit_m)
                for limit_m in config.dist_ths
            )
            values = [calc_ap(curve, config.min_recall, config.min_precision) for curve in curves]
            precision[name] = float(sum(values) / len(values))
    return precision


def _devkit_boxes(token: str, boxes_K9: Tensor, labels_K: Tensor, scores_K: Tensor) -> list[DetectionBox]:
    return [
        DetectionBox(
            sample_token=token,
            translation=tuple(box[:3]),
            size=(box[4], box[3], box[5]),
            rotation=tuple(Rotation.from_rotvec([0, 0, box[6]]).as_quat(scalar_first=True)),
            velocity=tuple(box[7:]),
            detection_name=CLASSES[label],
            detection_score=score,
        )
        for box, label, score in zip(boxes_K9.tolist(), labels_K.tolist(), scores_K.tolist(), strict=True)
    ]
