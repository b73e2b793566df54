"""Figures as views over results: config/figures.yaml names them, one file here draws each kind of chart.

A chart's file has `draw(plan, view) -> Figure` and imports no torch. Outputs of networks are computed
beforehand by probes/run.py, in results/probes/. The style of all is set in config/figures.mplstyle alone.
"""
