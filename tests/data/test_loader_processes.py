"""Loader processes change no batch; their errors and deaths are sentences, and they open few files."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.data import Dataset

from dualdistill.config.run_spec import RunSpec, ScheduleSpec
from dualdistill.data import loader_processes
from dualdistill.data.dataset import FrameDataset, collate
from dualdistill.data.loader import TrainingBatches
from dualdistill.data.transport import Block
from dualdistill.errors import DataError, LoaderError

CPU = torch.device("cpu")


@pytest.fixture
def frames(own_toy, student_spec: RunSpec) -> FrameDataset:
    spec = replace(student_spec, schedule=ScheduleSpec(epochs=3.5, batch=1))
    where = (own_toy.index, own_toy.root, None, "train", spec)
    return FrameDataset(*where, train=True, images=True, points=True)


def read(frames: FrameDataset, loaders: int, monkeypatch: pytest.MonkeyPatch, step: int = 0) -> list:
    """The batches of a training of several epochs, as strings of bytes by field."""
    monkeypatch.setenv(loader_processes.VARIABLE, str(loaders))
    order = torch.tensor([0]).numpy()
    training = TrainingBatches(frames.spec.schedule, frames, collate, lambda epoch: order)
    fabric = Fabric(accelerator="cpu", devices=1)
    return [flat(batch) for batch in training.batches(step, fabric)]


def flat(value: object) -> list:
    if isinstance(value, Tensor):
        return [str(value.dtype), list(value.shape), value.contiguous().numpy().tobytes()]
    if isinstance(value, tuple):
        return [flat(item) for item in value]
    return [flat(item) for item in vars(value).values()] if hasattr(value, "__dict__") else [value]


def test_loaders_change_no_batch_and_work_through_all_epochs(frames, monkeypatch) -> None:
    alone = read(frames, 0, monkeypatch)
    assert len(alone) == 4
    assert len({str(batch) for batch in alone}) == len(alone)  # each epoch augments anew
    for loaders in (1, 2):
        assert read(frames, loaders, monkeypatch) == alone
    assert read(frames, 2, monkeypatch, step=2) == alone[2:]


def test_the_random_numbers_of_a_training_do_not_depend_on_its_loaders(frames, monkeypatch) -> None:
    states = []
    for loaders in (0, 2):
        torch.manual_seed(5)
        read(frames, loaders, monkeypatch)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_a_damaged_file_is_the_same_sentence_with_and_without_loaders(own_toy, frames, monkeypatch) -> None:
    path = own_toy.root / own_toy.index.path(int(own_toy.index.sample_key_record[0, 3]))
    path.write_bytes(path.read_bytes()[:900])
    sentences = []
    for loaders in (0, 1):
        with pytest.raises(DataError) as caught:
            read(frames, loaders, monkeypatch)
        sentences.append(str(caught.value))
    assert sentences[0] == sentences[1]
    assert str(path) in sentences[0]


class Deadly(Dataset[int]):
    """Ends its process at the third sample."""

    def __getitem__(self, key: tuple[int, int]) -> int:
        if key[0] == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return key[0]


def test_a_loader_that_dies_is_a_sentence_where_its_batch_is_read(monkeypatch) -> None:
    monkeypatch.setenv(loader_processes.VARIABLE, "1")
    batches = loader_processes.load(Deadly(), tuple, ([(number, 0)] for number in range(5)))
    with pytest.raises(LoaderError, match=r"a loader process has died.*lower loaders"):
        list(batches)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_batch_from_a_loader_opens_one_file(frames, monkeypatch) -> None:
    monkeypatch.setenv(loader_processes.VARIABLE, "1")
    batches = loader_processes.load(frames, collate, [[(0, 0)] * 8] * 6)
    kept = [next(batches)]
    before = open_files()
    kept += islice(batches, 3)
    assert len(kept[0].points_PI) == 8
    assert open_files() - before <= 4  # with a file per tensor, more than a hundred


@dataclass(frozen=True)
class Mixed:
    """Tensors of several types, one of them with its axes in another order, and other things."""

    name: str
    image_3HW: Tensor
    parts: tuple[Tensor, ...]
    none: None = None


def test_a_block_keeps_values_types_and_the_order_of_axes() -> None:
    image = torch.arange(2 * 5 * 3, dtype=torch.uint8).reshape(2, 5, 3).movedim(-1, 0)
    parts = (torch.randn(3), torch.zeros(0, 9), torch.tensor([True]), torch.tensor(2.5, dtype=torch.float64))
    mixed = Mixed("a", image, parts)
    again = Block.of(mixed).batch()
    assert flat(again) == flat(mixed)
    assert again.image_3HW.stride() == image.stride()


def test_auto_is_none_on_a_cpu(monkeypatch) -> None:
    monkeypatch.setenv(loader_processes.VARIABLE, "auto")
    if not torch.cuda.is_available():
        assert loader_processes.processes() == 0


@pytest.mark.parametrize(
    ("cores", "machine", "processes", "gpus", "loaders"),
    [
        (64, 64, 1, 8, 7),  # other trainings may take the other seven GPUs
        (64, 64, 8, 8, 7),  # one training on eight GPUs
        (12, 64, 1, 8, 11),  # a scheduler has given this training twelve cores
        (12, 64, 2, 8, 5),
        (64, 64, 1, 1, 16),
        (2, 2, 1, 8, 1),
    ],
)
def test_auto_divides_the_cores(cores: int, machine: int, processes: int, gpus: int, loaders: int) -> None:
    assert loader_processes.share(cores, machine, processes, gpus) == loaders
