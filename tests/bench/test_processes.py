"""bench/processes times steps of several processes at any size."""

from __future__ import annotations

from pathlib import Path

import pytest
import reduced
from processes import main

from dualdistill.data import stand_in


@pytest.mark.slow
def test_it_measures_steps_by_the_number_of_processes(
    checkout: Path, official_root: Path, tmp_path: Path
) -> None:
    masks = official_root / stand_in.MASKS
    config = reduced.write_config(checkout, tmp_path / "config", official_root, masks)
    words = ["--work", str(tmp_path / "work"), "--config", str(config), "--width", "160", "--steps", "1"]
    out = main([*words, "--rows", "bevdepth-r50", "--processes", "1", "2"])
    lines = [line.strip("| ").split(" | ") for line in out.read_text().splitlines()[4:]]
    assert [line[2:4] for line in lines] == [["1", "1"], ["2", "2"]]
    assert all(float(line[4]) > 0 for line in lines)
    assert float(lines[1][6]) > 0
