"""The scored split changes the folders of scores and tables, and nothing else."""

from pathlib import Path

import pytest

from dualdistill.errors import UserError
from dualdistill.plan import plan
from dualdistill.plan.snakemake_inputs import Jobs


def planned(folder: Path, split: str) -> plan.Plan:
    return plan.load(folder / "config.yaml", {"split": split})


def test_both_splits_use_the_same_runs_and_data(folder: Path):
    val, dev = planned(folder, "val"), planned(folder, "dev")
    assert (val.runs, val.data_id, val.paths) == (dev.runs, dev.data_id, dev.paths)
    run = val.run("centerpoint")
    assert val.scores(run) == val.folder(run) == dev.folder(run)
    assert dev.scores(run) == val.folder(run) / "dev"
    assert (val.shown, dev.shown) == (Path("results"), Path("results/dev"))
    assert 'split="dev"' in dev.arguments
    assert "split=" not in plan.load(folder / "config.yaml").arguments


@pytest.mark.parametrize(
    ("target", "asked", "other"),
    [
        ("results/table_main.csv", "dev", "val"),
        ("results/dev/table_main.md", "val", "dev"),
        ("results/runs/any/metrics.json", "dev", "val"),
        ("results/index.html", "dev", "val"),
        ("figures/dev/main.png", "val", "dev"),
        ("./results/runs/any/dev/results_nusc.json", "val", "dev"),
    ],
)
def test_a_file_of_the_other_split_is_refused(folder: Path, target: str, asked: str, other: str):
    """It may exist already, and snakemake would report it as up to date."""
    with pytest.raises(UserError, match=f"belongs to split '{other}', but split '{asked}' is chosen"):
        Jobs(planned(folder, asked)).check_targets([target])


def test_files_of_the_chosen_split_are_accepted(folder: Path):
    for split, place in (("val", ""), ("dev", "dev/")):
        chosen = planned(folder, split)
        run = chosen.run("centerpoint").id
        targets = [f"results/{place}table_main.csv", f"results/runs/{run}/{place}metrics.json"]
        Jobs(chosen).check_targets([*targets, f"results/runs/{run}/model.safetensors"])
