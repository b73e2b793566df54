"""Numbers that a table shows, and records that it refuses."""

import io
import json
import shutil
from decimal import Decimal

import pandas as pd
import pytest

from dualdistill.errors import DataError
from dualdistill.report.collect import gather
from dualdistill.report.renderers import write
from dualdistill.report.table import Reported
from dualdistill.store.files import write_json
from dualdistill.store.records import read_metrics, write_metrics

NAME = "table_main"
REST = [
    "mAP",
    "NDS",
    "mAP_std",
    "NDS_std",
    "n_seeds",
    "delta_mAP",
    "delta_NDS",
    "reported_mAP",
    "reported_NDS",
    "reported_delta_mAP",
    "reported_delta_NDS",
    "damaged",
    "remark",
    "data",
    "profile",
    "recipe",
    "run",
    "command",
]
OURS = "dualdistill-r50-centerpoint"


def folder_of(plan, row, seed=0):
    (line,) = [line for line in plan.table(NAME).rows if line.row == row]
    return plan.folder(plan.runs[line.runs[seed]])


def test_rows_come_in_the_order_of_the_table_with_mean_std_and_n_over_seeds(plan):
    rows = gather(plan, NAME).rows
    methods = [row.labels["method"] for row in rows]
    assert methods == ["CenterPoint", "BEVDepth", "DualDistill", "BEVDepth", "DualDistill"]
    ours = rows[2]
    score = ours.measured["mAP"].score
    assert (score.mean, score.n) == (Decimal("0.41455"), 2)
    assert float(score.std) == pytest.approx(0.0001 / 2**0.5)
    assert ours.runs == plan.table(NAME).rows[2].runs


def test_a_delta_is_taken_from_unrounded_means(plan):
    gains = [row.measured["mAP"].gain for row in gather(plan, NAME).rows]
    assert gains[2] == Decimal("0.41455") - Decimal("0.35055")
    assert [gain is None for gain in gains] == [True, True, False, True, False]


def test_reported_numbers_keep_their_printed_deltas(plan):
    baseline, ours = gather(plan, NAME).rows[1:3]
    assert baseline.reported["mAP"] == Reported(Decimal("35.1"), damaged=True)
    assert baseline.reported["NDS"] == Reported(Decimal("47.5"), damaged=True)
    assert [ours.reported[name].gain for name in ("mAP", "NDS")] == [Decimal("5.4"), Decimal("3.9")]


def test_the_written_table_has_every_promised_column_and_its_numbers(plan):
    write(plan, NAME, plan.results / NAME)
    frame = pd.read_csv(plan.results / f"{NAME}.csv")
    assert list(frame.columns) == ["backbone", "method", "base", "teacher", *REST]
    assert frame.mAP.tolist() == [90.0, 35.1, 41.5, 45.0, 44.5]
    assert frame.delta_mAP.tolist()[2::2] == [6.4, -0.5]
    assert set(frame.n_seeds) == {2}
    assert frame.damaged.fillna("").tolist() == ["mAP NDS", "mAP NDS", "", "", ""]
    assert set(frame.data) == {"world"}
    text = (plan.results / f"{NAME}.md").read_text()
    assert "not comparable with the poster's numbers" in text
    assert "profile=world" in text
    assert "**" not in next(
        line for line in text.splitlines() if "| CenterPoint | " in line and "90.0" in line
    )


def test_a_table_of_the_dev_split_names_it_and_refuses_scores_of_another_split(dev_plan):
    table = gather(dev_plan, NAME)
    assert table.preface[0].startswith("Data: world, split dev (")
    assert table.preface[-1].endswith("split=dev")
    assert f" results/dev/{NAME}.csv " in table.about["command"]
    scores = folder_of(dev_plan, OURS) / "dev"
    write_metrics(scores, read_metrics(scores) | {"split": "world_val"})
    with pytest.raises(DataError, match=r"the split in metrics\.json is world_val and should be world_dev"):
        gather(dev_plan, NAME)


def test_writing_twice_gives_the_same_bytes(plan):
    for name in ("one", "two"):
        write(plan, NAME, plan.results / name)
    for suffix in (".csv", ".md", ".tex"):
        assert (plan.results / f"one{suffix}").read_bytes() == (plan.results / f"two{suffix}").read_bytes()


def test_a_missing_seed_is_refused_and_nothing_is_written(plan):
    shutil.rmtree(folder_of(plan, OURS, seed=1))
    with pytest.raises(DataError, match=r"lacks 1 of 10 runs: dualdistill-r50-centerpoint-s1-") as caught:
        write(plan, NAME, plan.results / NAME)
    assert caught.value.exit_code == 3
    assert not list(plan.results.glob(f"{NAME}*"))


def test_an_allowed_missing_seed_is_counted_noted_and_not_compared(plan):
    shutil.rmtree(folder_of(plan, OURS, seed=1))
    write(plan, NAME, plan.results / NAME, allow_missing=True)
    frame = pd.read_csv(io.StringIO((plan.results / f"{NAME}.csv").read_text()))
    assert frame.n_seeds.tolist() == [2, 2, 1, 2, 2]
    assert frame.mAP[2] == 41.5
    assert pd.isna(frame.mAP_std[2])
    assert pd.isna(frame.delta_mAP[2])
    assert (
        "1 of 2 seeds, missing dualdistill-r50-centerpoint-s1-" in (plan.results / f"{NAME}.md").read_text()
    )


def test_an_allowed_missing_baseline_leaves_its_students_without_delta(plan):
    for seed in (0, 1):
        shutil.rmtree(folder_of(plan, "bevdepth-r50", seed))
    rows = gather(plan, NAME, allow_missing=True).rows
    assert rows[1].measured == {}
    assert len(rows[1].missing) == 2
    assert rows[2].measured["mAP"].gain is None
    assert rows[2].seeds == 2


def edit(path, change):
    record = json.loads(path.read_text())
    change(record)
    write_json(path, record)


def reseal(folder, change):
    """Change metrics.json and seal it again."""
    record = read_metrics(folder)
    del record["schema"]
    change(record)
    write_metrics(folder, record)


FAULTS = {
    "a number edited by hand": (
        lambda at: edit(at / "metrics.json", lambda record: record.update(mean_ap=0.6)),
        "its seal does not fit",
    ),
    "a seal removed": (
        lambda at: edit(at / "metrics.json", lambda record: record.pop("seal")),
        "its seal does not fit",
    ),
    "weights of another training": (
        lambda at: edit(
            at / "run.json", lambda record: record["outputs"].update({"model.safetensors": "0" * 64})
        ),
        "the weights in metrics.json is .* and should be 000000000000",
    ),
    "another spec": (
        lambda at: edit(at / "run.json", lambda record: record.update(spec_sha="1" * 64)),
        "the spec in run.json is 111111111111",
    ),
    "a score of another spec": (
        lambda at: reseal(at, lambda record: record.update(spec_sha="2" * 64)),
        "the spec in metrics.json is 222222222222",
    ),
    "another data set": (
        lambda at: reseal(at, lambda record: record.update(data="world-0000000000")),
        "the data set in metrics.json is world-000000",
    ),
    "predictions made later": (
        lambda at: (at / "results_nusc.json").write_text("{}"),
        "results_nusc.json in metrics.json is",
    ),
    "weights replaced": (
        lambda at: (at / "model.safetensors").write_bytes(b"x"),
        "model.safetensors in metrics.json is",
    ),
    "a score without weights": (
        lambda at: reseal(at, lambda record: record["inputs"].pop("model.safetensors")),
        "the weights in metrics.json is None",
    ),
    "a newer metrics file": (
        lambda at: edit(at / "metrics.json", lambda record: record.update(schema=99)),
        "made by a newer version of this suite",
    ),
    "an older run file": (
        lambda at: edit(at / "run.json", lambda record: record.update(schema=0)),
        "made by an older version of this suite",
    ),
    "a foreign file": (lambda at: (at / "metrics.json").write_text("[]"), "not a record of this suite"),
    "half a file": (lambda at: (at / "metrics.json").write_text('{"schema"'), "not valid JSON"),
    "no training record": (lambda at: (at / "run.json").unlink(), "does not exist"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_run_with_contradicting_files_is_refused_with_its_folder(plan, kind):
    tamper, sentence = FAULTS[kind]
    folder = folder_of(plan, OURS)
    tamper(folder)
    with pytest.raises(DataError, match=sentence) as caught:
        write(plan, NAME, plan.results / NAME, allow_missing=True)
    assert caught.value.where.startswith(str(folder))
    assert not list(plan.results.glob(f"{NAME}*"))


def test_another_index_is_refused_for_every_run(plan):
    plan.paths.index.write_bytes(b"rebuilt from other tables")
    with pytest.raises(DataError, match=r"index\.npz in metrics\.json is"):
        gather(plan, NAME)


def test_archived_weights_and_predictions_do_not_stop_a_table(plan):
    folder = folder_of(plan, OURS)
    (folder / "model.safetensors").unlink()
    (folder / "results_nusc.json").unlink()
    assert gather(plan, NAME).rows[2].seeds == 2
