"""With mmcv-lite everything imports and what has to be compiled says so; a full mmcv is left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dualdistill.mmcv_stand_in import Finder

IMPORTS = "import dualdistill\nimport mmdet3d.models, mmdet.models, mmcv.ops\n"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python searches before all others."""
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[1]}")
    return tmp_path


def python(code: str) -> str:
    """The last line of what a process of its own says; here everything is loaded already."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().splitlines()[-1]


def as_lite(packages: Path) -> None:
    """Hide the extension of a full mmcv, as if the installed one were mmcv-lite."""
    (packages / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\n"
        "found = PathFinder.find_spec\n"
        "PathFinder.find_spec = classmethod(\n"
        "    lambda cls, name, *rest: None if name == 'mmcv._ext' else found(name, *rest))\n"
    )


def test_with_mmcv_lite_a_compiled_operation_says_that_it_is_missing(packages: Path) -> None:
    as_lite(packages)
    code = IMPORTS + ("import torch\nmmcv.ops.RoIAlign((2, 2))(torch.zeros(1, 3, 8, 8), torch.zeros(1, 5))")
    assert python(code) == (
        "RuntimeError: mmcv's compiled operation 'roi_align_forward' was called, and mmcv-lite has none: "
        "pip uninstall mmcv-lite, then pip install --no-build-isolation mmcv==2.1.0, which compiles"
    )


@pytest.mark.parametrize(
    "module", ["dualdistill.models", "dualdistill.distill.x3kd", "dualdistill.training.train"]
)
def test_with_mmcv_lite_every_module_can_come_first(packages: Path, module: str) -> None:
    as_lite(packages)
    assert python(f"import sys, {module}; print(type(sys.modules['mmcv._ext']).__name__)") == "StandIn"


def test_a_full_mmcv_is_left_alone(packages: Path) -> None:
    (packages / "mmcv").mkdir()
    (packages / "mmcv" / "__init__.py").touch()
    (packages / "mmcv" / "_ext.py").write_text("nms = 'compiled'\n")
    assert python("import dualdistill, mmcv._ext; print(mmcv._ext.nms)") == "compiled"


def test_without_any_mmcv_the_way_out_is_said() -> None:
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps mmcv-lite"):
        Finder().find_spec("mmcv")


def test_nothing_else_is_found() -> None:
    assert Finder().find_spec("mmcv.other") is None
    assert Finder().find_spec("_ext") is None
