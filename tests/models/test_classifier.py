"""The classifier for pre-training: its loss falls, and its backbone fits the student."""

from __future__ import annotations

import torch
from batches import SLIM_GRID, SLIM_STUDENT

from dualdistill.config.run_spec import ClassifierSpec
from dualdistill.data.batch import Crops
from dualdistill.models import Classifier
from dualdistill.models.bevdepth.student import BEVDepth

SLIM = ClassifierSpec(width=SLIM_STUDENT.width)


def crops(count: int = 22) -> Crops:
    """Noise with a different mean per label."""
    labels_B = torch.arange(count) % 11
    images_BCHW = torch.randn(count, 3, 32, 32) + labels_B[:, None, None, None] / 3
    return Crops(tuple(f"sample-{i}" for i in range(count)), images_BCHW, labels_B)


def test_the_loss_falls() -> None:
    classifier, batch = Classifier(SLIM), crops()
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=2e-3)
    history = []
    for _ in range(25):
        optimizer.zero_grad()
        (loss,) = classifier.losses(classifier(batch), batch).values()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.5 * history[0]


def test_its_backbone_has_the_weights_of_the_students() -> None:
    classifier = Classifier(SLIM).backbone.state_dict()
    student = BEVDepth(SLIM_STUDENT, SLIM_GRID).image_encoder.backbone.state_dict()
    assert {name: value.shape for name, value in classifier.items()} == {
        name: value.shape for name, value in student.items()
    }
