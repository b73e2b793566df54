"""Named ranges of numbers: an annotation such as `lr: Positive` is type, range check and documentation.

Imports no torch: methods annotate their options with these names, and planning reads them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

STRICT = ConfigDict(strict=True, extra="forbid")  # no silent conversion, no unknown key

T = TypeVar("T")


def _unique(items: Any) -> Any:
    if len(set(items)) < len(items):
        raise PydanticCustomError("unique", "holds the same entry twice")
    return items


def _ascending(interval: tuple[float, float]) -> tuple[float, float]:
    if interval[0] > interval[1]:
        raise PydanticCustomError("ascending", "runs from the larger number to the smaller")
    return interval


Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
TeacherSeed = Seed | Literal["each"]  # of all students' teacher | each: of a student's teacher, its own
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Weight = NotNegative  # of a loss term
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
ShareBelowOne = Annotated[float, Field(ge=0, lt=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]  # neither 0 nor 1
Degrees = Annotated[float, Field(ge=0, le=180)]  # largest rotation to either side
Interval = Annotated[tuple[float, float], AfterValidator(_ascending)]  # from, to
Triple = tuple[Count, Count, Count]  # a number per stage of a network
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]  # of a table, figure or claim

Distinct = Annotated[tuple[T, ...], AfterValidator(_unique)]  # no duplicates
Several = Annotated[tuple[T, ...], Field(min_length=1), AfterValidator(_unique)]  # not empty, no duplicates
