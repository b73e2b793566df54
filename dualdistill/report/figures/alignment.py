"""A student's maps before and after their alignment beside the teacher's, as strength: mean_c |F|."""

from __future__ import annotations

from matplotlib.figure import Figure

from dualdistill.errors import DataError
from dualdistill.plan.figures import FigureView
from dualdistill.plan.plan import Plan
from dualdistill.report.figures import bev_maps, layout

COLUMNS = {"before": "student", "after": "aligned", "teacher": "teacher"}
TAPS = ("s2", "s3", "head")


def draw(plan: Plan, view: FigureView) -> Figure:
    seen = bev_maps.read(view, "truth_K9", "half_extent_m")
    taps = [tap for tap in TAPS if all(f"{tap}_{column}" in seen for column in COLUMNS)]
    if not taps:
        hint = f"python -m dualdistill probe {view.name}"
        raise DataError("the probe file has no map", where=str(view.probed), hint=hint)
    figure = layout.blank(0.8 + 2.1 * len(taps))
    grid = figure.subplots(len(taps), len(COLUMNS), sharex=True, sharey=True, squeeze=False)
    for line, tap in zip(grid, taps, strict=True):
        # the aligned map imitates the teacher's, so both share a scale; the student's map has other units
        both = max(float(seen[f"{tap}_{column}"].max()) for column in ("after", "teacher"))
        for axes, (column, title) in zip(line, COLUMNS.items(), strict=True):
            map_HW = seen[f"{tap}_{column}"]
            top = float(map_HW.max()) if column == "before" else both
            image = bev_maps.on_ground(axes, map_HW, float(seen["half_extent_m"]), vmin=0, vmax=top or 1.0)
            bev_maps.boxes_above(axes, seen["truth_K9"], colors="white", linewidths=0.7)
            figure.colorbar(image, ax=axes, shrink=0.85, aspect=18, pad=0.03)
            size = " x ".join(map(str, map_HW.shape))
            axes.set_title(f"{tap}, {title}: {size}")
    layout.small_print(
        figure,
        bev_maps.caption(plan, view),
        "Mean over channels of |F|; x to the right and y ahead in metres; outlines: ground truth.",
    )
    return figure
