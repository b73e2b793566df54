"""Files are read without running anything in them; what is no checkpoint is one sentence."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import random
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from dualdistill.errors import CheckpointError
from dualdistill.interop.read import read

WEIGHTS = {"conv.weight": torch.arange(6.0).view(2, 3), "bn.num_batches_tracked": torch.tensor(7)}


class RunsCode:
    """An object whose unpickling runs a command."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch canary",)


class Evaluates:
    """An object whose unpickling evaluates an expression."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("open('canary', 'w')",)


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Classes as mmengine pickles them, in a module that is gone when the file is read."""
    module = types.ModuleType("somebodys_engine")
    history = type("HistoryBuffer", (), {"__module__": module.__name__})
    config = type("ConfigDict", (dict,), {"__module__": module.__name__})
    lines = type("Lines", (list,), {"__module__": module.__name__})
    module.HistoryBuffer, module.ConfigDict, module.Lines = history, config, lines
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_mmengine_gives_its_weights_and_names_the_classes_that_were_not_loaded(
    tmp_path: Path, foreign: types.ModuleType, zipped: bool
) -> None:
    buffer = foreign.HistoryBuffer()
    buffer._log_history = [1.0, 2.0]
    content = {
        "meta": {"cfg": foreign.ConfigDict(model=foreign.ConfigDict(depth=50)), "epoch": 20},
        "state_dict": OrderedDict(WEIGHTS),
        "message_hub": {"log_scalars": {"loss": buffer}, "lines": foreign.Lines(["a"])},
    }
    torch.save(content, tmp_path / "epoch_20.pth", _use_new_zipfile_serialization=zipped)
    del sys.modules[foreign.__name__]
    checkpoint = read(tmp_path / "epoch_20.pth")
    assert checkpoint.weights.keys() == WEIGHTS.keys()
    assert all(torch.equal(checkpoint.weights[name], WEIGHTS[name]) for name in WEIGHTS)
    names = ("ConfigDict", "HistoryBuffer", "Lines")
    assert checkpoint.inert == tuple(f"somebodys_engine.{name}" for name in names)
    assert checkpoint.meta["epoch"] == 20
    assert checkpoint.beside == ("meta", "message_hub")
    assert foreign.__name__ not in sys.modules


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("trap", [RunsCode, Evaluates])
@pytest.mark.parametrize("place", ["state_dict", "meta", "beside"])
def test_a_pickle_that_would_run_code_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: type, place: str, zipped: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"state_dict": dict(WEIGHTS), "meta": {}}
    (content if place == "beside" else content[place])["trap"] = trap()
    torch.save(content, tmp_path / "trap.pth", _use_new_zipfile_serialization=zipped)
    checkpoint = read(tmp_path / "trap.pth")
    assert not (tmp_path / "canary").exists()
    assert checkpoint.weights.keys() == WEIGHTS.keys()
    name = {RunsCode: f"{os.name}.system", Evaluates: "eval"}[trap]
    assert checkpoint.inert[0].endswith(name)


def test_a_pickle_without_torch_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare.pth").write_bytes(pickle.dumps({"state_dict": RunsCode()}, protocol=2))
    with pytest.raises(CheckpointError):
        read(tmp_path / "bare.pth")
    assert not (tmp_path / "canary").exists()


def test_a_pickle_cannot_reach_functions_through_the_names_it_may_use(tmp_path: Path) -> None:
    """Attributes of a permitted function are set on a copy."""
    before = dict(vars(torch._utils._rebuild_tensor_v2))
    text = b"\x80\x02}(X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00xK\x01sbu."
    with zipfile.ZipFile(tmp_path / "set.pth", "w") as archive:
        archive.writestr("archive/data.pkl", text)
        archive.writestr("archive/version", "3\n")
    with pytest.raises(CheckpointError):
        read(tmp_path / "set.pth")
    assert vars(torch._utils._rebuild_tensor_v2) == before


def test_a_pickle_cannot_make_torch_write_a_patch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that asks for it gets a patch of its source, named by attributes that a pickle may set."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    torch.save({"a": torch.zeros(1)}, tmp_path / "whole.pth", _use_new_zipfile_serialization=False)
    with (tmp_path / "whole.pth").open("rb") as stream:
        header = [pickle.load(stream) for _ in range(3)]  # magic number, protocol, sizes of this machine
    call = b"ctorch._utils\n_rebuild_tensor_v2\n"
    named = b"}(X\x0c\x00\x00\x00dump_patches\x88X\x08\x00\x00\x00__name__X\x08\x00\x00\x00../ownedu"
    asks = b"(X\x06\x00\x00\x00module" + call + b"N" + named + b"\x86bX\x01\x00\x00\x00sX\x01\x00\x00\x00xtQ."
    (tmp_path / "trap.pth").write_bytes(
        b"".join(pickle.dumps(part, 2) for part in header) + b"\x80\x02" + asks
    )
    with pytest.raises(CheckpointError):
        read(tmp_path / "trap.pth")
    assert not (tmp_path / "owned.patch").exists()


def test_a_tensor_larger_than_its_data_is_refused(tmp_path: Path, foreign: types.ModuleType) -> None:
    torch.save({"state_dict": dict(WEIGHTS), "other": foreign.HistoryBuffer()}, tmp_path / "whole.pth")
    with zipfile.ZipFile(tmp_path / "whole.pth") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "large.pth", "w") as archive:
        for name, content in entries.items():
            # the shape (2, 3) becomes (200, 3)
            archive.writestr(name, content.replace(b"K\x02K\x03\x86", b"K\xc8K\x03\x86"))
    with pytest.raises(CheckpointError, match="damaged"):
        read(tmp_path / "large.pth")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
def test_no_wrong_byte_is_a_traceback(tmp_path: Path, foreign: types.ModuleType, zipped: bool) -> None:
    content = {"state_dict": {"a": torch.zeros(3)}, "meta": {"buffer": foreign.HistoryBuffer()}}
    torch.save(content, tmp_path / "whole.pth", _use_new_zipfile_serialization=zipped)
    whole, draw = (tmp_path / "whole.pth").read_bytes(), random.Random(0)
    for _ in range(300):
        spoiled = bytearray(whole)
        spoiled[draw.randrange(2, len(whole))] = draw.randrange(256)
        (tmp_path / "spoiled.pth").write_bytes(spoiled)
        with contextlib.suppress(CheckpointError):
            read(tmp_path / "spoiled.pth")


@pytest.mark.parametrize("prefix", ["module.", "model.", "module.model.", "model.module."])
def test_the_prefix_of_a_wrapper_is_removed(tmp_path: Path, prefix: str) -> None:
    torch.save({"state_dict": {prefix + name: value for name, value in WEIGHTS.items()}}, tmp_path / "a.pth")
    checkpoint = read(tmp_path / "a.pth")
    assert (checkpoint.weights.keys(), checkpoint.prefix) == (WEIGHTS.keys(), prefix)


def test_a_bare_table_of_tensors_is_a_checkpoint(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "resnet50.pth")
    assert read(tmp_path / "resnet50.pth").weights.keys() == WEIGHTS.keys()


def _half(path: Path) -> None:
    torch.save({"state_dict": dict(WEIGHTS)}, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _half_of_the_old_format(path: Path) -> None:
    torch.save({"state_dict": dict(WEIGHTS)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no weights")


def _script(path: Path) -> None:
    content = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), content)
    path.write_bytes(content.getvalue())


def _optimizer(path: Path) -> None:
    torch.save({"optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []}}, path)


FILES = {
    "half a file": (_half, "cut off or damaged"),
    "half a file of the old format": (_half_of_the_old_format, "cut off or damaged"),
    "an empty file": (lambda path: path.write_bytes(b""), "cut off or damaged"),
    "a zip without data": (_zip, "not a checkpoint of torch: a zip archive without data.pkl"),
    "a text": (lambda path: path.write_text("<html>virus scan warning</html>"), "not a checkpoint of torch"),
    "a compiled model": (_script, "a compiled model"),
    "an optimizer": (_optimizer, "the file holds an optimizer and no weights"),
    "a number": (lambda path: torch.save(3, path), "holds int, not named weights"),
    "an empty table": (lambda path: torch.save({}, path), "the file holds no weights, but nothing"),
    "a folder": (lambda path: path.mkdir(), "is a folder, not a checkpoint"),
    "nothing": (lambda path: None, "the file does not exist"),
}


@pytest.mark.parametrize("case", FILES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_no_checkpoint_is_one_sentence(tmp_path: Path, case: str) -> None:
    make, sentence = FILES[case]
    make(tmp_path / "file.pth")
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path / "file.pth")
    assert sentence in str(caught.value)
    assert str(tmp_path / "file.pth") in str(caught.value)
    assert "\n" not in str(caught.value)
