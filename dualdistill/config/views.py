"""Tables, claims and figures as tables.yaml, claims.yaml and figures.yaml write them.

Only their form is checked here. That the rows, columns and words they name exist is checked where they are
planned.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dualdistill.config.ranges import STRICT, Count, Name, Positive, Several, Whole

METRICS = ("mAP", "NDS")


@dataclass(frozen=True, config=STRICT)
class TableLine:
    row: str  # of variants.yaml
    baseline: str | None = None  # the row that the gains of this line are taken against
    reported: str | None = None  # the row of reported.csv to show beside it
    shown: dict[str, str] = field(default_factory=dict)  # column -> text in place of the option's value


@dataclass(frozen=True, config=STRICT)
class TableConfig:
    """One view over runs."""

    title: str
    columns: Several[str]  # row, backbone, method, base, teacher, teacher_row or an option of a method
    measures: Several[str] = METRICS  # names of plan/columns.py
    rows: Annotated[tuple[TableLine, ...], Field(min_length=1)] | None = None
    rows_of: Several[str] | None = None  # tables whose rows this one shows too, each row once


@dataclass(frozen=True, config=STRICT)
class TablesFile:
    tables: Annotated[dict[Name, TableConfig], Field(min_length=1)]  # by the name of their file
    names: dict[str, str]  # how a backbone, model, method or option value is printed
    headings: dict[str, str] = field(default_factory=dict)  # of columns and measures, instead of their names


@dataclass(frozen=True, config=STRICT)
class PairConfig:
    row: str
    beats: str  # the row that it scores above


@dataclass(frozen=True, config=STRICT)
class ClaimConfig:
    """A sentence that holds when it holds in every one of its pairs."""

    says: str
    pairs: Annotated[tuple[PairConfig, ...], Field(min_length=1)]


@dataclass(frozen=True, config=STRICT)
class ClaimsFile:
    level: Annotated[float, Field(gt=0.5, lt=1)]  # of the intervals; 0.95 is wrong once in twenty
    claims: Annotated[dict[Name, ClaimConfig], Field(min_length=1)]


Show = dict[str, Several[str]]  # column of a table -> the words whose rows are drawn


@dataclass(frozen=True, config=STRICT)
class Groups:
    """Bars of a table in groups, the poster's chart."""

    chart: Literal["groups"]
    table: str
    group: str  # columns that make the groups, the colours and the marks
    colour: str
    mark: str
    title: str | None = None
    show: Show = field(default_factory=dict)


@dataclass(frozen=True, config=STRICT)
class Bars:
    """One bar per row of a table."""

    chart: Literal["bars"]
    table: str
    title: str | None = None
    show: Show = field(default_factory=dict)


@dataclass(frozen=True, config=STRICT)
class Sweep:
    """A column or measure of a table as the axis."""

    chart: Literal["sweep"]
    table: str
    x: str  # a row without this number is drawn as a level
    lines: Annotated[dict[str, Show], Field(min_length=1)] | None = (
        None  # name -> its rows; null: one line of all
    )
    title: str | None = None
    show: Show = field(default_factory=dict)


@dataclass(frozen=True, config=STRICT)
class Curves:
    """Loss terms by step."""

    chart: Literal["curves"]
    title: str
    rows: Several[str]
    mean_over: Count  # steps per point


@dataclass(frozen=True, config=STRICT)
class Forest:
    """The claims with their intervals."""

    chart: Literal["forest"]
    title: str


@dataclass(frozen=True, config=STRICT)
class Temperature:
    """The teacher's boxes at temperatures against its boxes at thresholds."""

    chart: Literal["temperature"]
    title: str
    teacher: str
    temperatures: Several[Positive]
    threshold: Annotated[float, Field(gt=0, le=0.45)]  # on the score after the temperature


@dataclass(frozen=True, config=STRICT)
class KeyFrame:
    """One key frame: six cameras and the view from above, with boxes."""

    chart: Literal["key_frame"]
    title: str
    teacher: str
    student: str
    min_score: Annotated[float, Field(ge=0, lt=1)]  # of the boxes that are drawn


@dataclass(frozen=True, config=STRICT)
class Attention:
    """The weights of MFD in the key frame."""

    chart: Literal["attention"]
    title: str
    student: str
    tap: Literal["s2", "s3", "head"]


@dataclass(frozen=True, config=STRICT)
class Alignment:
    """The student's maps before and after their alignment, beside the teacher's."""

    chart: Literal["alignment"]
    title: str
    student: str


CHARTS = {
    "groups": Groups,
    "bars": Bars,
    "sweep": Sweep,
    "curves": Curves,
    "forest": Forest,
    "temperature": Temperature,
    "key_frame": KeyFrame,
    "attention": Attention,
    "alignment": Alignment,
}


@dataclass(frozen=True, config=STRICT)
class Frame:
    """The key frame of the pictures, by its place in the validation split."""

    scene: Whole
    frame: Whole


@dataclass(frozen=True, config=STRICT)
class FiguresFile:
    frame: Frame
    marks: dict[
        str, Literal["*", "s", "o", "D", "^", "v", "P", "X"]
    ]  # word that a table prints -> matplotlib mark
    figures: Annotated[
        dict[Name, dict[str, Any]], Field(min_length=1)
    ]  # by file name; the keys depend on the chart
