"""Takes the place of dualdistill/__main__.py in a test: the same arguments and files, none of the work."""

from pathlib import Path

from dualdistill.cli import _override, parser
from dualdistill.plan import figures
from dualdistill.plan import plan as planning
from dualdistill.plan.snakemake_inputs import FORMATS

OUTPUTS = {
    "train": ("model.safetensors", "history.jsonl", "run.json"),
    "predict": ("results_nusc.json",),
    "evaluate": ("metrics.json", "metrics_summary.json", "metrics_details.json"),
}


def outputs() -> list[Path]:
    options = parser().parse_args()
    overrides = dict(_override(text) for text in options.set)
    overrides |= {key: value for key in ("profile", "split") if (value := getattr(options, key))}
    plan = planning.load(options.config, overrides, options.results)
    if options.command in OUTPUTS:
        run = plan.run(options.run)
        folder = plan.folder(run) if options.command == "train" else plan.scores(run)
        return [folder / name for name in OUTPUTS[options.command]]
    if options.command == "table":
        return [plan.shown / f"{options.table}.{suffix}" for suffix in ("csv", "md", "tex")]
    if options.command == "page":
        return [plan.shown / "index.html"]
    if options.command == "claims":
        return [plan.shown / name for name in ("claims.csv", "claims_pairs.csv", "claims.md")]
    if options.command == "virtual":
        return [plan.paths.index.parent / options.points / "virtual.json"]
    if options.command in ("figure", "probe"):
        view = figures.load(plan, options.config.parent)[options.figure]
        if options.command == "probe":
            return [figures.probe_file(view)]
        return [plan.drawn / f"{view.name}.{ending}" for ending in FORMATS]
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
