"""Figures as views over results: config/figures.yaml names them, one file here draws each kind of chart.

A chart's file has `draw(plan, view) -> Figure` and imports no torch. What needs a network is run before by
probes/run.py and lies in results/probes/. How everything looks stands in config/figures.mplstyle alone.
"""
