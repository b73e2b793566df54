"""Draw a figure and write it as PDF, SVG and PNG; the same inputs give the same bytes on any day."""

from __future__ import annotations

import importlib
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import style
from matplotlib.figure import Figure

from dualdistill.errors import DataError, UserError
from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan
from dualdistill.store.files import atomic_write

# dates and version numbers would make equal figures differ
METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


def write(plan: Plan, view: FigureView, folder: Path) -> list[Path]:
    """The figure in every format."""
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it logs every glyph
    with styled(view.style):
        figure = draw(plan, view)
        written = []
        for ending, metadata in METADATA.items():
            content = io.BytesIO()
            figure.savefig(content, format=ending, metadata=metadata)
            written.append(folder / f"{view.name}.{ending}")
            atomic_write(written[-1], content.getvalue())
    return written


def draw(plan: Plan, view: FigureView) -> Figure:
    """The matplotlib figure, in the style that the caller has set."""
    chart = importlib.import_module(f"dualdistill.report.figures.{view.chart}")
    drawn: Figure = chart.draw(plan, view)
    drawn.suptitle(view.title)
    return drawn


@contextmanager
def styled(path: Path) -> Iterator[None]:
    """matplotlib's defaults with this style file on top; the settings of the user have no effect."""
    with style.context(_read(path), after_reset=True):
        yield


def _read(path: Path) -> dict[str, Any]:
    """The style file; an unknown key, of which matplotlib only warns, is refused."""
    if not path.exists():
        raise DataError(
            "the style file does not exist", where=str(path), hint="restore it from the repository"
        )
    faults: list[str] = []
    listener = logging.Handler(logging.WARNING)
    listener.emit = lambda record: faults.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("matplotlib")
    logger.addHandler(listener)
    try:
        read: Any = matplotlib.rc_params_from_file(path, use_default_template=False)
    finally:
        logger.removeHandler(listener)
    if faults:
        raise UserError(" ".join(faults[0].split()), where=str(path))
    return dict(read)
