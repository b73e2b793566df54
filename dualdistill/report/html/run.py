"""One run as the page shows it, from the records beside its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dualdistill.config.run_spec import contents
from dualdistill.config.settings import Reported
from dualdistill.errors import DataError
from dualdistill.plan.plan import Run
from dualdistill.report.collect import Records
from dualdistill.report.html.loss_curves import Panel, Pen
from dualdistill.report.html.pictures import Picture
from dualdistill.report.html.run_labels import RunLabels
from dualdistill.store.records import DEVKIT_NAMES, RUN, read_run

ERRORS = {  # the devkit's name -> the name in papers, and the unit
    "trans_err": ("mATE", "m"),
    "scale_err": ("mASE", "1 - IoU"),
    "orient_err": ("mAOE", "rad"),
    "vel_err": ("mAVE", "m/s"),
    "attr_err": ("mAAE", "1 - accuracy"),
}
ELSEWHERE = ("teacher", "label_encoder", "pretraining")  # specs of runs with a section of their own
Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Quality:
    """The number in run.json that stands for a score of a network without boxes."""

    record: str
    number: str
    tile: str
    unit: str
    about: str
    by_class: str


UNSCORED = {
    "pretrain": Quality(
        "held_out",
        "accuracy",
        "accuracy",
        "% of held-out crops",
        "On crops of its own scenes that the training did not see.",
        "Accuracy by class",
    ),
    "labels": Quality(
        "redecoded",
        "mean_ap",
        "mAP of its boxes",
        "points",
        "Of boxes that its teacher's head reads from its maps; dev split, not the official filters.",
        "Average precision by class",
    ),
}


@dataclass(frozen=True)
class Tile:
    name: str
    value: str
    unit: str
    reported: str
    damaged: bool = False  # the reported number was read from a damaged print


@dataclass(frozen=True)
class Bar:
    """Average precision of a class; for a pretraining, its accuracy."""

    name: str
    share: float
    baseline: float | None
    boxes: int


@dataclass(frozen=True)
class RunPage:
    id: str
    title: str
    kind: str
    rows: tuple[str, ...]
    related: Facts  # role -> run
    changes: tuple[tuple[str, Any, Any], ...]  # of the spec, against the baseline: key, there, here
    baseline: str | None
    tiles: tuple[Tile, ...]
    quality: Quality | None  # None where the official evaluation scores it
    bars: tuple[Bar, ...]
    curves: tuple[Panel, ...]
    pictures: tuple[Picture, ...]
    facts: Facts
    packages: Facts
    checksums: Facts
    spec: dict[str, Any]
    time: str
    commit: str
    seconds: float
    commands: tuple[str, ...]


def build(
    records: Records, run: Run, labels: RunLabels, pen: Pen, pictures: tuple[Picture, ...], command: str
) -> RunPage | None:
    """The page of a run; None if it has not been trained."""
    plan = records.plan
    folder = plan.folder(run)
    if not (folder / RUN).exists():
        return None
    record, metrics = read_run(folder), _metrics(records, run.id)
    if record["spec_sha"] != run.spec.sha:
        what = "the record belongs to another run: its spec is not the planned one"
        raise DataError(what, where=str(folder / RUN), hint="delete the folder and train the run again")
    made_on = record.get("provenance", {})
    git = made_on.get("git", {})
    baseline = plan.runs.get(labels.baseline or "")
    spec, quality = _without_others(contents(run.spec)), UNSCORED.get(run.spec.kind)
    return RunPage(
        id=run.id,
        title=labels.title,
        kind=run.spec.kind,
        rows=run.rows,
        related=_related(run, labels),
        changes=differences(_without_others(contents(baseline.spec)), spec) if baseline else (),
        baseline=baseline.id if baseline else None,
        tiles=_tiles(record, metrics, labels.reported, quality),
        quality=quality,
        bars=_bars(record, metrics, quality, _metrics(records, baseline.id) if baseline else {}),
        curves=pen.panels(folder),
        pictures=pictures,
        facts=_facts(record, metrics, made_on),
        packages=tuple(sorted(made_on.get("packages", {}).items())),
        checksums=_checksums(record, metrics),
        spec=spec,
        time=str(made_on.get("time", "")),
        commit=commit(git),
        seconds=float(record.get("seconds", 0.0)),
        commands=(*([f"git checkout {git['commit']}"] if git.get("commit") else []), command),
    )


def _metrics(records: Records, run: str) -> dict[str, Any]:
    """The content of metrics.json; empty if the evaluation has not run."""
    evidence = records.get(run)
    return evidence.metrics if evidence else {}


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> tuple[tuple[str, Any, Any], ...]:
    """The keys in which two specs differ, as dotted names."""
    old, new = (_flat(spec) for spec in (there, here))
    keys = [key for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]
    return tuple((key, old.get(key), new.get(key)) for key in keys)


def duration(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {whole % 60:02d} s" if minutes else f"{seconds:.3g} s"


def commit(git: Mapping[str, Any]) -> str:
    """Ten digits of the commit of the code, with a note if the code had been changed since."""
    if not git.get("commit"):
        return "unknown"
    return str(git["commit"])[:10] + (" with changes that are not committed" if git.get("dirty") else "")


def _related(run: Run, labels: RunLabels) -> Facts:
    pairs = {
        "teacher": run.teacher,
        "label encoder": run.label_encoder,
        "starts from": run.pretraining,
        "baseline": labels.baseline,
    }
    return tuple((role, other) for role, other in pairs.items() if other)


def _tiles(
    record: Mapping[str, Any],
    metrics: Mapping[str, Any],
    reported: Mapping[str, Reported],
    quality: Quality | None,
) -> tuple[Tile, ...]:
    if quality and quality.record in record:
        number = f"{100 * record[quality.record][quality.number]:.1f}"
        return (Tile(quality.tile, number, quality.unit, ""),)
    if not metrics:
        return ()
    tiles = [_score(name, metrics[key], reported.get(name)) for name, key in DEVKIT_NAMES.items()]
    errors = metrics["tp_errors"]
    return *tiles, *(Tile(*_error(errors, key)) for key in ERRORS if key in errors)


def _score(name: str, value: float, reported: Reported | None) -> Tile:
    theirs = f"{reported.value:.1f}" if reported else ""
    return Tile(
        name, f"{100 * value:.1f}", "points", theirs, bool(reported and reported.certainty == "inferred")
    )


def _error(errors: Mapping[str, Any], key: str) -> tuple[str, str, str, str]:
    name, unit = ERRORS[key]
    return name, "-" if errors[key] is None else f"{errors[key]:.2f}", unit, ""


def _bars(
    record: Mapping[str, Any],
    metrics: Mapping[str, Any],
    quality: Quality | None,
    baseline: Mapping[str, Any],
) -> tuple[Bar, ...]:
    """Bars by class, best first; equal values by name."""
    boxes, before = metrics.get("ground_truth_boxes", {}), baseline.get("mean_dist_aps", {})
    unscored = record.get(quality.record, {}) if quality else {}
    shares = metrics.get("mean_dist_aps") or unscored.get("by_class", {})
    names = sorted(shares, key=lambda name: (-shares[name], name))
    return tuple(
        Bar(name.replace("_", " "), shares[name], before.get(name), boxes.get(name, 0)) for name in names
    )


def _facts(record: Mapping[str, Any], metrics: Mapping[str, Any], made_on: Mapping[str, Any]) -> Facts:
    parameters = record.get("parameters", {})
    facts = {
        "trained": made_on.get("time", ""),
        "training took": duration(record["seconds"]) if "seconds" in record else "",
        "skipped steps, gradient overflowed": record.get("skipped_steps") or "",
        "peak memory": f"{record['peak_memory_mb']:.0f} MB" if "peak_memory_mb" in record else "",
        "parameters": f"{parameters['learner']:,}" if "learner" in parameters else "",
        "of the method, in training only": f"{parameters['method']:,}" if parameters.get("method") else "",
        "commit": commit(made_on.get("git", {})),
        "device": ", ".join(made_on.get("devices", ())) or "CPU",
        "threads": made_on.get("threads", ""),
        "cores": made_on.get("cores_allowed", ""),
        "platform": made_on.get("platform", ""),
        "python": made_on.get("python", ""),
        "imported from": record.get("imported", {}).get("source", ""),
        "weights at the start": record.get("start", {}).get("from", ""),
    }
    if metrics:
        facts |= {"evaluation": metrics.get("config", ""), "data": metrics["data"]}
        facts |= {"split": metrics.get("split", ""), "frames": metrics.get("samples", "")}
    return tuple((name, str(value)) for name, value in facts.items() if value not in ("", None))


def _checksums(record: Mapping[str, Any], metrics: Mapping[str, Any]) -> Facts:
    inputs = metrics.get("inputs", {})
    checksums = {"spec": record["spec_sha"], **record["outputs"], **inputs}
    return tuple((name, str(value)) for name, value in checksums.items())


def _without_others(value: Any) -> Any:
    """A spec without the specs of runs that have a section of their own."""
    if not isinstance(value, Mapping):
        return value
    return {key: _without_others(inner) for key, inner in value.items() if key not in ELSEWHERE}


def _flat(value: Any, place: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {place: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{place}.{key}" if place else key)
    return flat
