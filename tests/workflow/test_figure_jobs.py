"""Jobs that a figure needs, and jobs that an edited style or line of figures.yaml starts."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from checkouts import Checkout

from dualdistill.plan.figures import PROBED

FIGURES = yaml.safe_load((Path(__file__).parents[1] / "small" / "figures.yaml").read_text())["figures"]
OF_R50 = ("training", "frame", "attention", "alignment")  # figures that name a student on ResNet-50
N_PROBED = sum(line["chart"] in PROBED for line in FIGURES.values())


def test_figures_of_finished_results_train_nothing(finished: Checkout):
    shutil.rmtree(finished.root / "figures")
    shutil.rmtree(finished.root / "results" / "probes")
    assert finished.jobs("figures") == {"probe": N_PROBED, "figure": len(FIGURES), "figures": 1}


def test_a_figure_waits_for_every_run_that_it_shows(checkout: Checkout):
    jobs = checkout.jobs("figures/main.pdf")
    assert (jobs["figure"], jobs["train"], jobs["evaluate"], jobs["world"]) == (1, 4, 5, 1)
    jobs = checkout.jobs("figures/temperature.png")
    assert jobs == dict.fromkeys(("world", "index_data", "cache", "train_teacher", "probe", "figure"), 1)


def test_a_call_without_targets_draws_all_figures_and_the_page(checkout: Checkout):
    announced = checkout.announced()
    assert (announced["figure"], announced["probe"], announced["page"]) == (len(FIGURES), N_PROBED, 1)


def test_an_edited_style_draws_all_figures_again_and_nothing_else(finished: Checkout):
    finished.edit("config/figures.mplstyle", "font.size: 8", "font.size: 9")
    assert finished.jobs("figures") == {"figure": len(FIGURES), "figures": 1}
    assert finished.jobs() == {}


def test_an_edited_line_draws_its_figure_again(finished: Checkout):
    finished.edit("config/figures.yaml", "title: Loss terms", "title: Every loss term")
    assert finished.jobs("figures") == {"figure": 1, "figures": 1}
    # another tap needs another probe
    finished.edit("config/figures.yaml", "tap: head", "tap: s2")
    assert finished.jobs("figures") == {"probe": 1, "figure": 2, "figures": 1}


def test_another_key_frame_starts_probes_and_no_training(finished: Checkout):
    finished.edit("config/figures.yaml", "scene: 0, frame: 2", "scene: 0, frame: 1")
    assert finished.jobs("figures") == {"probe": 3, "figure": 3, "figures": 1}


def test_an_edited_name_draws_every_figure_that_prints_it(finished: Checkout):
    finished.edit("config/tables.yaml", "  r50: ResNet-50", "  r50: ResNet 50")
    # the figure of its table, and the figures that name their networks
    assert finished.jobs("figures") == {"figure": 1 + len(OF_R50), "figures": 1}


def test_edited_drawing_code_draws_its_chart_again(finished: Checkout):
    path = finished.root / "dualdistill" / "report" / "figures" / "curves.py"
    path.write_text(path.read_text() + "# a comment\n")
    curves = sum(line["chart"] == "curves" for line in FIGURES.values())
    assert finished.jobs("figures") == {"figure": curves, "figures": 1}


@pytest.mark.parametrize("name", ["run.py", "feature_maps.py", "key_frame.py"])
def test_edited_probing_code_probes_again_and_trains_nothing(finished: Checkout, name: str):
    path = finished.root / "dualdistill" / "probes" / name
    path.write_text(path.read_text() + "# a comment\n")
    assert finished.jobs("figures") == {"probe": N_PROBED, "figure": N_PROBED, "figures": 1}


def test_a_changed_score_draws_its_figure_again(finished: Checkout):
    for score in (finished.root / "results" / "runs").glob("bevdepth-r50-*/metrics.json"):
        score.write_text("another score\n")
    assert finished.jobs("figures/main.svg") == {"figure": 1}


@pytest.mark.parametrize(
    ("target", "edit", "sentence"),
    [
        ("figures/mian.pdf", ("", ""), "figures/mian.pdf: no figure is named 'mian' (did you mean 'main'?)"),
        (
            "figures",
            ("group: backbone", "group: bakcbone"),
            r"config/figures.yaml:\d+: figure 'main' names column 'bakcbone', which table_main does not have "
            "(did you mean 'backbone'?)",
        ),
    ],
)
def test_a_fault_gives_one_sentence_and_starts_no_job(
    checkout: Checkout, target: str, edit: tuple[str, str], sentence: str
):
    checkout.edit("config/figures.yaml", *edit)
    done = checkout.snakemake(target)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Using workflow specific")]
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(re.escape(sentence).replace(r"\\d\+", r"\d+"), "\n".join(lines))
