"""The runs of a plan can be scored on the dev split, too, beside their scores on val."""

from checkouts import Checkout


def test_scores_on_the_dev_split_need_no_training_and_no_data(finished: Checkout):
    dev = ("--config", "split=dev")
    assert finished.jobs(*dev) == {"predict": 5, "evaluate": 5, "table": 1}
    done = finished.snakemake("results/dev/table_main.csv", *dev)
    assert done.returncode == 0, done.stderr
    assert finished.jobs(*dev) == finished.jobs() == {}
    assert len(list(finished.root.glob("results/runs/*/dev/metrics.json"))) == 5
