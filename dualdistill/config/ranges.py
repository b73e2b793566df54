"""Ranges of numbers in YAML, by name: an annotation such as `lr: Positive` is type, range and documentation.

Imports no torch: methods annotate their options with these names, and planning reads them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Weight = NotNegative  # of a loss term
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
ShareBelowOne = Annotated[float, Field(ge=0, lt=1)]
OpenShare = Annotated[float, Field(gt=0, lt=1)]  # neither 0 nor 1
