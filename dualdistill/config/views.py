"""The form of tables.yaml, claims.yaml and figures.yaml.

plan/tables.py and plan/figures.py check that the rows, columns and words named there exist.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dualdistill.config.ranges import STRICT, Count, Name, Positive, Several, Whole

METRICS = ("mAP", "NDS")


@dataclass(frozen=True, config=STRICT)
class LineConfig:
    row: str  # of variants.yaml
    baseline: str | None = None  # row to subtract from this row
    reported: str | None = None  # row of reported.csv to show beside this row
    shown: dict[str, str] = field(
        default_factory=dict
    )  # column -> text printed instead of the option's value


@dataclass(frozen=True, config=STRICT)
class TableConfig:
    """A table: a view over runs."""

    title: str
    # row, backbone, method, base, teacher, teacher_row, an option of a method or a number, e.g. schedule.lr
    columns: Several[str]
    measures: Several[str] = METRICS  # names in plan/columns.py
    rows: Annotated[tuple[LineConfig, ...], Field(min_length=1)] | None = None
    rows_of: Several[str] | None = None  # other tables to take rows from; each row appears once
    show: dict[str, Several[str]] = field(default_factory=dict)  # column -> keep rows that print one of these
    on_request: bool = False  # made where it is named as a target, not by `snakemake` without one


@dataclass(frozen=True, config=STRICT)
class TablesFile:
    tables: Annotated[dict[Name, TableConfig], Field(min_length=1)]  # by file name
    names: dict[str, str]  # printed form of a backbone, model, method or option value
    headings: dict[str, str] = field(default_factory=dict)  # printed form of a column or measure


@dataclass(frozen=True, config=STRICT)
class PairConfig:
    row: str
    beats: str  # the row that `row` is claimed to score above


@dataclass(frozen=True, config=STRICT)
class ClaimConfig:
    """A claim about pairs, or about a trend; plan/tables.py refuses both and neither."""

    says: str
    main: bool = False  # of the family of main claims, which are corrected apart from the others
    pairs: Annotated[tuple[PairConfig, ...], Field(min_length=1)] | None = None
    # lists of rows, each from the worst expected to the best
    trend: Annotated[tuple[Several[str], ...], Field(min_length=1)] | None = None


@dataclass(frozen=True, config=STRICT)
class ClaimsFile:
    level: Annotated[float, Field(gt=0.5, lt=1)]  # confidence level of the intervals
    margin: Positive  # mAP points; effects within it count as none
    claims: Annotated[dict[Name, ClaimConfig], Field(min_length=1)]


Show = dict[str, Several[str]]  # column of a table -> draw only rows that print one of these words


@dataclass(frozen=True, config=STRICT)
class Groups:
    """Bars of a table in groups, as on the poster."""

    chart: Literal["groups"]
    table: str
    group: str  # columns for groups, colours and marks
    colour: str
    mark: str
    title: str | None = None
    show: Show = field(default_factory=dict)


@dataclass(frozen=True, config=STRICT)
class Bars:
    """A bar per row of a table."""

    chart: Literal["bars"]
    table: str
    title: str | None = None
    show: Show = field(default_factory=dict)


@dataclass(frozen=True, config=STRICT)
class Sweep:
    """The scores of a table against one of its columns or measures."""

    chart: Literal["sweep"]
    table: str
    x: str  # a row without this number is drawn as a horizontal line
    # name -> its rows; null draws a single line
    lines: Annotated[dict[str, Show], Field(min_length=1)] | None = None
    title: str | None = None
    show: Show = field(default_factory=dict)


@dataclass(frozen=True, config=STRICT)
class Budget:
    """mAP over the length of the training and over its measured time, a line per method."""

    chart: Literal["budget"]
    table: str
    x: str  # column with the length
    title: str | None = None
    show: Show = field(default_factory=dict)


@dataclass(frozen=True, config=STRICT)
class Curves:
    """Loss terms against training steps."""

    chart: Literal["curves"]
    title: str
    rows: Several[str]
    mean_over: Count  # steps per point


@dataclass(frozen=True, config=STRICT)
class Forest:
    """Effects of the claims with their confidence intervals."""

    chart: Literal["forest"]
    title: str


@dataclass(frozen=True, config=STRICT)
class Temperature:
    """The teacher's boxes kept at each temperature, compared with a threshold on its score."""

    chart: Literal["temperature"]
    title: str
    teacher: str
    temperatures: Several[Positive]
    threshold: Annotated[float, Field(gt=0, le=0.45)]  # on the score after the temperature


@dataclass(frozen=True, config=STRICT)
class KeyFrame:
    """A key frame with boxes: six cameras and the bird's-eye view."""

    chart: Literal["key_frame"]
    title: str
    teacher: str
    student: str
    min_score: Annotated[float, Field(ge=0, lt=1)]  # of the drawn boxes


@dataclass(frozen=True, config=STRICT)
class Attention:
    """MFD's weights in the key frame."""

    chart: Literal["attention"]
    title: str
    student: str
    tap: Literal["s2", "s3", "head"]


@dataclass(frozen=True, config=STRICT)
class Alignment:
    """The student's feature maps before and after alignment, beside the teacher's."""

    chart: Literal["alignment"]
    title: str
    student: str


CHARTS = {
    "groups": Groups,
    "bars": Bars,
    "sweep": Sweep,
    "budget": Budget,
    "curves": Curves,
    "forest": Forest,
    "temperature": Temperature,
    "key_frame": KeyFrame,
    "attention": Attention,
    "alignment": Alignment,
}


@dataclass(frozen=True, config=STRICT)
class Frame:
    """Indices of the drawn key frame: scene in the validation split, key frame in the scene."""

    scene: Whole
    frame: Whole


@dataclass(frozen=True, config=STRICT)
class FiguresFile:
    frame: Frame
    marks: dict[str, Literal["*", "s", "o", "D", "^", "v", "P", "X"]]  # printed word -> matplotlib mark
    # by file name; the keys depend on the chart
    figures: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]
