"""The classifier of a pre-training: it learns, and its backbone is the student's."""

from __future__ import annotations

import torch
from batches import SLIM_GRID, SLIM_STUDENT

from dualdistill.config.run_spec import ClassifierSpec
from dualdistill.data.batch import Crops
from dualdistill.models import Classifier
from dualdistill.models.bevdepth.student import BEVDepth

SLIM = ClassifierSpec(width=SLIM_STUDENT.width)


def crops(count: int = 22) -> Crops:
    """Noise, but of another mean for every label."""
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


def test_its_backbone_is_the_student_s() -> None:
    own = Classifier(SLIM).backbone.state_dict()
    theirs = BEVDepth(SLIM_STUDENT, SLIM_GRID).image_encoder.backbone.state_dict()
    assert {name: value.shape for name, value in own.items()} == {
        name: value.shape for name, value in theirs.items()
    }
