"""The commands that the rules of workflow/ run; each also runs by hand. No logic: arguments in, one call out.

A command imports what it needs when it runs, so that `resolve`, `status` and --help answer at once.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dualdistill.config.run_spec import contents
from dualdistill.errors import UserError
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan

EXAMPLES = """examples:
  snakemake --cores all results/table_main.csv              everything, from the world to the table
  python -m dualdistill resolve                             which runs there are
  python -m dualdistill resolve bevdepth-r50                every number of one run
  python -m dualdistill status --profile smoke              how far they are
  python -m dualdistill train bevdepth-r50                  one training, by row or run
  python -m dualdistill table table_main --allow-missing    the table with what is there
  python -m dualdistill figure main                         one figure, in figures/
"""
NOUNS = {
    "run": "a run's id, or a row of variants.yaml",
    "table": "a table of tables.yaml",
    "scene": "a scene's name",
    "points": "a folder of virtual points, or a run or row that is given them",
    "figure": "a figure of figures.yaml",
}
DEFAULT = "default: %(default)s"
# these do without a data set; probe asks for it when it knows what it needs
RESULTS_ONLY = ("resolve", "status", "times", "table", "claims", "probe", "figure", "page")


def make_world(plan: Plan, options: argparse.Namespace) -> None:
    if plan.data.world is None:
        profile = plan.settings.profile
        raise UserError(f"profile '{profile}' reads a real data set, there is no world to make")
    from dualdistill.world.nuscenes import build as world

    world.make(plan.data.world, plan.paths.root, plan.settings.workers)


def show_world(plan: Plan, options: argparse.Namespace) -> None:
    from dualdistill.world import preview

    preview.show(plan.paths.root, options.out, options.scene, options.frame)
    print(options.out)


def knobs(plan: Plan, options: argparse.Namespace) -> None:
    run = plan.detector(options.run)
    from dualdistill.evaluation import world_shift

    for line in world_shift.lines(plan, run, options.knobs):
        print(line, flush=True)


def build_index(plan: Plan, options: argparse.Namespace) -> None:
    from dualdistill.data import index_build

    index_build.build(plan.paths.root, plan.data.version, plan.data.splits(), plan.paths.index)


def build_cache(plan: Plan, options: argparse.Namespace) -> None:
    if plan.paths.cache is None:
        raise UserError(f"profile '{plan.settings.profile}' uses no cache", hint="cache: true in the profile")
    from dualdistill.data import cache
    from dualdistill.data.index import Index

    cache.build(Index.load(plan.paths.index), plan.paths.root, plan.paths.cache)


def make_virtual(plan: Plan, options: argparse.Namespace) -> None:
    name, spec = plan.virtual_points(options.points)
    plan.check_masks(spec)
    from dualdistill.data.index import Index
    from dualdistill.data.virtual_points import build

    index, out = Index.load(plan.paths.index), plan.paths.index.parent / name
    build.make(index, plan.paths.root, spec, plan.settings.masks, out, workers=plan.settings.workers)


def train(plan: Plan, options: argparse.Namespace) -> None:
    run = plan.run(options.run)
    os.environ.setdefault("DUALDISTILL_LOADERS", str(plan.settings.loaders))
    needs = (plan.teacher_folder(run), plan.start_file(run), plan.label_encoder_folder(run))
    if run.spec.masks:
        plan.check_masks(run.spec.masks)
    from dualdistill.training import train

    train.train(run.spec, plan.folder(run), plan.paths, *needs, log_every=options.log_every)


def predict(plan: Plan, options: argparse.Namespace) -> None:
    run = plan.detector(options.run)
    from dualdistill.evaluation import predict

    predict.run(run.spec, plan.folder(run), plan.paths, plan.settings.split)


def evaluate(plan: Plan, options: argparse.Namespace) -> None:
    run = plan.detector(options.run)
    from dualdistill.evaluation import evaluate

    evaluate.run(run.spec, plan.folder(run), plan.paths, plan.settings.split)


def table(plan: Plan, options: argparse.Namespace) -> None:
    plan.table(options.table)
    from dualdistill.report import tables

    tables.write(plan, options.table, plan.shown / options.table, allow_missing=options.allow_missing)


def claims(plan: Plan, options: argparse.Namespace) -> None:
    from dualdistill.report import claims

    claims.write(plan, plan.shown / "claims", allow_missing=options.allow_missing)


def probe(plan: Plan, options: argparse.Namespace) -> None:
    from dualdistill.plan import figures

    view = figures.find(figures.load(plan, options.config.parent), options.figure)
    figures.probe_file(view)
    plan.check_root()
    from dualdistill.probes import run as probe

    probe.run(plan, view)


def figure(plan: Plan, options: argparse.Namespace) -> None:
    from dualdistill.plan import figures

    view = figures.find(figures.load(plan, options.config.parent), options.figure)
    from dualdistill.report.figures import draw

    print("\n".join(map(str, draw.write(plan, view, options.out or plan.drawn))))


def page(plan: Plan, options: argparse.Namespace) -> None:
    from dualdistill.report import html

    html.write(plan, plan.shown / "index.html", options.tables, options.figures, options.config.parent)


def status(plan: Plan, options: argparse.Namespace) -> None:
    from dualdistill.report import status

    print("\n".join(status.lines(plan)))


def times(plan: Plan, options: argparse.Namespace) -> None:
    from dualdistill.report import timing

    print("\n".join(timing.lines(plan)))


def resolve(plan: Plan, options: argparse.Namespace) -> None:
    if options.run is None:
        for run in plan.runs.values():
            print(f"{run.id}  {' '.join(run.rows)}")
        return
    run = plan.run(options.run)
    print(json.dumps({"run": run.id, "rows": run.rows, "spec": contents(run.spec)}, indent=1))


COMMANDS: dict[str, tuple[Callable[[Plan, argparse.Namespace], None], str, str]] = {
    # name: (function, what it takes, what it does)
    "world": (make_world, "", "render the synthetic world as a nuScenes root"),
    "world-show": (show_world, "scene", "draw one frame of the world: six cameras and the LiDAR from above"),
    "index": (build_index, "", "read the tables of the data set"),
    "cache": (build_cache, "", "decode images and points once"),
    "virtual": (make_virtual, "points", "add virtual points from instance masks to the clouds"),
    "train": (train, "run", "train any run, or go on where it stopped"),
    "predict": (predict, "run", "predict the boxes of the split"),
    "evaluate": (evaluate, "run", "score the boxes with the official evaluation"),
    "knobs": (knobs, "run", "score a trained run on worlds that differ from its own in one knob each"),
    "table": (table, "table", "write a table as CSV, Markdown and LaTeX"),
    "claims": (claims, "", "compare runs pair by pair and say which claims they bear out"),
    "probe": (probe, "figure", "run trained networks for what a figure shows and no result holds"),
    "figure": (figure, "figure", "draw a figure as PDF, SVG and PNG"),
    "page": (page, "", "write index.html: tables, figures and runs on one page"),
    "status": (status, "", "say how far every run is, and how it scored"),
    "times": (times, "", "say where the time of the jobs that ran went"),
    "resolve": (resolve, "run?", "list the runs, or print every number of one"),
}


def parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--config", type=Path, default=Path("config/config.yaml"), help=DEFAULT)
    shared.add_argument("--profile", help="a file of config/profiles/, instead of the one config.yaml names")
    shared.add_argument("--split", help="val or dev: what is predicted, scored and shown")
    shared.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a key of config.yaml"
    )
    shared.add_argument("--results", type=Path, default=Path("results"), help=DEFAULT)
    main = argparse.ArgumentParser(
        prog="dualdistill",
        description="LiDAR-to-camera distillation, step by step. snakemake runs these commands in order.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, takes, summary) in COMMANDS.items():
        command = commands.add_parser(name, parents=[shared], help=summary, description=summary)
        if takes:
            noun = takes.rstrip("?")
            command.add_argument(noun, nargs="?" if takes.endswith("?") else None, help=NOUNS[noun])
        if name == "train":
            command.add_argument("--log-every", type=int, default=20, metavar="STEPS", help=DEFAULT)
        if name == "world-show":
            command.add_argument("--frame", type=int, default=0, help="key frame from 0, " + DEFAULT)
            command.add_argument("--out", type=Path, default=Path("figures/world.png"), help=DEFAULT)
        if name == "figure":
            command.add_argument("--out", type=Path, help="folder, default: figures")
        if name == "knobs":
            what = "e.g. density=2 occlusion=0: a world for each"
            command.add_argument("knobs", nargs="*", metavar="KNOB=VALUE", help=what)
        if name == "page":
            for part, ending in (("tables", "csv"), ("figures", "svg or png")):
                there = f"files, {ending}, default: those of the configuration that are there"
                command.add_argument(f"--{part}", type=Path, nargs="*", metavar="FILE", help=there)
        if name in ("table", "claims"):
            command.add_argument(
                "--allow-missing", action="store_true", help="a dash for a run that is not there"
            )
    return main


def main(words: Sequence[str] | None = None) -> int:
    gc.set_threshold(100_000)  # loading torch makes objects that stay; 700 looks through them again and again
    options = parser().parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        if sys.flags.optimize:
            # the official evaluation validates with assert statements, which -O removes
            raise UserError("python -O switches off checks that the scores rely on", hint="run without it")
        overrides = dict(_override(text) for text in options.set)
        for key in ("profile", "split"):
            if value := getattr(options, key):
                overrides[key] = value
        plan = planning.load(options.config, overrides, options.results)
        if options.command not in RESULTS_ONLY:
            plan.check_root()
        COMMANDS[options.command][0](plan, options)
        sys.stdout.flush()
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # whoever read us has seen enough; what is still in the buffer must not complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    return 0


def _override(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        raise UserError(f"--set {text} has no value", hint=f"--set {key}=VALUE")
    return key, value
