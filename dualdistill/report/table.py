"""A table of results as typed cells: built once from the records of runs, then only rendered.

collect.py builds the tables of tables.yaml, claims.py those of the claims. renderers.py writes CSV, Markdown
and LaTeX, html/table.py the page; the figures draw the same cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, auto

from dualdistill.plan.columns import Measure
from dualdistill.report.numbers import Score, rounded

NOT_COMPARABLE = "synthetic world - not comparable with the poster's numbers"
DAGGER, DAMAGED, MISSING, TIMES = "†", "‡", "§", "\N{MULTIPLICATION SIGN}"
HOW_DAMAGED = "Read from a damaged print; config/reported.csv says how."
NAMING = ("says", "method")  # labels that name a row, in order of preference; otherwise its first label


class Kind(Enum):
    """Content of one column of the CSV file."""

    LABEL = auto()  # text that tells rows apart
    MEAN = auto()
    STD = auto()
    LOW = auto()  # end of an interval
    HIGH = auto()
    INTERVAL = auto()  # both ends in one cell, for people: a CSV file has LOW and HIGH
    GAIN = auto()  # over the baseline row
    SEEDS = auto()
    REPORTED = auto()
    REPORTED_GAIN = auto()
    DISTANCE = auto()  # from the published score, of an imported row
    DAMAGED = auto()  # the reported metrics that were read from a damaged print
    REMARK = auto()
    RUNS = auto()
    ABOUT = auto()  # the same in all rows


@dataclass(frozen=True)
class Column:
    name: str  # in the CSV file
    kind: Kind
    heading: str = ""  # elsewhere; without one the column is in the CSV file only
    cell: str = ""  # key of its cells in a row; otherwise the column's name

    @property
    def key(self) -> str:
        return self.cell or self.name


@dataclass(frozen=True)
class Measured:
    """A number over seeds, unrounded, in the unit of its record."""

    measure: Measure
    score: Score
    gain: Decimal | None = None  # over the baseline row: a difference or a ratio, as the measure has it
    interval: tuple[Decimal, Decimal] | None = None

    @property
    def value(self) -> Decimal:
        """The mean in the unit that is printed."""
        return self.score.mean / self.measure.unit

    @property
    def mean(self) -> str:
        return self.print(self.score.mean)

    @property
    def std(self) -> str:
        """One more decimal place than the mean; empty for one seed."""
        std = self.score.std
        return "" if std is None else rounded(std / self.measure.unit, places=self.measure.places + 1)

    @property
    def ends(self) -> tuple[str, str] | None:
        return (self.print(self.interval[0]), self.print(self.interval[1])) if self.interval else None

    def gain_text(self, *, sign: bool = False) -> str:
        if self.gain is None:
            return ""
        return rounded(self.gain) if self.measure.gain == "ratio" else self.print(self.gain, sign=sign)

    def print(self, value: Decimal, *, sign: bool = False) -> str:
        return rounded(value / self.measure.unit, places=self.measure.places, sign=sign)


@dataclass(frozen=True)
class Reported:
    """A number that the poster prints, in points."""

    value: Decimal
    gain: Decimal | None = None
    damaged: bool = False  # read from a damaged print
    note: str = ""

    @property
    def text(self) -> str:
        return rounded(self.value)

    def gain_text(self, *, sign: bool = False) -> str:
        return "" if self.gain is None else rounded(self.gain, sign=sign)


@dataclass(frozen=True)
class Row:
    labels: dict[str, str]
    measured: dict[str, Measured] = field(default_factory=dict)  # empty without a run
    reported: dict[str, Reported] = field(default_factory=dict)
    block: str = ""  # rows of one block compete for the best number
    runs: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # runs of this row without a score
    remark: str = ""  # on the row's method or weights
    imported: bool = False

    def distance(self, metric: str) -> Decimal | None:
        """Points from the published score of an imported row to that measured here."""
        if not self.imported or metric not in self.measured or metric not in self.reported:
            return None
        return self.measured[metric].value - self.reported[metric].value

    @property
    def seeds(self) -> int:
        return max((cell.score.n for cell in self.measured.values()), default=0)


@dataclass(frozen=True)
class Table:
    name: str  # of its files
    title: str
    columns: tuple[Column, ...]  # in the order of the CSV file
    rows: tuple[Row, ...]
    about: dict[str, str] = field(default_factory=dict)  # facts about all rows
    synthetic: bool = False  # measured in the synthetic world
    preface: tuple[str, ...] = ()  # sentences above the printed table
    note: str = ""  # paragraph above the table of the page

    def of_kind(self, kind: Kind) -> list[Column]:
        return [column for column in self.columns if column.kind is kind]

    @property
    def labels(self) -> list[Column]:
        return [column for column in self.of_kind(Kind.LABEL) if column.heading]

    @property
    def naming(self) -> str:
        """The label that names a row."""
        names = [column.key for column in self.labels]
        return next((name for name in NAMING if name in names), names[0])

    @property
    def has_reported(self) -> bool:
        return any(row.reported for row in self.rows)

    @property
    def has_damaged(self) -> bool:
        return any(number.damaged for row in self.rows for number in row.reported.values())

    @property
    def footnotes(self) -> list[str]:
        """A sentence for every mark: remarks on methods, damaged prints, incomplete rows."""
        notes = [f"{DAGGER} {remark}" for remark in dict.fromkeys(row.remark for row in self.rows) if remark]
        if self.has_damaged:
            notes.append(f"{DAMAGED} {HOW_DAMAGED}")
        for row in self.rows:
            if row.missing:
                name = " ".join(filter(None, (row.labels.get(column.key, "") for column in self.labels)))
                notes.append(f"{MISSING} {name}: {incomplete(row)}.")
        return notes


def incomplete(row: Row) -> str:
    """Number of seeds that a row has, and the missing runs."""
    return f"{row.seeds} of {row.seeds + len(row.missing)} seeds, missing {', '.join(row.missing)}"
