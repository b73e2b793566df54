"""Teachers' outputs and samples that a training keeps change no byte of its weights, whatever the method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dualdistill.config import method_options
from dualdistill.config.run_spec import DistillSpec, RunSpec
from dualdistill.data import loader
from dualdistill.data.dataset import FrameDataset, Sample
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan
from dualdistill.store.files import sha256_file
from dualdistill.store.records import WEIGHTS
from dualdistill.training import train
from dualdistill.training.objective import Upstream
from dualdistill.training.teachers import Teachers

METHODS = sorted(method_options.methods())


@pytest.fixture(scope="module")
def smoke(checkout: Path, trained: dict[str, Path], results: Path) -> Plan:
    """The plan of the trained smoke profile."""
    return planning.load(checkout / "config" / "config.yaml", {"profile": "smoke"}, results)


def spec_of(smoke: Plan, method: str, options: dict[str, object] | None = None) -> RunSpec:
    """Six steps of a method on samples that are the same in every draw, half of them seen twice."""
    spec = smoke.run("labeldistill-r50-centerpoint").spec
    assert spec.distill is not None
    encoder = spec.distill.label_encoder if method_options.trait(method, "label_encoder") else None
    distill = DistillSpec(
        method,
        method_options.fill(method, options or {}),
        label_encoder=encoder,
        masks=smoke.run("x3kd-r50-centerpoint").spec.masks,
    )
    schedule = replace(spec.schedule, epochs=1.5)
    still = replace(spec.input, bev_flip=False, image_flip=False, resize_jitter=(0.0, 0.0))
    return replace(spec, distill=distill, schedule=schedule, input=still)


def trained_weights(smoke: Plan, spec: RunSpec, folder: Path) -> str:
    """Train a student in a folder and return the checksum of its weights."""
    run = smoke.run("labeldistill-r50-centerpoint")
    upstream = Upstream(smoke.teacher_folder(run), smoke.start_file(run), smoke.label_encoder_folder(run))
    train.train(spec, folder, smoke.paths, upstream)
    return sha256_file(folder / WEIGHTS)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of frames that teachers keep, training by training."""
    counts: list[int] = []
    keep = Teachers.keep

    def counted(self: Teachers, *words: object) -> None:
        keep(self, *words)
        counts.append(len(self.kept))

    monkeypatch.setattr(Teachers, "keep", counted)
    return counts


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The positions of the images that are loaded."""
    positions: list[int] = []
    get = FrameDataset.get

    def noted(self: FrameDataset, position: int, draw: int = 0) -> Sample:
        if self.images:
            positions.append(position)
        return get(self, position, draw)

    monkeypatch.setattr(FrameDataset, "get", noted)
    return positions


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_what_is_kept_gives_the_same_weights(
    method: str,
    smoke: Plan,
    tmp_path: Path,
    kept: list[int],
    loaded: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = spec_of(smoke, method)
    with_kept = trained_weights(smoke, spec, tmp_path / "kept")
    assert kept == [8]
    assert sorted(loaded) == list(range(8))
    monkeypatch.setattr(train, "KEPT", 0.0)
    monkeypatch.setattr(loader, "KEPT", 0.0)
    assert trained_weights(smoke, spec, tmp_path / "again") == with_kept
    assert kept == [8]
    assert len(loaded) > 16


@pytest.mark.slow
def test_a_resumed_training_keeps_them_again(smoke: Plan, tmp_path: Path, kept: list[int]) -> None:
    spec = spec_of(smoke, "dualdistill")
    whole = trained_weights(smoke, spec, tmp_path)
    newest = max((tmp_path / "state").glob("*.pt"), key=lambda file: file.stat().st_mtime_ns)
    newest.unlink()
    (tmp_path / WEIGHTS).unlink()
    assert trained_weights(smoke, spec, tmp_path) == whole
    assert kept == [8, 8]


@pytest.mark.slow
def test_frames_that_move_are_not_kept(smoke: Plan, tmp_path: Path, kept: list[int]) -> None:
    spec = spec_of(smoke, "tigbev")
    moved = replace(spec, input=replace(spec.input, bev_flip=True))
    trained_weights(smoke, moved, tmp_path)
    assert kept == []


@pytest.mark.slow
def test_a_teacher_that_nothing_reads_is_not_run(
    smoke: Plan, tmp_path: Path, kept: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(smoke, "dualdistill", {"mfd": False, "crd": False})
    weights = trained_weights(smoke, spec, tmp_path / "alone")
    assert kept == []
    monkeypatch.setattr(method_options.load("dualdistill"), "reads_teacher", True)
    assert trained_weights(smoke, spec, tmp_path / "taught") == weights
    assert kept == [8]
