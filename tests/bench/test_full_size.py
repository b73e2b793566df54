"""bench/full_size measures rows at any size, and a row that fails is a line of its table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import reduced
import torch
from full_size import Kept, main

from dualdistill.data import stand_in


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_measures_steps_of_a_row_in_each_precision(
    checkout: Path, official_root: Path, tmp_path: Path
) -> None:
    masks = official_root / stand_in.MASKS
    config = reduced.write_config(checkout, tmp_path / "config", official_root, masks)
    words = ["--work", str(tmp_path / "work"), "--config", str(config), "--width", "160", "--steps", "1"]
    out = main([*words, "--rows", "dualdistill-r50-mvp", "--precisions", "bf16", "tf32"])
    with out.with_suffix(".csv").open(newline="") as stream:
        bf16, tf32 = csv.DictReader(stream)
    assert bf16["failed"] == ""
    for column in ("step_s", "images_per_s", "peak_gb", "tflop", "device_tflops"):
        assert float(bf16[column]) > 0, column
    if not torch.cuda.is_available():
        assert tf32["failed"] == "tf32 needs a GPU"
    text = out.with_suffix(".md").read_text()
    assert f"torch {torch.__version__.partition('+')[0]}" in text
    assert "| dualdistill-r50-mvp | bf16 | 1 |" in text


def test_kept_bytes_are_those_of_saved_activations_once_without_weights() -> None:
    layer, x = torch.nn.Linear(4, 4, bias=False), torch.ones(8, 4, requires_grad=True)
    kept = Kept(layer)
    with kept.hooks:
        first = layer(x)  # keeps x, which is 8 x 4 numbers, and the weight
        second = torch.nn.functional.relu(layer(x) + first)  # keeps x again, and its result
    assert second.requires_grad
    assert kept.bytes == 2 * 8 * 4 * 4
