"""Every row of the profile nuscenes trains, resumes, predicts and is scored, under both recipes.

Widths, images and batches are small; precision, augmentation, rates and everything else are as written.
"""

from __future__ import annotations

import json
import logging
import math
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import reduced
import yaml

from dualdistill import cli
from dualdistill.data import stand_in
from dualdistill.data.index import Index
from dualdistill.data.sampling import epoch_order
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan, Run
from dualdistill.store.files import read_json
from dualdistill.store.records import read_metrics

TABLES = yaml.safe_load((Path(__file__).parents[2] / "config" / "tables.yaml").read_text())["tables"]
ROWS = [line["row"] for line in TABLES["table_main"]["rows"]]
RECIPES = ("matched", "as_published")
STEPS = 2  # one before the checkpoint, one after it


class Rehearsal:
    """The plan of a recipe, in a results folder that both recipes share."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def train(self, run: Run) -> Path:
        """Train one step, stop, resume from the checkpoint and train another; earlier runs first."""
        folder = self.plan.folder(run)
        if (folder / "run.json").exists():
            return folder
        for earlier in (run.teacher, run.label_encoder):
            if earlier:
                self.train(self.plan.runs[earlier])
        if run.spec.virtual and not (self.plan.paths.virtual(run.spec) / "virtual.json").exists():
            cli.make_virtual(self.plan, run.id)
        if run.spec.pastes and not (self.plan.paths.objects(run.spec) / "objects.json").exists():
            cli.make_objects(self.plan, run.id)
        with stopped_after_a_step(), pytest.raises(SystemExit):
            cli.train(self.plan, run.id, 1)
        assert read_json(folder / "state" / "head.json")["checkpoints"][0]["step"] == 1
        assert not (folder / "run.json").exists()
        cli.train(self.plan, run.id, 1)
        return folder


@contextmanager
def stopped_after_a_step() -> Iterator[None]:
    """Send this process SIGTERM as soon as the loop has logged its first step."""

    class Stop(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("step 1/"):
                os.kill(os.getpid(), signal.SIGTERM)

    logger, handler = logging.getLogger("dualdistill.training.train"), Stop()
    level, before = (
        logger.level,
        {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)},
    )
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        for number, action in before.items():
            signal.signal(number, action)


@pytest.fixture(scope="module")
def rehearsals(
    checkout: Path, official_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Rehearsal]:
    folder = tmp_path_factory.mktemp("nuscenes")
    results, made = folder / "results", {}
    for recipe in RECIPES:
        (folder / recipe).mkdir()
        file = reduced.write_config(
            checkout, folder / recipe / "config", official_root, official_root / stand_in.MASKS
        )
        plan = planning.load(file, {"recipe": recipe}, results)
        if not plan.paths.index.exists():
            cli.build_index(plan)
        reduced.set_epochs(file.parent, epochs(plan))
        made[recipe] = Rehearsal(planning.load(file, {"recipe": recipe}, results))
    return made


def epochs(plan: Plan) -> dict[str, float]:
    """The share of an epoch that makes two steps, by row: class balancing lengthens an epoch."""
    index, numbers = Index.load(plan.paths.index), {}
    for run in plan.runs.values():
        schedule = run.spec.schedule
        count = len(epoch_order(index, "train", seed=0, epoch=0, cbgs=schedule.cbgs))
        names = {"labels"} if run.spec.kind == "labels" else {*ROWS} & {*run.rows}
        numbers |= dict.fromkeys(names, STEPS / (count // schedule.batch))
    return numbers


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("row", ROWS)
def test_every_row_trains_resumes_predicts_and_is_scored(
    row: str, recipe: str, rehearsals: dict[str, Rehearsal]
) -> None:
    rehearsal = rehearsals[recipe]
    plan, run = rehearsal.plan, rehearsal.plan.run(row)
    folder = rehearsal.train(run)
    history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    assert [step["step"] for step in history] == [1, 2]
    assert all(math.isfinite(value) for step in history for value in step.values())
    # in 16-mixed a step whose gradient overflows is skipped and has no norm
    skipped = [step for step in history if "grad_norm" not in step]
    assert all(step["grad_norm"] > 0 for step in history if step not in skipped)
    assert not skipped or run.spec.schedule.precision == "16-mixed"
    record = read_json(folder / "run.json")
    assert record["start"]["from"] == ("imagenet" if run.spec.kind == "student" else "random")
    assert record["skipped_steps"] == len(skipped)
    assert record["spec"]["schedule"]["precision"] == run.spec.schedule.precision
    assert (
        run.spec.kind == "teacher" or recipe == "as_published" or run.spec.schedule.precision == "bf16-mixed"
    )
    cli.predict(plan, run.id)
    cli.evaluate(plan, run.id)
    scores = read_metrics(plan.scores(run))
    assert (scores["version"], scores["split"], scores["samples"]) == ("v1.0-trainval", "val", 6)
    assert 0 <= scores["nd_score"] <= 1
    assert scores["data"].startswith("nuscenes-stand-in-")
