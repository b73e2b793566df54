"""Tables, claims and sweeps as jobs."""

import resource
from dataclasses import replace
from pathlib import Path

import yaml
from checkouts import Checkout, copy


def test_all_tables_and_claims_are_planned_soon_enough(tmp_path: Path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    whole = copy(tmp_path / "checkout", whole=True)
    jobs = replace(whole, timed=True).jobs()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    tables = yaml.safe_load((whole.root / "config" / "tables.yaml").read_text())["tables"]
    assert (jobs["table"], jobs["claims"]) == (len(tables), 1)
    # 41 runs in 8 tables: idle 3 s
    assert after.ru_utime - before.ru_utime < 6


def test_claims_are_judged_anew_when_they_change_and_train_nothing(finished: Checkout):
    finished.edit("config/claims.yaml", "level: 0.95", "level: 0.9")
    assert finished.jobs() == {"claims": 1}


def test_a_sweep_in_one_line_is_a_run_for_each_value(finished: Checkout):
    finished.add("config/variants.yaml", "t: {from: dualdistill-r50-centerpoint, temperature: [2.0, 0.05]}")
    for value in ("2.0", "0.05"):
        finished.add("config/tables.yaml", f"      - {{row: t-{value}, baseline: bevdepth-r50}}")
    assert finished.jobs() == {"train": 2, "predict": 2, "evaluate": 2, "table": 1}


def test_a_table_is_made_anew_when_its_content_changes(finished: Checkout):
    finished.edit("config/tables.yaml", "title: Detection", "title: 3D detection")
    assert finished.jobs() == {"table": 1}


def test_a_rule_of_ones_own_can_take_over_ours(finished: Checkout):
    finished.add(
        "Snakefile",
        "\n\nuse rule table from suite as my_table with:\n"
        '    output:\n        csv="results/mine/{table}.csv",\n'
        '    log:\n        "results/mine/{table}.log",\n',
    )
    assert finished.jobs("results/mine/table_main.csv") == {"my_table": 1}
