"""The page in a real headless Chromium, opened from disk as a colleague opens it, without a network."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import Chromium, Tab

from dualdistill.plan.plan import Plan

Open = Callable[..., Tab]
VISIBLE = (
    "[...document.querySelectorAll('.view')].filter((one) => one.checkVisibility()).map((one) => one.id)"
)
COLUMN = """(name, group) => {
  const table = document.querySelector('#table-table_main table');
  const heads = [...table.querySelectorAll('thead tr:last-child th')];
  const place = heads.findIndex((head) => head.textContent.trim() === name && head.classList.contains(group));
  return [...table.tBodies[0].rows].map((row) => row.cells[place].dataset.sort);
}"""
SETTLED = "new Promise((done) => setTimeout(done, 50))"
MEASURED = "#table-table_main th.measured button"
LINES = "[...document.querySelectorAll('#table-table_main tbody tr')]"
SHOWN = f"{LINES}.filter((row) => row.checkVisibility()).length"


@pytest.fixture
def opened(browser: Chromium, address: str) -> Iterator[Open]:
    tabs = []

    def opened(place: str = "", **how: Any) -> Tab:
        tabs.append(Tab(browser, address + place, **how))
        return tabs[-1]

    yield opened
    for tab in tabs:
        tab.close()


def measured(tab: Tab) -> list[float]:
    return [float(value) for value in tab.js(f"({COLUMN})('mAP', 'measured')")]


def click(tab: Tab, selector: str) -> None:
    tab.js(f"document.querySelector({selector!r}).click()")


def one_student(plan: Plan) -> str:
    return next(run.id for run in plan.runs.values() if "dualdistill-r50-centerpoint" in run.rows)


def test_the_listener_hears_complaints(browser: Chromium, tmp_path: Path):
    """What the other tests rest on: a script that throws, a forbidden style and a request are all noticed."""
    page = tmp_path / "faulty.html"
    policy = "<meta http-equiv='Content-Security-Policy' content=\"style-src 'none'\">"
    page.write_text(
        f"{policy}<p style='color: red'><img src='http://example.org/x.png'><script>nothing()</script>"
    )
    tab = Tab(browser, page.as_uri())
    told = str(tab.complaints)
    assert "nothing is not defined" in told
    assert "Content Security Policy" in told
    assert "ERR_NAME_NOT_RESOLVED" in told
    assert tab.requests == [page.as_uri(), "http://example.org/x.png"]


@pytest.mark.parametrize("how", [{}, {"dark": True}, {"width": 390, "height": 844}])
def test_it_opens_from_disk_and_complains_of_nothing(opened: Open, address: str, how: dict):
    tab = opened(**how)
    assert tab.complaints == []
    assert tab.requests == [address]
    assert tab.js(VISIBLE) == ["overview"]


def test_a_column_sorts_up_down_and_back_to_as_written(opened: Open):
    tab = opened()
    written = measured(tab)
    assert written != sorted(written)
    for state, expected in [
        ("ascending", sorted(written)),
        ("descending", sorted(written, reverse=True)),
        ("none", written),
    ]:
        click(tab, MEASURED)
        assert measured(tab) == expected
        assert tab.js(f"document.querySelector('{MEASURED}').parentElement.ariaSort") == state


def test_numbers_sort_by_size_and_empty_cells_come_last(opened: Open):
    tab = opened()
    lines = "[...document.querySelectorAll('#table-verdicts tbody tr')]"
    names = f"{lines}.map((row) => row.cells[0].textContent.trim())"
    heading = "#table-verdicts th.number button"
    click(tab, heading)
    assert tab.js(names) == ["third", "first", "fifth", "fourth", "second"]
    click(tab, heading)
    assert tab.js(names) == ["fourth", "fifth", "first", "third", "second"]


def test_equal_lines_stay_in_order(opened: Open):
    tab = opened()
    click(tab, "#table-table_main th button")
    found = tab.js(f"{LINES}.map((row) => [row.cells[0].textContent.trim(), +row.dataset.place])")
    words = [text for text, _ in found]
    assert len(words) > len(set(words))
    for word in set(words):
        places = [place for text, place in found if text == word]
        assert places == sorted(places)


def test_a_keyboard_is_enough_to_sort(opened: Open):
    tab = opened()
    tab.js(f"document.querySelector('{MEASURED}').focus()")
    written = measured(tab)
    tab.press("Enter")
    assert measured(tab) == sorted(written)
    tab.press("Tab")
    assert tab.js("document.activeElement.textContent.trim()") == "NDS"


def test_words_and_chips_filter_and_are_cleared(opened: Open):
    tab = opened()
    total = tab.js(SHOWN)
    tab.press("/")
    assert tab.js("document.activeElement.id") == "filter"
    tab.write("dualdistill resnet-50")
    few = tab.js(SHOWN)
    assert 0 < few < total
    assert "rows" in tab.js("document.getElementById('count').textContent")
    tab.press("Escape")
    assert tab.js(SHOWN) == total
    whole = "document.querySelectorAll('#table-verdicts tbody tr:not([hidden])').length"
    click(tab, "[data-facet='backbone'][data-value='ResNet-101']")
    rest = (
        "[...document.querySelectorAll('.results tbody tr:not([hidden])')].map((row) => row.dataset.backbone)"
    )
    assert set(tab.js(rest)) == {"ResNet-101", None}  # verdicts have no backbone
    assert tab.js(whole) == 5
    click(tab, "[data-facet='method'][data-value='BEVDepth']")
    assert tab.js(SHOWN) == 1
    click(tab, "#clear")
    assert tab.js(SHOWN) == total


def test_a_chip_keeps_the_ablations_of_what_it_names(opened: Open):
    tab = opened()
    shown = """(name) => [...document.querySelectorAll(`#table-${name} tbody tr`)]
        .filter((row) => row.checkVisibility()).map((row) => row.cells[0].innerText.trim())"""
    whole = tab.js(f"({shown})('table_controls')")
    click(tab, "[data-facet='teacher'][data-value='MVP']")
    # all but the student without a teacher
    assert tab.js(f"({shown})('table_ablation_components')") == ["yes", "no", "yes"]
    assert tab.js(f"({shown})('table_controls')") == [name for name in whole if name != "no distillation"]
    assert tab.js(f"({shown})('table_teacher_quality')") == []
    click(tab, "[data-facet='teacher'][data-value='CenterPoint']")
    click(tab, "[data-facet='teacher'][data-value='MVP']")
    assert len(tab.js(f"({shown})('table_teacher_quality')")) == 6
    groups = "[...document.querySelectorAll('.chips')].map((one) => one.innerText.split('\\n')[0])"
    assert tab.js(groups) == ["Backbone", "Teacher", "Method"]


def test_a_link_to_a_run_is_called_by_the_run(opened: Open):
    names = """[...document.querySelectorAll('tbody a')].map((one) => [
        one.ariaLabel ?? one.textContent, document.querySelector(one.hash).dataset.title])"""
    found = opened().js(names)
    assert len(found) > 100
    assert [(name, title) for name, title in found if not name.endswith(title)] == []


def test_the_skip_link_stays_in_the_view(opened: Open, two_seeds: tuple[Plan, str]):
    place = f"run-{one_student(two_seeds[0])}"
    tab = opened()
    tab.go(place)
    tab.js("document.querySelector('.skip').focus()")
    tab.press("Enter")
    tab.js(SETTLED)
    assert tab.js(VISIBLE) == [place]
    assert tab.js("document.activeElement.id") == place


@pytest.mark.parametrize("width", [820, 1400])
def test_no_heading_hides_under_the_bar(opened: Open, width: int):
    tab = opened(width=width)
    tab.go("table-claims")
    edges = """[document.querySelector('.bar').getBoundingClientRect().bottom,
        document.getElementById('title-claims').getBoundingClientRect().top]"""
    bar, heading = tab.js(edges)
    assert bar <= heading < bar + 40


def test_a_claim_is_a_sentence_on_few_lines(opened: Open):
    width = "document.querySelector('#table-claims td.says').getBoundingClientRect().width"
    assert opened(width=1400).js(width) > 250


def test_a_filter_that_nothing_fits_says_so(opened: Open):
    tab = opened()
    tab.js("document.getElementById('filter').focus()")
    tab.write("no such row")
    assert tab.js(SHOWN) == 0
    assert tab.js("document.querySelector('#table-table_main .none').checkVisibility()")


def test_a_line_leads_to_its_run_and_back(opened: Open, two_seeds: tuple[Plan, str]):
    tab = opened()
    run = one_student(two_seeds[0])
    click(tab, f"#table-table_main a[href='#run-{run}']")
    tab.js(SETTLED)
    assert tab.js(VISIBLE) == [f"run-{run}"]
    assert "DualDistill" in tab.js("document.title")
    assert tab.js("document.activeElement.id") == f"run-{run}"
    for part in (".tiles", ".command", ".changes", ".bars", ".curves svg", ".tree", ".facts"):
        assert tab.js(f"document.querySelector('.current {part}').checkVisibility()"), part
    click(tab, ".current .back")
    tab.js(SETTLED)
    assert tab.js(VISIBLE) == ["overview"]
    assert tab.complaints == []


def test_every_run_opens_by_its_address(opened: Open, two_seeds: tuple[Plan, str]):
    first, *others = (f"run-{run}" for run in two_seeds[0].shown_runs())
    tab = opened(f"#{first}")
    assert tab.js(VISIBLE) == [first]
    for place in others:
        tab.go(place)
        assert tab.js(VISIBLE) == [place]
    for nowhere in ("run-that-is-not-there", "%E0%A4%A"):
        tab.go(nowhere)
        assert tab.js(VISIBLE) == ["overview"]


def test_pictures_are_there_grow_and_close(opened: Open, two_seeds: tuple[Plan, str]):
    tab = opened()
    decoded = "one.decode().then(() => one.naturalWidth)"
    sizes = f"Promise.all([...document.querySelectorAll('.current img')].map((one) => {decoded}))"
    assert [width > 0 for width in tab.js(sizes)] == [True, True]
    click(tab, ".picture")
    assert tab.js("document.getElementById('large').open")
    tab.press("Escape")
    assert not tab.js("document.getElementById('large').open")
    tab.go(f"run-{one_student(two_seeds[0])}")
    assert tab.js(sizes) == [60]


@pytest.mark.parametrize("width", [320, 390, 820, 1280])
def test_no_width_scrolls_sideways(opened: Open, two_seeds: tuple[Plan, str], width: int):
    tab = opened(width=width)
    for place in ("overview", f"run-{one_student(two_seeds[0])}"):
        tab.go(place)
        assert tab.js("document.documentElement.scrollWidth") == width


def test_the_dark_page_is_dark(opened: Open):
    shade = (
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((sum, one) => sum + +one, 0)"
    )
    assert opened().js(shade) > 700
    assert opened(dark=True).js(shade) < 100


def test_without_a_script_everything_is_readable(opened: Open, two_seeds: tuple[Plan, str]):
    tab = opened(script=False)
    assert len(tab.js(VISIBLE)) == 1 + len(two_seeds[0].shown_runs())
    # a picture lies in the file once; a run's page has a link to it
    pictures = "[...document.querySelectorAll('.run figure:has(.picture)')]"
    assert tab.js(f"{pictures}.length") > 0
    assert not tab.js(f"{pictures}.some((one) => one.querySelector('.picture').checkVisibility())")
    assert tab.js(f"{pictures}.every((one) => one.querySelector('a').checkVisibility())")


def test_it_prints(opened: Open):
    paper = opened().pdf()
    assert paper.startswith(b"%PDF")
    assert len(paper) > 10_000
