"""Every command: those that the rules of workflow/ run, and those for people. Arguments in, one call out.

A command imports what it needs when it runs, so that `resolve`, `status` and --help answer at once.
"""

from __future__ import annotations

import functools
import gc
import inspect
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dualdistill import faults
from dualdistill.config.run_spec import contents
from dualdistill.config.yaml import nearest
from dualdistill.errors import BusyError, UserError
from dualdistill.launch import processes, ranks, start
from dualdistill.plan import plan as planning
from dualdistill.plan.plan import Plan, Run
from dualdistill.store.lock import run_lock
from dualdistill.store.records import RESULTS

if TYPE_CHECKING:
    from dualdistill.plan.figures import FigureView

EXAMPLES = """\b
examples:
  snakemake --cores all results/table_main.csv              everything, from the world to the table
  python -m dualdistill resolve                             which runs there are
  python -m dualdistill resolve bevdepth-r50                every number of one run
  python -m dualdistill status --watch                      how far they are, until Ctrl-C
  python -m dualdistill train bevdepth-r50                  one training, by row or run
  python -m dualdistill table table_main --allow-missing    the table from the runs that are done
  python -m dualdistill figure main                         one figure, in figures/
"""
FILE = click.Path(path_type=Path)
SHARED = (
    click.option("--config", type=FILE, default=Path("config/config.yaml")),
    click.option("--profile", help="A file of config/profiles/, instead of the one config.yaml names."),
    click.option("--split", help="val or dev: the split that is predicted, scored and shown."),
    click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="A key of config.yaml."),
    click.option("--results", type=FILE, default=Path("results")),
)
Command = Callable[..., None]


class InOrder(click.Group):
    """A group that lists its commands in the order of the work."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=InOrder,
    epilog=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 110},
)
def cli() -> None:
    """LiDAR-to-camera distillation, step by step. snakemake runs the first of these commands in order."""


def command(name: str, *, reads_data: bool = True, of: click.Group = cli) -> Callable[[Command], Command]:
    """Make a function of a plan a command with the options that lead to one."""

    def register(function: Command) -> Command:
        @functools.wraps(function)
        def load_and_run(**words: Any) -> None:
            plan = load(**{name: words.pop(name) for name in inspect.signature(load).parameters})
            if reads_data:
                plan.check_root()
            function(plan, **words)

        for option in reversed(SHARED):
            load_and_run = option(load_and_run)
        of.command(name)(load_and_run)
        return function

    return register


def load(config: Path, profile: str | None, split: str | None, pairs: Sequence[str], results: Path) -> Plan:
    """The plan that the shared options describe."""
    overrides = dict(_override(pair) for pair in pairs)
    overrides |= {key: value for key, value in (("profile", profile), ("split", split)) if value}
    return planning.load(config, overrides, results)


def _override(text: str, option: str = "--set ") -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        raise UserError(f"{option}{text} has no value", hint=f"{option}{key}=VALUE")
    return key, value


def _on_devices(plan: Plan, planned: Run, job: str, work: Callable[[], None]) -> None:
    """Train or predict a run on the devices of such a job."""
    os.environ.setdefault("DUALDISTILL_LOADERS", str(plan.settings.loaders))  # for data/loader_processes.py
    if not ranks.is_rank():
        with run_lock(plan.folder(planned) / "state"):
            pass  # refuses a run that another process holds, before this one waits for devices
    context = click.get_current_context(silent=True)
    start.on_devices(plan.settings.devices.of(job), work, context.obj if context else ())


def _config_folder() -> Path:
    config: Path = click.get_current_context().params["config"]
    return config.parent


def _figure(plan: Plan, name: str) -> FigureView:
    from dualdistill.plan import figures

    return figures.find(figures.load(plan, _config_folder()), name)


@command("world")
def make_world(plan: Plan) -> None:
    """Render the synthetic world as a nuScenes root."""
    if plan.data.world is None:
        profile = plan.settings.profile
        raise UserError(f"profile '{profile}' reads a real data set, there is no world to make")
    from dualdistill.world.nuscenes.build import build_world

    with run_lock(state := plan.job_state("world")):
        build_world(plan.data.world, plan.paths.root, plan.settings.workers, state)


@command("world-show")
@click.argument("scene")
@click.option("--frame", type=int, default=0, help="Key frame, from 0.")
@click.option("--out", type=FILE, default=Path("figures/world.png"))
def show_world(plan: Plan, scene: str, frame: int, out: Path) -> None:
    """Draw one frame of the world: cameras and LiDAR."""
    from dualdistill.world import preview

    preview.show(plan.paths.root, out, scene, frame)
    print(out)


@command("index")
def build_index(plan: Plan) -> None:
    """Read the tables of the data set."""
    from dualdistill.data import index_build

    index_build.build(plan.paths.root, plan.data.version, plan.data.splits(), plan.paths.index)


@command("cache")
def build_cache(plan: Plan) -> None:
    """Decode images and points once."""
    if plan.paths.cache is None:
        raise UserError(f"profile '{plan.settings.profile}' uses no cache", hint="cache: true in the profile")
    from dualdistill.data import cache
    from dualdistill.data.index import Index

    with run_lock(state := plan.job_state("cache")):
        cache.build(Index.load(plan.paths.index), plan.paths.root, plan.paths.cache, state=state)


@command("images")
@click.argument("images")
def resize_images(plan: Plan, images: str) -> None:
    """Resize all images once, for runs that read them so.

    IMAGES is a folder of resized images.
    """
    if images not in plan.images:
        hint = nearest(images, plan.images) or "input.decode: 880, for example"
        raise UserError(f"no run reads '{images}'", hint=hint)
    from dualdistill.data import small_images
    from dualdistill.data.index import Index
    from dualdistill.store.lock import run_lock

    where = (plan.paths.root, plan.images[images], plan.paths.index.parent / images)
    with run_lock(state := plan.job_state(images)):
        index = Index.load(plan.paths.index)
        small_images.build(index, *where, workers=plan.settings.workers, state=state)


@command("virtual")
@click.argument("points")
def make_virtual(plan: Plan, points: str) -> None:
    """Add virtual points from instance masks to the clouds.

    POINTS is a folder of virtual points, or a run or row that is given them.
    """
    name, spec = plan.virtual_points(points)
    plan.check_masks(spec)
    from dualdistill.data.index import Index
    from dualdistill.data.virtual_points import build

    index, out = Index.load(plan.paths.index), plan.paths.index.parent / name
    settings = plan.settings
    with run_lock(state := plan.job_state(name)):
        build.make(index, plan.paths.root, spec, settings.masks, out, workers=settings.workers, state=state)


@command("objects")
@click.argument("objects")
def make_objects(plan: Plan, objects: str) -> None:
    """Cut objects to paste out of the training frames.

    OBJECTS is a folder of objects, or a teacher (run or row) that is trained with them.
    """
    name, spec = plan.pasted_objects(objects)
    from dualdistill.data.index import Index
    from dualdistill.data.pasted_objects import build

    index, out = Index.load(plan.paths.index), plan.paths.index.parent / name
    where = (index, plan.paths.root, spec, plan.paths.virtual(spec), out)
    with run_lock(state := plan.job_state(name)):
        build.make(*where, workers=plan.settings.workers, state=state)


@command("import-checkpoint", reads_data=False)
@click.argument("file", type=FILE)
@click.option("--as", "row", required=True, help="The row that the weights become: one with weights: file.")
@click.option("--mmdet3d", metavar="VERSION", help="The version that wrote the file, where it does not say.")
def import_checkpoint(plan: Plan, file: Path, row: str, mmdet3d: str | None) -> None:
    """Make a run from a checkpoint that others have released.

    It is told by its names and converted, or refused with the reason. Nothing in it is run.
    """
    plan.run(row)
    from dualdistill.interop import import_checkpoint

    print("\n".join(import_checkpoint.import_checkpoint(plan, row, file, mmdet3d)))


@command("train")
@click.argument("run")
@click.option("--log-every", type=int, default=20, metavar="STEPS")
def train(plan: Plan, run: str, log_every: int) -> None:
    """Train any run, or go on where it stopped.

    RUN is a run's id, or a row of variants.yaml.
    """
    planned = plan.run(run)
    if planned.spec.imported:
        raise UserError(
            f"row {planned.spec.imported} is imported, not trained here", hint="import-checkpoint"
        )
    for name in planned.needs:
        plan.check_import(plan.runs[name])
        plan.check_weights(plan.runs[name])
    if planned.spec.masks:
        plan.check_masks(planned.spec.masks)
    watched: dict[str, Any] = {"log_every": log_every, "tensorboard": plan.settings.tensorboard}
    folders = (plan.teacher_folder(planned), plan.start_file(planned), plan.label_encoder_folder(planned))

    def work() -> None:
        from dualdistill.training import train
        from dualdistill.training.objective import Upstream

        train.train(planned.spec, plan.folder(planned), plan.paths, Upstream(*folders), **watched)

    if not ranks.is_rank():
        plan.check_devices(planned)
    try:
        _on_devices(plan, planned, planned.spec.kind, work)
    except processes.RankError as error:
        if error.exit_code != BusyError.exit_code:  # a failure of this training, for `status`
            from dualdistill.training.progress import log_event

            log_event(plan.folder(planned) / "state", event="failure", why=str(error))
        raise


@command("predict")
@click.argument("run")
def predict(plan: Plan, run: str) -> None:
    """Predict the boxes of the split."""
    planned = plan.run_with_boxes(run)
    plan.check_prediction(planned)

    def work() -> None:
        from dualdistill.evaluation import predict

        predict.run(planned.spec, plan.folder(planned), plan.paths, plan.settings.split)

    _on_devices(plan, planned, "predict", work)


@command("evaluate")
@click.argument("run")
@click.option(
    "--devkit", is_flag=True, help="Let the devkit evaluate, too, as it always does on small data sets."
)
def evaluate(plan: Plan, run: str, devkit: bool = False) -> None:
    """Score the boxes with the official evaluation."""
    planned = plan.run_with_boxes(run)
    if not (plan.scores(planned) / RESULTS).exists():
        plan.check_prediction(planned)
    from dualdistill.evaluation import evaluate

    evaluate.run(planned.spec, plan.folder(planned), plan.paths, plan.settings.split, devkit=devkit)


@command("knobs")
@click.argument("run")
@click.argument("knobs", nargs=-1, metavar="[KNOB=VALUE]...")
def knobs(plan: Plan, run: str, knobs: tuple[str, ...]) -> None:
    """Score a run on worlds that differ in one knob each.

    density=2 occlusion=0, for example, are two worlds.
    """
    planned = plan.run_with_boxes(run)
    plan.check_weights(planned)

    def work() -> None:
        from dualdistill.evaluation import world_shift

        for line in world_shift.lines(plan, planned, list(knobs)):
            print(line, flush=True)

    start.on_devices(min(1, plan.settings.devices.predict), work)


@command("table", reads_data=False)
@click.argument("table")
@click.option("--allow-missing", is_flag=True, help="A dash for a run that is not done.")
def table(plan: Plan, table: str, allow_missing: bool) -> None:
    """Write a table as CSV, Markdown and LaTeX."""
    plan.table(table)
    from dualdistill.report import renderers

    renderers.write(plan, table, plan.shown / table, allow_missing=allow_missing)


@command("claims", reads_data=False)
@click.option("--allow-missing", is_flag=True, help="A dash for a run that is not done.")
def claims(plan: Plan, allow_missing: bool) -> None:
    """Compare runs pair by pair and judge the claims."""
    from dualdistill.report.claims import files

    files.write(plan, plan.shown / "claims", allow_missing=allow_missing)


@command("probe", reads_data=False)  # it asks for the data set when it knows what it needs
@click.argument("figure")
def probe(plan: Plan, figure: str) -> None:
    """Run trained networks for a figure beyond scores."""
    from dualdistill.plan import figures

    view = _figure(plan, figure)
    figures.probe_file(view)
    figures.check_probe(plan, view)
    plan.check_root()
    from dualdistill.probes import run

    run.run(plan, view)


@command("figure", reads_data=False)
@click.argument("figure")
@click.option("--out", type=FILE, help="Folder, figures by default.")
def figure(plan: Plan, figure: str, out: Path | None) -> None:
    """Draw a figure as PDF, SVG and PNG."""
    view = _figure(plan, figure)
    from dualdistill.report.figures import draw

    print("\n".join(map(str, draw.write(plan, view, out or plan.drawn))))


@command("page", reads_data=False)
@click.argument("figures", nargs=-1, type=FILE)
def page(plan: Plan, figures: tuple[Path, ...]) -> None:
    """Write index.html: tables, figures and runs on one page.

    FIGURES are files (svg, png); by default those of the configuration that have been drawn.
    """
    from dualdistill.report import html

    html.write(plan, plan.shown / "index.html", figures or None, _config_folder())


@cli.group("bundle", cls=InOrder)
def bundle() -> None:
    """Pack finished runs into files, and take them in."""


@command("pack", reads_data=False, of=bundle)
@click.argument("runs", nargs=-1, metavar="[RUN|ROW]...")
@click.option("--into", type=FILE, required=True, help="Folder of the files, one per run.")
@click.option("--weights", is_flag=True, help="Pack those of students, too.")
@click.option("--scenes-only", is_flag=True, help="Figures of every scene instead of the matches.")
def pack(plan: Plan, runs: tuple[str, ...], into: Path, weights: bool, scenes_only: bool) -> None:
    """Pack finished runs that have no file yet.

    A run that is named is packed anew if it or the options have changed.
    """
    from dualdistill.evidence import pack

    for line in pack.pack(plan, runs, into, pack.Options(weights, scenes_only)):
        print(line, flush=True)


@command("take", reads_data=False, of=bundle)
@click.argument("files", nargs=-1, type=FILE, required=True, metavar="FILE|FOLDER...")
@click.option("--replace", is_flag=True, help="Put them in the place of runs that were trained here.")
def take(plan: Plan, files: tuple[Path, ...], replace: bool) -> None:
    """Verify files and take their runs in as done."""
    from dualdistill.evidence import pack, take

    for line in take.each(pack.files_in(files), lambda file: take.take(plan, file, replace=replace)):
        print(line, flush=True)


@bundle.command("check")
@click.argument("files", nargs=-1, type=FILE, required=True, metavar="FILE|FOLDER...")
def check(files: tuple[Path, ...]) -> None:
    """Verify files, and compute their scores again from the matches."""
    from dualdistill.evidence import check, pack, take

    for line in take.each(pack.files_in(files), check.check):
        print(line, flush=True)


@command("status", reads_data=False)
@click.option("--watch", is_flag=True, help="Draw it again every second, until Ctrl-C.")
@click.option("--ids", is_flag=True, help="Add the ids of the runs, which name their folders.")
def status(plan: Plan, watch: bool, ids: bool) -> None:
    """Show how far every run is, and how it scored."""
    from dualdistill.report import status_screen

    (status_screen.watch if watch else status_screen.show)(plan, ids=ids)


@command("times", reads_data=False)
def times(plan: Plan) -> None:
    """Show where the time of the finished jobs went."""
    from dualdistill.report import timing

    print("\n".join(timing.lines(plan)))


@command("resolve", reads_data=False)
@click.argument("run", required=False)
def resolve(plan: Plan, run: str | None) -> None:
    """List the runs, or print every number of one."""
    if run is None:
        for planned in plan.runs.values():
            print(f"{planned.id}  {' '.join(planned.rows)}")
        return
    planned = plan.run(run)
    print(json.dumps({"run": planned.id, "rows": planned.rows, "spec": contents(planned.spec)}, indent=1))


@cli.command("stand-in")
@click.argument("folder", type=FILE)
@click.argument("keys", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--workers", type=click.IntRange(min=1), default=2, help="Processes that render.")
def make_stand_in(folder: Path, keys: tuple[str, ...], workers: int) -> None:
    """Render a synthetic stand-in for nuScenes.

    KEY is one of data.world: train_scenes=20 image_width=1600 image_height=900, for example.
    """
    from dualdistill.data import stand_in

    stand_in.build(folder, dict(_override(key, "") for key in keys), workers)
    print(f"data_root={folder} masks={folder / stand_in.MASKS}")


@cli.command("schema")
@click.argument("name", type=click.Choice(["config", "profile", "variants", "tables", "claims", "figures"]))
def schema(name: str) -> None:
    """Print the JSON schema of a configuration file."""
    from dualdistill.config import editor_schema

    print(json.dumps(editor_schema.schema(name), indent=1))


def main(words: Sequence[str] | None = None) -> int:
    ranks.begin()
    gc.set_threshold(100_000)  # loading torch makes lasting objects; the default 700 rescans them too often
    _set_up_logging()
    words = list(sys.argv[1:] if words is None else words)
    try:
        if sys.flags.optimize:
            # the official evaluation validates with assert statements, which -O removes
            raise UserError("python -O switches off checks that the scores rely on", hint="run without it")
        faults.check()
        # not cli(), which has exit codes of its own for a closed pipe and Ctrl-C
        with cli.make_context("dualdistill", list(words), obj=words) as context:
            cli.invoke(context)
        sys.stdout.flush()
    except UserError as error:
        if not ranks.report(str(error)):
            print(error, file=sys.stderr)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as done:  # of --help
        return done.exit_code
    except BrokenPipeError:
        # the reader has closed the pipe; what is still in the buffer must not raise an error at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (KeyboardInterrupt, click.Abort):
        return 130
    except Exception:
        if not ranks.report(traceback.format_exc()):
            raise
        return processes.TRACEBACK
    return 0


def _set_up_logging() -> None:
    """Log progress; of several ranks the first alone, the others warnings with their rank in front."""
    rank = ranks.rank()
    place, level = (f"[rank {rank}] ", logging.WARNING) if rank else ("", logging.INFO)
    logging.basicConfig(level=level, format=f"{place}%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # a banner for every process group
