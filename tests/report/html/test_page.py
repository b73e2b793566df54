"""The page read as HTML: complete, escaped, deterministic, and without external files."""

import csv
import io
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hand_runs import HOSTILE, build, configured, leave, leave_all

from dualdistill.errors import DataError
from dualdistill.plan.plan import Plan
from dualdistill.plan.snakemake_inputs import Jobs
from dualdistill.report import renderers
from dualdistill.report.collect import gather
from dualdistill.report.table import Kind
from dualdistill.store.files import read_json, write_json

VOID = {"meta", "link", "img", "input", "rect", "path", "br"}


class Elements(HTMLParser):
    """Every element with its attributes, and every piece of text; checks that what opens closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def attributes(self, name: str) -> list[str]:
        return [given[name] for _, given in self.elements if name in given]


def test_every_run_and_table_has_its_place(two_seeds: tuple[Plan, str]):
    plan, text = two_seeds
    ids = Elements(text).attributes("id")
    assert {f"run-{name}" for name in plan.shown_runs()} <= set(ids)
    assert {f"table-{name}" for name, table in plan.tables.items() if plan.in_all(table)} <= set(ids)
    assert len(ids) == len(set(ids))


def test_the_page_waits_for_every_table_that_it_shows_but_those_on_request(two_seeds: tuple[Plan, str]):
    plan, text = two_seeds
    shown = {name for name in Elements(text).attributes("id") if name.startswith("table-")}
    awaited = {f"table-{Path(view).stem}" for view in Jobs(plan).views}
    on_request = {f"table-{name}" for name, table in plan.tables.items() if table.on_request}
    assert awaited == shown - {"table-runs"} - on_request


def test_every_link_leads_somewhere_in_the_file(two_seeds: tuple[Plan, str]):
    elements = Elements(two_seeds[1])
    ids, links = set(elements.attributes("id")), elements.attributes("href")
    assert len(links) > 20
    assert [link for link in links if link != "data:," and link.removeprefix("#") not in ids] == []


def test_nothing_is_loaded_from_anywhere(two_seeds: tuple[Plan, str]):
    text = two_seeds[1]
    elements = Elements(text)
    assert all(source.startswith("data:image/") for source in elements.attributes("src"))
    assert not re.search(r"url\(|@import|https?:", text)
    policy = next(given["content"] for _, given in elements.elements if "http-equiv" in given)
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert len(text) < 5_000_000


def test_the_same_inputs_are_the_same_bytes(two_seeds: tuple[Plan, str], tmp_path: Path):
    plan, text = two_seeds
    figures = sorted((plan.results.parent / "figures").iterdir())
    assert build(plan, figures) == text
    other = configured(tmp_path, [0, 1])
    (tmp_path / "config" / "figures.yaml").write_text(
        (plan.results.parent / "config/figures.yaml").read_text()
    )
    leave_all(other)
    assert build(other, figures) == text
    assert str(plan.results.parent) not in text


def test_names_and_records_cannot_become_markup(tmp_path: Path):
    word = HOSTILE.replace('"', '\\"')
    edits = {"tables.yaml": {"  dualdistill: DualDistill": f'  dualdistill: "{word}"'}}
    plan = configured(tmp_path, [0], edits)
    leave_all(plan, host=HOSTILE, devices=[HOSTILE], packages={HOSTILE: HOSTILE})
    elements = Elements(build(plan, []))
    tags = [tag for tag, _ in elements.elements]
    assert tags.count("script") == 1
    assert not [name for _, given in elements.elements for name in given if name.startswith("on")]
    assert "x" not in elements.attributes("src")
    assert HOSTILE in elements.texts
    assert HOSTILE in elements.attributes("data-method")
    assert "49" not in elements.texts


def test_measured_and_reported_columns_are_labelled(two_seeds: tuple[Plan, str]):
    text = "".join(Elements(two_seeds[1]).texts)
    assert "world, measured" in text
    assert "nuScenes, reported" in text
    assert "not comparable with the poster" in text


def test_a_page_of_the_dev_split_names_it(tmp_path: Path):
    plan = configured(tmp_path, [0], split="dev")
    leave_all(plan)
    text = build(plan, [])
    assert "world, split dev, measured" in "".join(Elements(text).texts)
    assert "results/dev/index.html" in text
    assert "/dev/metrics.json" in text


def section(text: str, name: str) -> str:
    return re.search(rf'<section id="table-{name}".*?</section>', text, re.DOTALL)[0]


def article(text: str, run: str) -> str:
    return re.search(rf'<article id="run-{run}".*?</article>', text, re.DOTALL)[0]


def test_claims_stand_under_the_rule_that_judges_them(two_seeds: tuple[Plan, str]):
    plan, text = two_seeds
    claims, pairs = section(text, "claims"), section(text, "claims_pairs")
    for word in (
        "Holm",
        "95\N{NO-BREAK SPACE}%",
        "±2;",
        "one seed",
        "NDS is descriptive",
        "config/claims.yaml",
    ):
        assert word in claims
    several = [claim for claim in plan.claims.claims if len(claim.pairs) > 1]
    assert claims.count("<tr") == 2 + len(plan.claims.claims) + len(several)
    assert pairs.count("<tr") == 2 + sum(len(claim.pairs) for claim in plan.claims.claims)
    for heading in ("Other students, these frames", "Other students, other frames", "Would have found"):
        assert heading in claims
    assert "mfd-only over bevdepth-r50" in pairs
    assert "distillation_helps" not in text  # people read its sentence


def numbers(text: str) -> list[dict[str, str]]:
    """Measured cells of a table of the page by their heading: number, spread and gain as in the CSV file."""
    plain = unescape(text).replace("\N{MINUS SIGN}", "-").replace("\N{MULTIPLICATION SIGN}", "")
    headings = re.findall(
        r'<th scope="col" class="number[^>]*?(measured|reported)?"[^>]*>.*?>([^<]*)</button>', plain
    )
    names = [f"{'reported_' if group == 'reported' else ''}{title}" for group, title in headings]
    rows = re.search(r"<tbody>(.*)</tbody>", plain, re.DOTALL)[1].split("<tr")[1:]
    cells = [re.findall(r'<td class="number.*?</td>', row, re.DOTALL) for row in rows]
    return [dict(zip(names, row, strict=True)) for row in cells]


def part(cell: str, name: str) -> str:
    match = re.search(rf'class="{name}">([^<]*)<', cell)
    return match[1] if match else ""


def test_a_table_of_the_page_has_the_numbers_of_its_csv_file(two_seeds: tuple[Plan, str]):
    plan, text = two_seeds
    for name in filter(lambda name: plan.in_all(plan.tables[name]), plan.tables):
        table = gather(plan, name)
        shown = numbers(section(text, name))
        for line, cells in zip(csv.DictReader(io.StringIO(renderers.to_csv(table))), shown, strict=True):
            for column in table.columns:
                if column.kind in (Kind.MEAN, Kind.REPORTED) and column.heading:
                    prefix = "reported_" if column.kind is Kind.REPORTED else ""
                    cell = cells.get(f"{prefix}{column.heading}", "")
                    assert part(cell, "value") == line[column.name]
                    assert part(cell, "spread").removeprefix("±") == line.get(f"{column.name}_std", "")
                    gain = line.get(f"{prefix}delta_{column.key}") or line.get(f"ratio_{column.key}", "")
                    assert part(cell, "gain").removeprefix("+") == gain


def test_a_row_that_lacks_a_seed_names_the_missing_run(tmp_path: Path):
    plan = configured(tmp_path, [0, 1])
    here, missing = next(row.runs for row in plan.table("table_main").rows if row.row == "bevdepth-r50")
    leave(plan, plan.runs[here], 0)
    text = section(build(plan, []), "table_main")
    assert f'<sup title="1 of 2 seeds, missing {missing}">\N{SECTION SIGN}</sup>' in text
    assert text.count("Not all seeds are there; the mark names the missing runs.") == 1


def test_a_table_without_any_score_is_left_out(tmp_path: Path):
    plan = configured(tmp_path, [0])
    leave(plan, plan.run("bevdepth-r50"), 0)
    text = build(plan, [])
    assert section(text, "table_main")
    assert 'id="table-table_ablation_labels"' not in text


def test_columns_are_headed_as_in_the_printed_tables(two_seeds: tuple[Plan, str]):
    text = two_seeds[1]
    for name, words in {"ablation_components": ["MFD", "CRD"], "errors": ["mATE", "AP traffic cone"]}.items():
        headings = re.findall(r"<button type=\"button\">(.*?)</button>", section(text, f"table_{name}"))
        assert set(words) <= set(headings)


def test_a_damaged_print_is_marked(tmp_path: Path):
    plan = configured(tmp_path, [0])
    whole, damaged = plan.run("dualdistill-r50-mvp"), plan.run("bevdepth-r50")
    for number, run in enumerate((whole, damaged)):
        leave(plan, run, number)
    text = build(plan, [])
    printed = renderers.to_csv(gather(plan, "table_main", allow_missing=True))
    rows = [line["damaged"].split() for line in csv.DictReader(io.StringIO(printed))]
    assert section(text, "table_main").count("\N{DOUBLE DAGGER}") == sum(map(len, rows)) + 1  # the footnote
    assert article(text, damaged.id).count("\N{DOUBLE DAGGER}") == 3  # two numbers and the footnote
    assert "\N{DOUBLE DAGGER}" not in article(text, whole.id)


def test_the_page_does_not_name_the_machine(two_seeds: tuple[Plan, str]):
    assert "desk" not in Elements(two_seeds[1]).texts


def test_two_seeds_show_their_spread_and_both_runs(two_seeds: tuple[Plan, str]):
    plan, text = two_seeds
    row = next(row for row in plan.table("table_main").rows if row.row == "dualdistill-r50-centerpoint")
    line = next(line for line in re.findall(r"<tr.*?</tr>", text, re.DOTALL) if row.runs[0] in line)
    assert all(f'href="#run-{run}"' in line for run in row.runs)
    assert re.search(r'class="spread">±\d', line)


def test_a_run_lists_its_differences_from_the_baseline_of_the_same_seed(two_seeds: tuple[Plan, str]):
    plan, text = two_seeds
    row = next(row for row in plan.table("table_main").rows if row.row == "dualdistill-r50-centerpoint")
    page = article(text, row.runs[1])
    baseline = next(line for line in plan.table("table_main").rows if line.row == row.baseline).runs[1]
    assert f'href="#run-{baseline}"' in page
    assert "<code>distill.method</code>" in page
    assert "<code>seed</code>" not in page
    assert f"results/runs/{row.runs[1]}/metrics.json" in page
    assert "git checkout 0123456789abcdef" in page


def test_the_date_is_that_of_the_newest_run(two_seeds: tuple[Plan, str]):
    plan, text = two_seeds
    times = [
        read_json(plan.folder(plan.runs[name]) / "run.json")["provenance"]["time"]
        for name in plan.shown_runs()
    ]
    assert f"<dt>Newest run</dt><dd>{max(times)[:10]}</dd>" in text


def test_a_page_without_any_run_counts_none(tmp_path: Path):
    plan = configured(tmp_path, [0])
    text = build(plan, [])
    assert f"0 of {len(plan.shown_runs())} trained" in text
    assert "<article" not in text
    Elements(text)


def test_a_run_without_scores_and_history_still_has_its_page(tmp_path: Path):
    plan = configured(tmp_path, [0])
    run = plan.run("bevdepth-r50")
    leave(plan, run, 0)
    folder = plan.folder(run)
    (folder / "metrics.json").unlink()
    (folder / "history.jsonl").unlink()
    bare = {name: read_json(folder / "run.json")[name] for name in ("schema", "spec_sha", "outputs")}
    write_json(folder / "run.json", bare)
    text = build(plan, [])
    assert text.count("<article") == 1
    assert "Trained, and not scored yet." in text
    assert "Training curves" not in text
    Elements(text)


def test_a_record_of_another_run_is_refused(tmp_path: Path):
    plan = configured(tmp_path, [0])
    run = plan.run("bevdepth-r50")
    leave(plan, run, 0)
    (plan.folder(run) / "metrics.json").unlink()
    path = plan.folder(run) / "run.json"
    write_json(path, read_json(path) | {"spec_sha": "0" * 64})
    with pytest.raises(DataError, match="belongs to another run"):
        build(plan, [])


def test_a_score_of_other_weights_is_refused(tmp_path: Path):
    plan = configured(tmp_path, [0])
    run = plan.run("bevdepth-r50")
    leave(plan, run, 0)
    (plan.folder(run) / "model.safetensors").write_bytes(b"others")
    with pytest.raises(DataError, match="do not belong together"):
        build(plan, [])
