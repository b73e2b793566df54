"""MFD in one key frame: the scale of every region, and the attention of both networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, MaxNLocator

from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan
from dualdistill.report.figures import bev_maps, layout

TITLES = {
    "fg": "scale inside ground truth",
    "fp": "scale where the teacher errs",
    "tn": "scale of all other cells",
    "teacher": "attention of the teacher",
    "student": "attention of the aligned student",
    "used": "attention that is used",
}
REGIONS = ("fg", "fp", "tn")
BRIGHTEST = 99  # percentile of the attentions at which their colours end


def draw(plan: Plan, view: FigureView) -> Figure:
    seen = bev_maps.read(view, *TITLES, "truth_K9", "half_extent_m")
    figure = layout.blank(5.2)
    attentions = np.stack([seen[name] for name in TITLES if name not in REGIONS])
    # a single cell of the teacher would leave all other cells dark
    brightest = float(np.percentile(attentions, BRIGHTEST))
    for axes, (name, title) in zip(
        figure.subplots(2, 3, sharex=True, sharey=True).flat, TITLES.items(), strict=True
    ):
        map_HW = seen[name]
        if name in REGIONS:
            # a scale is zero outside of its region: leave the map white there
            shown = {"vmin": 0, "vmax": float(map_HW.max()) or 1.0}
            map_HW = np.where(map_HW > 0, map_HW, np.nan)
        else:
            shown = {"vmin": 0, "vmax": brightest or 1.0}
        image = bev_maps.on_ground(axes, map_HW, float(seen["half_extent_m"]), **shown)
        outline = "black" if name in REGIONS else "white"
        bev_maps.boxes_above(axes, seen["truth_K9"], colors=outline, linewidths=0.7)
        axes.set_title(title)
        look: dict[str, Any] = {"orientation": "horizontal", "shrink": 0.9, "aspect": 24, "pad": 0.03}
        bar = figure.colorbar(image, ax=axes, extend="neither" if name in REGIONS else "max", **look)
        bar.locator = MaxNLocator(4)
        bar.formatter = FormatStrFormatter("%.2g")
        bar.update_ticks()
    layout.small_print(
        figure,
        bev_maps.caption(plan, view),
        f"Level {view.options['tap']}; x to the right and y ahead in metres; outlines: ground truth. "
        "A cell weighs scale x attention. "
        f"Colours of the attentions end at the {BRIGHTEST}th percentile of all three.",
        "As published, a cell is inside a box if its lower corner is: the cells of a box stand half a cell "
        "to its right and ahead of it.",
    )
    return figure
