"""The runs of a plan can be scored on the dev split, too, beside their scores on val."""

from checkouts import Checkout


def test_scores_on_the_dev_split_need_no_training_and_no_data(finished: Checkout):
    dev = ("--config", "split=dev")
    assert finished.jobs(*dev) == {"predict": 5, "evaluate": 5, "table": 1, "claims": 1}
    done = finished.snakemake(*dev)
    assert done.returncode == 0, done.stderr
    assert finished.announced(*dev) == finished.announced() == {}
    names = ("results/dev/claims.csv", "results/dev/index.html", "figures/dev/main.png")
    assert [name for name in names if not (finished.root / name).exists()] == []
    assert len(list(finished.root.glob("results/runs/*/dev/metrics.json"))) == 5
