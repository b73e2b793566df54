"""Runs can be scored on the dev split as well as on val."""

import pytest
from checkouts import Checkout


@pytest.mark.slow
def test_scoring_on_the_dev_split_starts_no_training_and_makes_no_data(finished: Checkout):
    dev = ("--config", "split=dev")
    assert finished.jobs(*dev) == {"predict": 5, "evaluate": 5, "table": 1, "claims": 1}
    done = finished.snakemake(*dev)
    assert done.returncode == 0, done.stderr
    assert finished.announced(*dev) == finished.announced() == {}
    names = ("results/dev/claims.csv", "results/dev/index.html", "figures/dev/main.png")
    assert [name for name in names if not (finished.root / name).exists()] == []
    assert len(list(finished.root.glob("results/runs/*/dev/metrics.json"))) == 5
