"""Jobs of students that start from a detector, which starts from a backbone."""

import pytest
from checkouts import Checkout


def test_a_detector_is_trained_once_for_all_students_of_its_backbone(checkout: Checkout):
    checkout.edit("config/profiles/world.yaml", "start: pretrained", "start: detector")
    jobs = checkout.jobs("--config", "seeds=[0,1,2]")
    # a classifier, a detector, and the deeper detector that grows from it
    assert (jobs["pretrain"], jobs["train"]) == (3, 12)


@pytest.mark.slow
def test_retraining_a_detector_retrains_its_students(finished: Checkout):
    finished.edit("config/profiles/world.yaml", "start: pretrained", "start: detector")
    assert finished.snakemake().returncode == 0
    assert finished.jobs() == {}
    runs = finished.root / "results" / "runs"
    (next(runs.glob("detector-r101-*")) / "run.json").write_text("another training\n")
    # the page shows the detector's score as well
    assert finished.jobs() == {"train": 2, "predict": 3, "evaluate": 3, "table": 1, "claims": 1}
    (next(runs.glob("detector-r50-*")) / "run.json").write_text("another training\n")
    both = {"pretrain": 1, "train": 4, "predict": 6, "evaluate": 6, "table": 1, "claims": 1}
    assert finished.jobs() == both
