"""X3KD (CVPR 2023), reconstructed: distillation across tasks, modalities and stages.

Neither code nor full text was available. The four parts come from the abstract; their formulas and all
constants are our reconstruction (docs/methods/x3kd.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from dualdistill.config.ranges import NotNegative, Share, ShareBelowOne, Weight
from dualdistill.distill.base import Distiller
from dualdistill.distill.inputs import FeaturePair, Shape
from dualdistill.distill.terms.regions import resize_mask
from dualdistill.distill.terms.x3kd.adversarial import discriminator, domain_loss
from dualdistill.distill.terms.x3kd.features import adapter, feature_loss
from dualdistill.distill.terms.x3kd.instances import InstanceHead
from dualdistill.distill.terms.x3kd.outputs import output_losses


class X3KD(Distiller):
    """L = L_IS on image features + L_FD + L_AT on BEV features + L_OD on predictions."""

    reconstruction: ClassVar[bool] = True
    masks_option: ClassVar[str] = "xis"

    def __init__(
        self,
        *,
        xis: bool = True,  # instance segmentation, on the student's image map
        xis_weight: Weight = 1.0,
        xis_score_threshold: Share = 0.2,  # instances below it are not used as targets
        xfd: bool = True,  # feature distillation, on the BEV map in front of the heads
        xfd_weight: Weight = 10.0,
        xfd_norm: Literal["l1", "l2"] = "l1",
        xfd_nonempty: bool = True,  # off: cells without a LiDAR point count too
        xat: bool = True,  # adversarial training, on the same map
        xat_weight: Weight = 10.0,
        xat_lambda: NotNegative = 1.0,  # factor of the reversed gradient
        xat_spectral_norm: bool = False,
        xod: bool = True,  # output distillation, on the student's predictions
        xod_weight: Weight = 1.0,
        xod_threshold: ShareBelowOne = 0.6,  # teacher score above which a cell counts
    ) -> None:
        super().__init__()
        self.xis, self.xfd, self.xat, self.xod = xis, xfd, xat, xod
        self.xis_weight, self.xis_score_threshold = xis_weight, xis_score_threshold
        self.xfd_weight, self.xfd_norm, self.xfd_nonempty = xfd_weight, xfd_norm, xfd_nonempty
        self.xat_weight, self.xat_lambda, self.xat_spectral_norm = xat_weight, xat_lambda, xat_spectral_norm
        self.xod_weight, self.xod_threshold = xod_weight, xod_threshold

    def bind(self, student_shapes: Mapping[str, Shape], teacher_shapes: Mapping[str, Shape]) -> None:
        """Create the networks of the parts in use; X-FD and X-AT share the adapter."""
        student, teacher = student_shapes["head"][0], teacher_shapes["neck"][0]
        if self.xfd or self.xat:
            self.adapter = adapter(student, teacher)
        if self.xat:
            self.discriminator = discriminator(teacher, self.xat_spectral_norm)
        if self.xis:
            self.segmenter = InstanceHead(student_shapes["image"][0])

    def losses(self, pair: FeaturePair) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        if self.xis:
            terms = self.segmenter(pair.image_BNChw, pair.instances, self.xis_score_threshold)
            losses |= {f"xis_{term}": self.xis_weight * loss for term, loss in terms.items()}
        if self.xfd or self.xat:
            aligned_BCHW, teacher_BCHW = self.adapter(pair.student_BCHW["head"]), pair.teacher_BCHW["neck"]
        if self.xfd:
            counted_BHW = resize_mask(pair.occupied_BYX, (teacher_BCHW.shape[2], teacher_BCHW.shape[3]))
            counted_BHW = counted_BHW if self.xfd_nonempty else counted_BHW.new_ones(counted_BHW.shape)
            feature = feature_loss(aligned_BCHW, teacher_BCHW, counted_BHW, self.xfd_norm)
            losses["xfd"] = self.xfd_weight * feature
        if self.xat:
            domain = domain_loss(self.discriminator, aligned_BCHW, teacher_BCHW, self.xat_lambda)
            losses["xat"] = self.xat_weight * domain
        if self.xod:
            assert pair.history_s_B is not None  # a student always has a previous frame
            score, box = output_losses(
                pair.student_predictions, pair.teacher_predictions, pair.history_s_B, self.xod_threshold
            )
            losses |= {"xod_score": self.xod_weight * score, "xod_box": self.xod_weight * box}
        return losses
