"""Which jobs a figure needs, and which an edited style or an edited line of figures.yaml does not."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from checkouts import Checkout

FIGURES = yaml.safe_load((Path(__file__).parents[1] / "small" / "figures.yaml").read_text())["figures"]
WHOSE = ("training", "frame", "attention", "alignment")  # of students on ResNet-50
PROBING = ("temperature", "key_frame", "attention", "alignment")  # charts of what networks say
PROBED = sum(line["chart"] in PROBING for line in FIGURES.values())


def test_figures_of_finished_results_train_nothing(finished: Checkout):
    shutil.rmtree(finished.root / "figures")
    shutil.rmtree(finished.root / "results" / "probes")
    assert finished.jobs("figures") == {"probe": PROBED, "figure": len(FIGURES), "figures": 1}


def test_from_nothing_a_figure_waits_for_every_run_that_it_shows(checkout: Checkout):
    jobs = checkout.jobs("figures/main.pdf")
    assert (jobs["figure"], jobs["train"], jobs["evaluate"], jobs["world"]) == (1, 4, 5, 1)
    jobs = checkout.jobs("figures/temperature.png")
    assert jobs == dict.fromkeys(("world", "index_data", "cache", "train_teacher", "probe", "figure"), 1)


def test_a_plain_call_draws_the_figures_before_the_page(checkout: Checkout):
    announced = checkout.announced()
    assert (announced["figure"], announced["probe"], announced["page"]) == (len(FIGURES), PROBED, 1)


def test_an_edited_style_draws_all_figures_and_nothing_else(finished: Checkout):
    finished.edit("config/figures.mplstyle", "font.size: 8", "font.size: 9")
    assert finished.jobs("figures") == {"figure": len(FIGURES), "figures": 1}
    assert finished.jobs() == {}


def test_an_edited_line_draws_its_own_figure(finished: Checkout):
    finished.edit("config/figures.yaml", "title: Loss terms", "title: Every loss term")
    assert finished.jobs("figures") == {"figure": 1, "figures": 1}
    # what a network is asked is another matter than how the answer is drawn
    finished.edit("config/figures.yaml", "tap: head", "tap: s2")
    assert finished.jobs("figures") == {"probe": 1, "figure": 2, "figures": 1}


def test_another_key_frame_is_probed_and_trains_nothing(finished: Checkout):
    finished.edit("config/figures.yaml", "scene: 0, frame: 2", "scene: 0, frame: 1")
    assert finished.jobs("figures") == {"probe": 3, "figure": 3, "figures": 1}


def test_a_word_of_a_table_is_a_word_of_its_figure(finished: Checkout):
    finished.edit("config/tables.yaml", "  r50: ResNet-50", "  r50: ResNet 50")
    # of its table, and of the figures that say whose networks they show
    assert finished.jobs("figures") == {"figure": 1 + len(WHOSE), "figures": 1}


def test_edited_drawing_code_draws_its_chart(finished: Checkout):
    path = finished.root / "dualdistill" / "report" / "figures" / "curves.py"
    path.write_text(path.read_text() + "# a remark\n")
    curves = sum(line["chart"] == "curves" for line in FIGURES.values())
    assert finished.jobs("figures") == {"figure": curves, "figures": 1}


@pytest.mark.parametrize("name", ["run.py", "feature_maps.py", "key_frame.py"])
def test_edited_probing_code_probes_again_and_trains_nothing(finished: Checkout, name: str):
    path = finished.root / "dualdistill" / "probes" / name
    path.write_text(path.read_text() + "# a remark\n")
    assert finished.jobs("figures") == {"probe": PROBED, "figure": PROBED, "figures": 1}


def test_a_figure_is_drawn_anew_when_a_score_changes(finished: Checkout):
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
def test_a_fault_is_one_sentence_and_no_job(
    checkout: Checkout, target: str, edit: tuple[str, str], sentence: str
):
    checkout.edit("config/figures.yaml", *edit)
    done = checkout.snakemake(target)
    told = [line for line in done.stderr.splitlines() if not line.startswith("Using workflow specific")]
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(re.escape(sentence).replace(r"\\d\+", r"\d+"), "\n".join(told))
