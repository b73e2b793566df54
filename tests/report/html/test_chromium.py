"""The page in a headless Chromium, opened from disk as a colleague opens it, without a network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dualdistill.plan.plan import Plan

VISIBLE = (
    "[...document.querySelectorAll('.view')].filter((view) => view.checkVisibility()).map((view) => view.id)"
)
COLUMN = """([table, name, group]) => {
  const heads = [...document.querySelectorAll(`#${table} thead tr:last-child th`)];
  const place = heads.findIndex((head) => head.innerText.trim() === name && head.className.includes(group));
  return [...document.querySelectorAll(`#${table} tbody tr`)].map((row) => row.cells[place].dataset.sort);
}"""
MEASURED = "#table-table_main th.measured button"
ROWS = "[...document.querySelectorAll('#table-table_main tbody tr')]"
SHOWN = f"{ROWS}.filter((row) => row.checkVisibility()).length"


@dataclass
class Tab:
    """A page of the browser, with everything that its console reports and every file that it requests."""

    page: Any  # playwright's
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, address: str) -> None:
        self.page.goto(address)
        # pictures that lie in the page are no requests
        self.requests = [url for url in self.requests if not url.startswith("data:")]

    def js(self, expression: str, value: Any = None) -> Any:
        return self.page.evaluate(expression, value)

    def go(self, place: str) -> None:
        """To another place of the same file, as a link would."""
        self.js("place => { location.hash = place; }", place)
        self.settle()

    def settle(self) -> None:
        self.page.wait_for_timeout(50)


Open = Callable[..., Tab]


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Open]:
    contexts = []

    def opened(place: str = "", *, width: int = 1280, height: int = 900, **how: Any) -> Tab:
        look = {"viewport": {"width": width, "height": height}, "is_mobile": width < 600}
        contexts.append(browser.new_context(**look, **how))
        tab = Tab(contexts[-1].new_page())
        tab.open(address + place)
        return tab

    yield opened
    for context in contexts:
        context.close()


def measured(tab: Tab) -> list[float]:
    return [float(value) for value in tab.js(COLUMN, ["table-table_main", "mAP", "measured"])]


def click(tab: Tab, selector: str) -> None:
    tab.page.locator(selector).first.click()


def one_student(plan: Plan) -> str:
    return next(run.id for run in plan.runs.values() if "dualdistill-r50-centerpoint" in run.rows)


def test_complaints_and_requests_are_recorded(browser: Any, tmp_path: Path):
    """The other tests rely on it: a script that throws, a forbidden style and a request are all recorded."""
    file = tmp_path / "faulty.html"
    policy = "<meta http-equiv='Content-Security-Policy' content=\"style-src 'none'\">"
    file.write_text(
        f"{policy}<p style='color: red'><img src='http://example.org/x.png'><script>nothing()</script>"
    )
    tab = Tab(browser.new_page())
    tab.open(file.as_uri())
    text = str(tab.complaints)
    assert "nothing is not defined" in text
    assert "Content Security Policy" in text
    assert "ERR_NAME_NOT_RESOLVED" in text
    assert tab.requests == [file.as_uri(), "http://example.org/x.png"]
    tab.page.close()


@pytest.mark.parametrize("how", [{}, {"color_scheme": "dark"}, {"width": 390, "height": 844}])
def test_the_page_opens_from_disk_without_any_complaint(opened: Open, address: str, how: dict):
    tab = opened(**how)
    assert tab.complaints == []
    assert tab.requests == [address]
    assert tab.js(VISIBLE) == ["overview"]


def test_a_column_sorts_up_down_and_back(opened: Open):
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
    reported = ["table-table_main", "mAP", "reported"]
    written = tab.js(COLUMN, reported)
    numbers = sorted(map(float, filter(None, written)))
    assert sorted(map(str, numbers)) == sorted(filter(None, written))
    gaps = [""] * (len(written) - len(numbers))
    assert gaps
    for ordered in (numbers, numbers[::-1]):
        click(tab, "#table-table_main th.reported button")
        assert tab.js(COLUMN, reported) == [*map(str, ordered), *gaps]


def test_effects_below_zero_sort_by_size(opened: Open):
    tab = opened()
    effects = ["table-claims", "mAP", "measured"]
    click(tab, "#table-claims th.measured button")
    values = list(map(float, tab.js(COLUMN, effects)))
    assert min(values) < 0 < max(values)
    assert values == sorted(values)


def test_equal_lines_stay_in_order(opened: Open):
    tab = opened()
    click(tab, "#table-table_main th button")
    cells = tab.js(f"{ROWS}.map((row) => [row.cells[0].textContent.trim(), +row.dataset.place])")
    words = [text for text, _ in cells]
    assert len(words) > len(set(words))
    for word in set(words):
        places = [place for text, place in cells if text == word]
        assert places == sorted(places)


def test_the_keyboard_sorts(opened: Open):
    tab = opened()
    tab.js(f"document.querySelector('{MEASURED}').focus()")
    written = measured(tab)
    tab.page.keyboard.press("Enter")
    assert measured(tab) == sorted(written)
    tab.page.keyboard.press("Tab")
    assert tab.js("document.activeElement.textContent.trim()") == "NDS"


def test_words_and_chips_filter_and_are_cleared(opened: Open):
    tab = opened()
    total = tab.js(SHOWN)
    tab.page.keyboard.press("/")
    assert tab.js("document.activeElement.id") == "filter"
    tab.page.keyboard.insert_text("dualdistill resnet-50")
    few = tab.js(SHOWN)
    assert 0 < few < total
    assert "rows" in tab.js("document.getElementById('count').textContent")
    tab.page.keyboard.press("Escape")
    assert tab.js(SHOWN) == total
    claims = "document.querySelectorAll('#table-claims tbody tr:not([hidden])').length"
    all_claims = tab.js(claims)
    click(tab, "[data-facet='backbone'][data-value='ResNet-101']")
    rest = (
        "[...document.querySelectorAll('.results tbody tr:not([hidden])')].map((row) => row.dataset.backbone)"
    )
    assert set(tab.js(rest)) == {"ResNet-101", None}  # claims have no backbone
    assert tab.js(claims) == all_claims
    click(tab, "[data-facet='method'][data-value='BEVDepth']")
    assert tab.js(SHOWN) == 1
    click(tab, "#clear")
    assert tab.js(SHOWN) == total


def test_a_chip_keeps_the_ablations_with_its_value(opened: Open):
    tab = opened()
    shown = """(name) => [...document.querySelectorAll(`#table-${name} tbody tr`)]
        .filter((row) => row.checkVisibility()).map((row) => row.cells[0].innerText.trim())"""
    whole = tab.js(f"({shown})('table_controls')")
    click(tab, "[data-facet='teacher'][data-value='MVP']")
    # all but the students without a teacher
    assert tab.js(f"({shown})('table_ablation_components')") == ["yes", "no", "yes"]
    taught = [name for name in whole if not name.startswith("no distillation")]
    assert tab.js(f"({shown})('table_controls')") == taught
    assert tab.js(f"({shown})('table_teacher_quality')") == []
    click(tab, "[data-facet='teacher'][data-value='CenterPoint']")
    click(tab, "[data-facet='teacher'][data-value='MVP']")
    assert len(tab.js(f"({shown})('table_teacher_quality')")) == 6
    groups = "[...document.querySelectorAll('.chips')].map((element) => element.innerText.split('\\n')[0])"
    assert tab.js(groups) == ["Backbone", "Teacher", "Method"]


def test_a_link_to_a_run_is_named_by_the_run(opened: Open):
    names = """[...document.querySelectorAll('tbody a')].map((element) => [
        element.ariaLabel ?? element.textContent, document.querySelector(element.hash).dataset.title])"""
    links = opened().js(names)
    assert len(links) > 100
    assert [(name, title) for name, title in links if not name.endswith(title)] == []


def test_the_skip_link_stays_in_the_view(opened: Open, two_seeds: tuple[Plan, str]):
    place = f"run-{one_student(two_seeds[0])}"
    tab = opened()
    tab.go(place)
    tab.js("document.querySelector('.skip').focus()")
    tab.page.keyboard.press("Enter")
    tab.settle()
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


def test_the_column_of_claims_is_wide(opened: Open):
    width = "document.querySelector('#table-claims td.says').getBoundingClientRect().width"
    assert opened(width=1400).js(width) > 250


def test_a_filter_without_a_match_shows_a_sentence(opened: Open):
    tab = opened()
    tab.js("document.getElementById('filter').focus()")
    tab.page.keyboard.insert_text("no such row")
    assert tab.js(SHOWN) == 0
    assert tab.js("document.querySelector('#table-table_main .none').checkVisibility()")


def test_a_line_leads_to_its_run_and_back(opened: Open, two_seeds: tuple[Plan, str]):
    tab = opened()
    run = one_student(two_seeds[0])
    click(tab, f"#table-table_main a[href='#run-{run}']")
    tab.settle()
    assert tab.js(VISIBLE) == [f"run-{run}"]
    assert "DualDistill" in tab.js("document.title")
    assert tab.js("document.activeElement.id") == f"run-{run}"
    for part in (".tiles", ".command", ".changes", ".bars", ".curves svg", ".tree", ".facts"):
        assert tab.js(f"document.querySelector('.current {part}').checkVisibility()"), part
    click(tab, ".current .back")
    tab.settle()
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


def test_pictures_open_large_and_close(opened: Open, two_seeds: tuple[Plan, str]):
    tab = opened()
    decoded = "element.decode().then(() => element.naturalWidth)"
    sizes = f"Promise.all([...document.querySelectorAll('.current img')].map((element) => {decoded}))"
    assert [width > 0 for width in tab.js(sizes)] == [True, True]
    click(tab, ".picture")
    assert tab.js("document.getElementById('large').open")
    tab.page.keyboard.press("Escape")
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
    colour = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    assert sum(opened().js(colour)) > 700
    assert sum(opened(color_scheme="dark").js(colour)) < 100


def test_without_a_script_everything_is_readable(opened: Open, two_seeds: tuple[Plan, str]):
    tab = opened(java_script_enabled=False)
    assert len(tab.js(VISIBLE)) == 1 + len(two_seeds[0].shown_runs())
    # a picture lies in the file once; a run's page has a link to it
    pictures = "[...document.querySelectorAll('.run figure:has(.picture)')]"
    assert tab.js(f"{pictures}.length") > 0
    assert not tab.js(f"{pictures}.some((element) => element.querySelector('.picture').checkVisibility())")
    assert tab.js(f"{pictures}.every((element) => element.querySelector('a').checkVisibility())")


def test_the_page_prints(opened: Open):
    paper = opened().page.pdf()
    assert paper.startswith(b"%PDF")
    assert len(paper) > 10_000
