"""Which jobs a figure needs, and which an edited style or an edited line of figures.yaml does not."""

import re
from pathlib import Path

import pytest
import yaml
from checkouts import Checkout

FIGURES = yaml.safe_load((Path(__file__).parents[2] / "config" / "figures.yaml").read_text())["figures"]
OBSERVED = sum(line["chart"] in ("cut", "frame", "attention", "alignment") for line in FIGURES.values())


@pytest.fixture
def drawn(finished: Checkout) -> Checkout:
    """All tables and all figures are there."""
    done = finished.snakemake("figures")
    assert done.returncode == 0, done.stderr
    assert finished.jobs("figures") == {}
    return finished


def test_figures_of_finished_results_train_nothing(finished: Checkout):
    assert finished.jobs("figures") == {"observe": OBSERVED, "figure": len(FIGURES), "figures": 1}


def test_from_nothing_a_figure_waits_for_every_run_that_it_shows(checkout: Checkout):
    jobs = checkout.jobs("figures/main.pdf")
    assert (jobs["figure"], jobs["train"], jobs["evaluate"], jobs["world"]) == (1, 4, 5, 1)
    jobs = checkout.jobs("figures/temperature.png")
    assert jobs == dict.fromkeys(("world", "index_data", "cache", "train_teacher", "observe", "figure"), 1)


def test_an_edited_style_draws_all_figures_and_nothing_else(drawn: Checkout):
    drawn.edit("config/figures.mplstyle", "font.size: 8", "font.size: 9")
    assert drawn.jobs("figures") == {"figure": len(FIGURES), "figures": 1}
    assert drawn.jobs() == {}


def test_an_edited_line_draws_its_own_figure(drawn: Checkout):
    drawn.edit("config/figures.yaml", "title: Loss terms", "title: Every loss term")
    assert drawn.jobs("figures") == {"figure": 1, "figures": 1}
    # what a network is asked is another matter than how the answer is drawn
    drawn.edit("config/figures.yaml", "tap: head", "tap: s2")
    assert drawn.jobs("figures") == {"observe": 1, "figure": 2, "figures": 1}


def test_another_key_frame_is_observed_and_trains_nothing(drawn: Checkout):
    drawn.edit("config/figures.yaml", "scene: 0, frame: 2", "scene: 0, frame: 1")
    assert drawn.jobs("figures") == {"observe": 3, "figure": 3, "figures": 1}


def test_a_word_of_a_table_is_a_word_of_its_figure(drawn: Checkout):
    drawn.edit("config/tables.yaml", "  r50: ResNet-50", "  r50: ResNet 50")
    assert drawn.jobs("figures") == {"figure": 1, "figures": 1}


def test_edited_drawing_code_draws_its_chart(drawn: Checkout):
    path = drawn.root / "dualdistill" / "report" / "figures" / "curves.py"
    path.write_text(path.read_text() + "# a remark\n")
    curves = sum(line["chart"] == "curves" for line in FIGURES.values())
    assert drawn.jobs("figures") == {"figure": curves, "figures": 1}


def test_a_figure_is_drawn_anew_when_a_score_changes(drawn: Checkout):
    for score in (drawn.root / "results" / "runs").glob("bevdepth-r50-*/metrics.json"):
        score.write_text("another score\n")
    assert drawn.jobs("figures/main.svg") == {"figure": 1}


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
