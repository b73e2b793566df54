"""Stand-in for dualdistill/__main__.py: the same arguments, devices and output files, without the work."""

import inspect
import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from dualdistill.cli import cli, load
from dualdistill.launch import start
from dualdistill.plan import figures
from dualdistill.plan.plan import Plan
from dualdistill.plan.snakemake_inputs import FORMATS

OUTPUTS = {
    "train": ("model.safetensors", "history.jsonl", "run.json"),
    "predict": ("results_nusc.json",),
    "evaluate": (
        "metrics.json",
        "metrics_summary.json",
        "metrics_details.json",
        "matches.npz",
        "scene_draws.npz",
    ),
}


def outputs(command: str, plan: Plan, words: dict[str, Any], config: Path) -> list[Path]:
    if command in OUTPUTS:
        run = plan.run(words["run"])
        folder = plan.folder(run) if command == "train" else plan.scores(run)
        return [folder / name for name in OUTPUTS[command]]
    if command == "table":
        return [plan.shown / f"{words['table']}.{suffix}" for suffix in ("csv", "md", "tex")]
    if command == "page":
        return [plan.shown / "index.html"]
    if command == "claims":
        return [plan.shown / name for name in ("claims.csv", "claims_pairs.csv", "claims.md")]
    if command == "virtual":
        return [plan.paths.index.parent / words["points"] / "virtual.json"]
    if command in ("figure", "probe"):
        view = figures.load(plan, config.parent)[words["figure"]]
        if command == "probe":
            return [figures.probe_file(view)]
        return [plan.drawn / f"{view.name}.{ending}" for ending in FORMATS]
    if command == "cache":
        assert plan.paths.cache is not None
        return [plan.paths.cache / "cache.json"]
    return [{"world": plan.paths.root / "world.json", "index": plan.paths.index}[command]]


def write(paths: list[Path]) -> None:
    """Write the files; on GPUs, take a while for it and note when each was used."""
    began = time.time()
    if gpus := os.environ.get("CUDA_VISIBLE_DEVICES"):
        time.sleep(3.0)
        note = json.dumps([gpus.split(","), began, time.time()])
        with Path("gpus.jsonl").open("a") as stream:
            stream.write(f"{note}\n")
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{path}\n")


def main() -> None:
    command, *rest = sys.argv[1:]
    words = cli.commands[command].make_context(command, rest).params
    plan = load(**{name: words[name] for name in inspect.signature(load).parameters})
    work = partial(write, outputs(command, plan, words, words["config"]))
    if command == "train":
        start.on_devices(plan.devices(plan.run(words["run"])), work)
    else:
        work()


main()
