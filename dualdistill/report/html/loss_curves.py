"""The training curves of a run: one small matplotlib panel per loss, as SVG elements of the page.

The vertical axis is logarithmic, since loss terms fall by orders of magnitude.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from dualdistill.report.figures.curves import HISTORY, Array, means, read
from dualdistill.report.figures.draw import METADATA
from dualdistill.store.records import NOT_LOSSES

BINS = 80  # points of a curve, at least
SIZE_IN = (2.7, 0.95)
INSIDE = (0.15, 0.19, 0.83, 0.74)  # left, bottom, width and height of the axes in their panel
# letters of the page itself; axes that stay where they are
LOOK: Any = {"svg.fonttype": "none", "figure.constrained_layout.use": False}
OTHERS = {"lr": "learning rate", "grad_norm": "gradient norm", "loss_scale": "loss scale"}
LONG = re.compile(r"\d+\.\d{2,}")


@dataclass(frozen=True)
class Panel:
    title: str
    first: str
    last: str
    svg: str


class Pen:
    """Panels drawn on one set of matplotlib axes, because making new axes takes most of the time.

    The style is the caller's.
    """

    def __init__(self) -> None:
        with matplotlib.rc_context(LOOK):
            self.figure = Figure(figsize=SIZE_IN)
        self.axes = self.figure.add_axes(INSIDE, yscale="log")
        (self.line,) = self.axes.plot([], [], color="black", clip_on=False, gid="curve")
        self.axes.grid(visible=False)
        self.axes.yaxis.set_minor_locator(NullLocator())
        self.axes.tick_params(left=False, bottom=False)
        for background in (self.figure.patch, self.axes.patch):
            background.set_visible(False)

    def panels(self, folder: Path) -> tuple[Panel, ...]:
        """The sum of all losses, each loss by its size, then learning rate, gradient norm and loss scale."""
        history = read(folder) if (folder / HISTORY).exists() else {}
        losses = {name: values for name, values in history.items() if name not in NOT_LOSSES}
        curves = dict(sorted(losses.items(), key=lambda item: (-np.nansum(item[1]), item[0])))
        if len(losses) > 1:
            curves = {"sum of the losses": np.nansum(list(losses.values()), axis=0), **curves}
        curves |= {title: history[name] for name, title in OTHERS.items() if name in history}
        drawn = (self._panel(name.replace("_", " "), history["step"], curves[name]) for name in curves)
        return tuple(panel for panel in drawn if panel)

    def _panel(self, title: str, step_S: Array, value_S: Array) -> Panel | None:
        """Means over equal stretches of the training; None where there is no line to draw."""
        step_P, value_P = means(step_S, value_S, max(1, len(step_S) // BINS))
        positive_P = np.isfinite(value_P) & (value_P > 0)
        if positive_P.sum() < 2:
            return None
        step_P, value_P = step_P[positive_P], value_P[positive_P]
        low, high = value_P.min(), value_P.max()
        margin = (high / low) ** 0.04 if high > low else 1.1
        self.line.set_data(step_P, value_P)
        self.axes.set(xlim=(0, step_S[-1]), ylim=(low / margin, high * margin))
        self.axes.set_xticks([0, step_S[-1]], ["0", f"{step_S[-1]:,.0f}"])
        ends = [low, high] if high / low > 1.01 else [high]  # the labels of a flat curve would overlap
        self.axes.set_yticks(ends, [*map(_short, ends)])
        return Panel(title, _short(value_P[0]), _short(value_P[-1]), self._svg())

    def _svg(self) -> str:
        content = io.StringIO()
        with matplotlib.rc_context(LOOK):
            self.figure.savefig(content, format="svg", metadata=METADATA["svg"])
        return inline(content.getvalue())


def inline(svg: str) -> str:
    """Turn matplotlib's SVG into an element of the page: black becomes the colour of the text around it.

    The page's security policy forbids style attributes, and ids must be unique in the page.
    """
    root = ElementTree.fromstring(svg)
    box = root.attrib["viewBox"]
    for parent in [*root.iter()]:
        for child in [*parent]:
            if child.tag.endswith(("}defs", "}metadata")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        style = dict(part.split(": ") for part in element.attrib.get("style", "").split("; ") if part)
        kept = {key: _tenths(text) for key, text in element.attrib.items() if key in ("d", "x", "y")}
        kept |= {"class": "curve"} if element.attrib.get("id") == "curve" else {}
        element.attrib = kept | {key: text for key, text in style.items() if key != "font-family"}
        element.text, element.tail = " ".join((element.text or "").split()), None
    root.attrib = {"viewBox": box, "aria-hidden": "true"}
    return ElementTree.tostring(root, encoding="unicode").replace("#000000", "currentColor")


def _tenths(coordinates: str) -> str:
    """Round to tenths of a point, which are enough: a page has hundreds of curves."""
    return LONG.sub(lambda number: f"{float(number[0]):.1f}", " ".join(coordinates.split()))


def _short(value: float) -> str:
    """Three digits; a power of ten without the zeros that pad it."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}".replace("e-0", "e-")
