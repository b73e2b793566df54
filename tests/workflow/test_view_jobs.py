"""Jobs of tables, claims and sweeps."""

import itertools
import re
import resource
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from checkouts import Checkout, copy


def test_planning_all_tables_and_claims_takes_a_few_seconds(tmp_path: Path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    whole = copy(tmp_path / "checkout", whole=True)
    jobs = replace(whole, timed=True).jobs()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    tables = yaml.safe_load((whole.root / "config" / "tables.yaml").read_text())["tables"]
    # that of imported rows waits for the imports, and some are made on request
    made = {name for name, table in tables.items() if not table.get("on_request")} - {"table_released"}
    assert (jobs["table"], jobs["claims"]) == (len(made), 1)
    # 50 runs in 9 tables: idle 3 s
    assert after.ru_utime - before.ru_utime < 6


def test_the_documented_ablation_starts_three_jobs(tmp_path: Path):
    whole = copy(tmp_path / "checkout", whole=True)
    text = (whole.root / "docs" / "add-an-ablation.md").read_text()
    jobs_before = whole.announced()
    diff = re.search(r"```diff\n(.*?)```", text, re.DOTALL)[1].splitlines()
    added = 0
    for before, line in itertools.pairwise(diff):
        if line.startswith("+++ b/"):
            name = line.removeprefix("+++ b/")
        elif line.startswith("+"):
            whole.edit(name, before[1:] + "\n", f"{before[1:]}\n{line[1:]}\n")
            added += 1
    assert added == 2
    jobs = whole.announced()
    assert {rule: jobs[rule] - jobs_before[rule] for rule in jobs if jobs[rule] != jobs_before[rule]} == {
        "train": 1,
        "predict": 1,
        "evaluate": 1,
    }
    # the sentence that the page shows for a typo
    whole.edit("config/variants.yaml", "-mvp, temperature: 0.2", "-mvp, temprature: 0.2")
    shown = re.search(r"```\n(config/variants\.yaml:.*?)```", text, re.DOTALL)[1]
    assert whole.snakemake("-n").stderr.endswith(shown)


def test_an_edited_claim_makes_the_claims_again_and_trains_nothing(finished: Checkout):
    finished.edit("config/claims.yaml", "level: 0.95", "level: 0.9")
    assert finished.jobs() == {"claims": 1}


def test_new_claims_evaluate_a_run_again_that_has_no_scene_draws(finished: Checkout):
    (finished.root / "results" / "claims.csv").unlink()
    next((finished.root / "results" / "runs").glob("bevdepth-r50-*/scene_draws.npz")).unlink()
    assert finished.jobs("results/claims.csv") == {"evaluate": 1, "claims": 1}


CODE = ["report/collect.py", "report/numbers.py", "report/claims/rule.py", "plan/columns.py"]


@pytest.mark.parametrize("name", CODE)
def test_edited_reporting_code_makes_every_view_again_and_trains_nothing(finished: Checkout, name: str):
    path = finished.root / "dualdistill" / name
    path.write_text(path.read_text() + "# a comment\n")
    jobs = finished.announced()
    assert jobs.pop("figure") > 1
    assert jobs == {"table": 1, "claims": 1, "page": 1}


def test_a_sweep_starts_a_run_for_each_value(finished: Checkout):
    finished.add("config/variants.yaml", "t: {from: dualdistill-r50-centerpoint, temperature: [2.0, 0.05]}")
    for value in ("2.0", "0.05"):
        finished.add("config/tables.yaml", f"      - {{row: t-{value}, shown: {{method: t-{value}}}}}")
    assert finished.jobs() == {"train": 2, "predict": 2, "evaluate": 2, "table": 1}


def test_an_edited_table_is_made_again(finished: Checkout):
    finished.edit("config/tables.yaml", "title: Detection", "title: 3D detection")
    assert finished.jobs() == {"table": 1}


def test_a_rule_in_the_root_snakefile_can_extend_a_rule_of_the_suite(finished: Checkout):
    finished.add(
        "Snakefile",
        "\n\nuse rule table from suite as my_table with:\n"
        '    output:\n        csv="results/mine/{table}.csv",\n'
        '    log:\n        "results/mine/{table}.log",\n',
    )
    assert finished.jobs("results/mine/table_main.csv") == {"my_table": 1}
