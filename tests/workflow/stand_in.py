"""Takes the place of dualdistill/__main__.py in a test: the same arguments and files, none of the work."""

from pathlib import Path

from dualdistill import plan as planning
from dualdistill.cli import _override, parser

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
