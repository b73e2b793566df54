"""Takes the place of dualdistill/__main__.py in a test: the same arguments and files, none of the work."""

from pathlib import Path

from dualdistill import plan as planning
from dualdistill.cli import _override, parser
from dualdistill.report.figures import views
from dualdistill.report.figures.jobs import FORMATS

OUTPUTS = {
    "train": ("model.safetensors", "history.jsonl", "run.json"),
    "predict": ("results_nusc.json",),
    "evaluate": ("metrics.json", "metrics_summary.json", "metrics_details.json"),
}


def outputs() -> list[Path]:
    options = parser().parse_args()
    overrides = dict(_override(text) for text in options.set)
    if options.profile:
        overrides["profile"] = options.profile
    plan = planning.load(options.config, overrides, options.results)
    if options.command in OUTPUTS:
        return [plan.folder(plan.run(options.run)) / name for name in OUTPUTS[options.command]]
    if options.command == "table":
        return [plan.results / f"{options.table}.{suffix}" for suffix in ("csv", "md", "tex")]
    if options.command == "page":
        return [plan.results / "index.html"]
    if options.command == "claims":
        return [plan.results / name for name in ("claims.csv", "claims_pairs.csv", "claims.md")]
    if options.command == "virtual":
        return [plan.paths.index.parent / options.points / "virtual.json"]
    if options.command in ("figure", "observe"):
        view = views.load(plan, options.config.parent)[options.figure]
        drawn = [options.out / f"{view.name}.{ending}" for ending in FORMATS] if "out" in options else []
        return drawn or [views.need_observation(view)]
    assert plan.paths.cache is not None
    made = {
        "world": plan.paths.root / "world.json",
        "index": plan.paths.index,
        "cache": plan.paths.cache / "cache.json",
    }
    return [made[options.command]]


for path in outputs():
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{path}\n")
