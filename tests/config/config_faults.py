"""Faults in a copy of config/, each with the error message that it must give."""

import re
from collections.abc import Callable
from pathlib import Path

Spoil = Callable[[str], str]


def spoil(folder: Path, name: str, change: Spoil) -> None:
    path = folder / name
    before = path.read_text()
    path.write_text(change(before))
    assert path.read_text() != before


def row(text: str) -> Spoil:
    return lambda before: before + text + "\n"


def swap(old: str, new: str) -> Spoil:
    return lambda before: before.replace(old, new, 1)


def rewrite(pattern: str, new: str) -> Spoil:
    """Replace a pattern, for numbers of a profile, which are tuned and change."""
    return lambda before: re.sub(pattern, new, before, count=1, flags=re.MULTILINE)


FULL = "dualdistill-r50-centerpoint"
FAULTS = {
    "unknown key": (
        "variants.yaml",
        row(f"temp-0.5: {{from: {FULL}, temprature: 0.5}}"),
        "unknown key 'temprature' in row 'temp-0.5' (did you mean 'temperature'?)",
    ),
    "option of a method on a row without one": (
        "variants.yaml",
        row("x: {from: bevdepth-r50, temperature: 0.5}"),
        "unknown key 'temperature' in row 'x'",
    ),
    "wrong type": (
        "variants.yaml",
        row(f"x: {{from: {FULL}, crd: 1}}"),
        "'crd' in row 'x' must be true or false, not 1",
    ),
    "out of range": (
        "variants.yaml",
        row(f"x: {{from: {FULL}, temperature: 0}}"),
        "'temperature' in row 'x' must be above 0, not 0",
    ),
    "neither the number nor the word": (
        "config.yaml",
        swap("\nloaders: auto", "\nloaders: many"),
        "'loaders' must be a whole number or auto, not the text 'many'",
    ),
    "a number out of range where a word could stand": (
        "config.yaml",
        swap("\nloaders: auto", "\nloaders: -1"),
        "'loaders' must be at least 0, not -1",
    ),
    "none of the words and no number": (
        "variants.yaml",
        row("x: {from: bevdepth-r50, input.decode: slow}"),
        "'input.decode' in row 'x' must be exact, fast or a whole number, not the text 'slow'",
    ),
    "a method of a profile that is none": (
        "profiles/world.yaml",
        row("methods: {dualdistil: {mfd_weight: 0.5}}"),
        "unknown key 'dualdistil' in 'methods' (did you mean 'dualdistill'?)",
    ),
    "an option of a profile's method that it does not have": (
        "profiles/world.yaml",
        row("methods: {dualdistill: {mfd_wait: 0.5}}"),
        "unknown key 'mfd_wait' in 'methods.dualdistill' (did you mean 'mfd_weight'?)",
    ),
    "an option of a profile's method out of range": (
        "profiles/world.yaml",
        row("methods: {dualdistill: {mfd_weight: -0.5}}"),
        "'mfd_weight' in 'methods.dualdistill' must be at least 0, not -0.5",
    ),
    "a batch that does not divide": (
        "variants.yaml",
        row(f"x: {{from: {FULL}, schedule.batch: 4, schedule.batch_per_device: 3}}"),
        "row 'x': a batch of 4 is not a multiple of batch_per_device 3",
    ),
    "a momentum without its cycle": (
        "variants.yaml",
        row("x: {from: centerpoint, schedule.cycle_momentum: true}"),
        "row 'x': cycle_momentum belongs to policy cyclic, and the policy is cosine",
    ),
    "a batch of a profile that does not divide": (
        "profiles/world.yaml",
        rewrite(r"^    batch: 4$", "    batch: 4\n    batch_per_device: 3"),
        "a batch of 4 is not a multiple of batch_per_device 3",
    ),
    "below zero": (
        "variants.yaml",
        row(f"x: {{from: {FULL}, crd_weight: -1.0}}"),
        "'crd_weight' in row 'x' must be at least 0, not -1.0",
    ),
    "not a choice": (
        "variants.yaml",
        row(f"x: {{from: {FULL}, labels: techer}}"),
        "'labels' in row 'x' must be one of teacher, gt, soft, not the text 'techer' (did you mean",
    ),
    "number as text": (
        "variants.yaml",
        row(f"x: {{from: {FULL}, temperature: 1e-3}}"),
        "'temperature' in row 'x' must be a number, not the text '1e-3' (YAML reads 1e-3 as text, write",
    ),
    "off instead of a word": (
        "variants.yaml",
        row(f"x: {{from: {FULL}, alignment: off}}"),
        'YAML reads off as false (write false, or "off" in quotes)',
    ),
    "number of the profile out of range": (
        "variants.yaml",
        row(f"x: {{from: {FULL}, schedule.ema: 1.5}}"),
        "'schedule.ema' in row 'x' must be below 1, not 1.5",
    ),
    "unknown number of the profile": (
        "variants.yaml",
        row(f"x: {{from: {FULL}, schedule.epoch: 3}}"),
        "unknown key 'schedule.epoch' in row 'x' (did you mean 'schedule.epochs'?)",
    ),
    "the same row twice": (
        "variants.yaml",
        row("centerpoint: {model: centerpoint}"),
        "key 'centerpoint' is written twice (first in line",
    ),
    "circle": (
        "variants.yaml",
        row("x: {from: y}\ny: {from: x}"),
        "rows start from each other in a circle: x -> y -> x",
    ),
    "unknown parent": (
        "variants.yaml",
        row("x: {from: bevdepth-r5}"),
        "row 'x' starts from the unknown row 'bevdepth-r5' (did you mean 'bevdepth-r50'?)",
    ),
    "unknown method": (
        "variants.yaml",
        row("x: {from: bevdepth-r50, method: dualdistil, teacher: centerpoint}"),
        "unknown method 'dualdistil' in row 'x' (did you mean 'dualdistill'?)",
    ),
    "unknown model": ("variants.yaml", row("x: {model: bevdept}"), "unknown model 'bevdept' in row 'x' (did"),
    "unknown backbone": (
        "variants.yaml",
        row("x: {from: bevdepth-r50, backbone: r5}"),
        "unknown backbone 'r5' in row 'x' (did you mean 'r50'?)",
    ),
    "unknown teacher": (
        "variants.yaml",
        row(f"x: {{from: {FULL}, teacher: centrepoint}}"),
        "row 'x' learns from the unknown row 'centrepoint' (did you mean 'centerpoint'?)",
    ),
    "a student as teacher": (
        "variants.yaml",
        row(f"x: {{from: {FULL}, teacher: bevdepth-r50}}"),
        "row 'x' learns from 'bevdepth-r50', which is not a teacher (choose from centerpoint, every-ring-2,",
    ),
    "method without teacher": (
        "variants.yaml",
        row("x: {from: bevdepth-r50, method: dualdistill}"),
        "row 'x' has a method but no teacher (add teacher:)",
    ),
    "teacher with a backbone": (
        "variants.yaml",
        row("x: {from: centerpoint, backbone: r50}"),
        "row 'x' trains the teacher 'centerpoint' (only students have",
    ),
    "row without a model": ("variants.yaml", row("x: {backbone: r50}"), "row 'x' names no model (add model:"),
    "row name": ("variants.yaml", row("A Row: {model: centerpoint}"), "unknown key 'A Row'"),
    "table of an unknown row": (
        "tables.yaml",
        row("      - {row: bevdepth-r52}"),
        "table 'table_main' names the unknown row 'bevdepth-r52' (did you mean 'bevdepth-r50'?)",
    ),
    "baseline that is not in the table": (
        "tables.yaml",
        swap("baseline: bevdepth-r50", "baseline: bevdepth-r5"),
        "table 'table_main' names the unknown baseline 'bevdepth-r5' (did you mean 'bevdepth-r50'?)",
    ),
    "unknown reported line": (
        "tables.yaml",
        swap("r50_ours_cp", "r50_our_cp"),
        "table 'table_main' names the unknown reported 'r50_our_cp' (did you mean 'r50_ours_cp'?)",
    ),
    "unknown column": (
        "tables.yaml",
        swap("[backbone,", "[backbon,"),
        "table 'table_main' names the unknown column 'backbon' (did you mean 'backbone'?)",
    ),
    "unknown key of a line": (
        "tables.yaml",
        swap("reported: r50_ours_cp", "report: r50_ours_cp"),
        "unknown key 'report' in 'tables.table_main.rows.2' (did you mean 'reported'?)",
    ),
    "claim on an unknown row": (
        "claims.yaml",
        swap("row: dualdistill-r50-centerpoint", "row: dualdistil-r50-centerpoint"),
        "claim 'distillation_helps' names the unknown row 'dualdistil-r50-centerpoint' (did you mean",
    ),
    "claim over an unknown row": (
        "claims.yaml",
        swap("beats: bevdepth-r101", "beats: bevdepth-r11"),
        "claim 'distillation_helps' names the unknown row 'bevdepth-r11' (did you mean 'bevdepth-r101'?)",
    ),
    "claim without pairs": (
        "claims.yaml",
        row("  empty: {says: Nothing}"),
        "claim 'empty' needs either pairs or a trend",
    ),
    "claim with pairs and a trend": (
        "claims.yaml",
        row("  both: {says: Two, pairs: [{row: bevdepth-r101, beats: bevdepth-r50}], trend: [[a, b]]}"),
        "claim 'both' needs either pairs or a trend",
    ),
    "trend over an unknown row": (
        "claims.yaml",
        row("  order: {says: Ordered, trend: [[bevdepth-r50, bevdepth-r11]]}"),
        "claim 'order' names the unknown row 'bevdepth-r11' (did you mean 'bevdepth-r101'?)",
    ),
    "trend over a single row": (
        "claims.yaml",
        row("  order: {says: Ordered, trend: [[bevdepth-r50]]}"),
        "claim 'order' has a trend over a single row",
    ),
    "margin that is not positive": (
        "claims.yaml",
        swap("margin: 2.0", "margin: 0.0"),
        "'margin' must be above 0, not 0",
    ),
    "level above 1": (
        "claims.yaml",
        swap("level: 0.95", "level: 95"),
        "'level' must be below 1, not 95",
    ),
    "sweep without values": (
        "variants.yaml",
        row(f"t: {{from: {FULL}, temperature: []}}"),
        "'temperature' in row 't' is an empty list (a sweep needs values)",
    ),
    "sweep with a value twice": (
        "variants.yaml",
        row(f"t: {{from: {FULL}, temperature: [0.5, 0.5]}}"),
        "the sweep 't' makes the row 't-0.5' a second time (rename one of the two)",
    ),
    "sweep that makes an existing row": (
        "variants.yaml",
        row(f"t-0.5: {{from: {FULL}}}\nt: {{from: {FULL}, temperature: [0.5]}}"),
        "the sweep 't' makes the row 't-0.5' a second time (rename one of the two)",
    ),
    "wrong value in a sweep": (
        "variants.yaml",
        row(f"t: {{from: {FULL}, temperature: [0.5, 0]}}"),
        "'temperature' in row 't-0' must be above 0, not 0",
    ),
    "a sweep as parent": (
        "variants.yaml",
        row(f"t: {{from: {FULL}, temperature: [2.0, 4.0]}}\nx: {{from: t}}"),
        "row 'x' starts from the unknown row 't'",
    ),
    "more rings than the limit": (
        "variants.yaml",
        row("x: {from: centerpoint, input.every_ring: 33}"),
        "'input.every_ring' in row 'x' must be at most 32, not 33",
    ),
    "a LiDAR option on a student": (
        "variants.yaml",
        row("x: {from: bevdepth-r50, input.every_ring: 4}"),
        "unknown key 'input.every_ring' in row 'x'",
    ),
    "virtual points from a degraded LiDAR": (
        "variants.yaml",
        row("x: {from: mvp, input.range_noise_m: 0.1}"),
        "row 'x' degrades the LiDAR of a teacher with virtual points (they are made from the whole cloud",
    ),
    "depth from points that the teacher lacks": (
        "variants.yaml",
        row("x: {from: dualdistill-r50-centerpoint, input.depth_points: virtual}"),
        "row 'x' takes depth from virtual points, which its teacher does not have (teacher: mvp, or",
    ),
    "weights of an unknown row": (
        "variants.yaml",
        row("x: {from: mvp, weights: mvq}"),
        "row 'x' has the weights of the unknown row 'mvq' (did you mean 'mvp'?)",
    ),
    "weights of another network": (
        "variants.yaml",
        row("x: {from: mvp, weights: mvp, model.neck_channels: 16}"),
        "row 'x' has the weights of 'mvp', which is another network (model, backbone and every model.*",
    ),
    "weights for a student": (
        "variants.yaml",
        row("x: {from: bevdepth-r50, weights: centerpoint}"),
        "row 'x' has the weights of 'centerpoint', which is not a student",
    ),
    "a student's weights of another backbone": (
        "variants.yaml",
        row("x: {from: bevdepth-r50, weights: bevdepth-r101}"),
        "row 'x' has the weights of 'bevdepth-r101', which is another network (model, backbone and every",
    ),
    "weights in a circle": (
        "variants.yaml",
        row("x: {from: mvp, weights: y}\ny: {from: mvp, weights: x}"),
        "rows have each other's weights in a circle: x -> y -> x",
    ),
    "unknown profile": (
        "config.yaml",
        swap("profile: world", "profile: wrld"),
        "unknown profile 'wrld' (did you mean 'world'?)",
    ),
    "unknown split": (
        "config.yaml",
        swap("split: val", "split: test"),
        "'split' must be one of val, dev, not the text 'test'",
    ),
    "unknown recipe": (
        "config.yaml",
        swap("recipe: matched", "recipe: as_publishd"),
        "unknown recipe 'as_publishd' (did you mean 'as_published'?)",
    ),
    "the same seed twice": ("config.yaml", swap("[0]", "[0, 0]"), "'seeds' holds the same entry twice"),
    "a block missing from the profile": (
        "profiles/world.yaml",
        rewrite(r"^backbones:\n(  .*\n)+", ""),
        "missing key 'backbones'",
    ),
    "a typo in the base of all schedules": (
        "profiles/world.yaml",
        swap("    policy: cosine", "    policy: cosin"),
        "'policy' in 'schedules.student' must be one of step, cosine, cyclic, not the text 'cosin' (did you",
    ),
    "unknown student network": (
        "profiles/world.yaml",
        swap("  bevdepth:", "  bevdept:"),
        "unknown student 'bevdept' (did you mean 'bevdepth'?)",
    ),
    "an empty split": (
        "profiles/world.yaml",
        rewrite(r"val_scenes: \d+", "val_scenes: 0"),
        "'val_scenes' in 'data.world' must be above 0",
    ),
    "a grid that is not a multiple of 8 cells": (
        "profiles/world.yaml",
        rewrite(r"^grid: .*", "grid: {half_extent_m: 25.6, cell_m: 0.7}"),
        "a grid of 51.2 m in cells of 0.7 m is not a multiple of 8 cells",
    ),
    "a backbone with an unknown number": (
        "profiles/world.yaml",
        swap("model.depth: 101", "model.dept: 101"),
        "unknown key 'model.dept' in backbone 'r101' (did you mean 'model.depth'?)",
    ),
    "unknown start": (
        "variants.yaml",
        row("x: {from: bevdepth-r50, model.start: pretraind}"),
        "'model.start' in row 'x' must be one of random, pretrained, imagenet, not the text 'pretraind' (did",
    ),
    "a row that starts from a detector": (
        "variants.yaml",
        row("x: {from: bevdepth-r50, model.start: detector}"),
        "'model.start' in row 'x' must be one of random, pretrained, imagenet, not the text 'detector' "
        "(students no longer start from a trained detector: write pretrained, and give them a whole training",
    ),
    "a profile that starts from a detector": (
        "profiles/world.yaml",
        swap("start: pretrained", "start: detector"),
        "'start' in 'students.bevdepth' must be one of random, pretrained, imagenet, not the text 'detector' "
        "(students no longer start from a trained detector: write pretrained, and give them a whole training",
    ),
    "a profile with a detector": (
        "profiles/world.yaml",
        row("detector: {cell_class_weight: 5.0}"),
        "unknown key 'detector' (no run trains a detector for students to start from any more: leave it out)",
    ),
    "a profile with a detector's schedule": (
        "profiles/world.yaml",
        swap("schedules:\n", "schedules:\n  grown: {epochs: 2}\n"),
        "unknown key 'grown' in 'schedules' (no run trains a detector for students to start from any more:",
    ),
    "devices of a detector": (
        "config.yaml",
        swap("{pretrain: 1,", "{pretrain: 1, detector: 1,"),
        "unknown key 'detector' in 'devices' (no run trains a detector for students to start from any more:",
    ),
    "a teacher's seed that is neither a number nor the word": (
        "config.yaml",
        swap("teacher_seed: null", "teacher_seed: own"),
        "'teacher_seed' must be a whole number or each, not the text 'own'",
    ),
    "a length without effect": (
        "variants.yaml",
        row("x: {from: bevdepth-r50, schedule.total_steps: 90}\ny: {from: x, schedule.epochs: 3}\n"),
        "row 'y' sets schedule.epochs, and schedule.total_steps decides (add schedule.total_steps: null)",
    ),
    "a table that keeps an unknown word": (
        "tables.yaml",
        row("    show: {backbone: [ResNet-5]}"),
        "table 'table_main' names the unknown word 'ResNet-5' (did you mean 'ResNet-50'?)",
    ),
    "a table that keeps no row": (
        "tables.yaml",
        row("    show: {backbone: [ResNet-50], base: [BEVDepth], teacher: ['']}"),
        "table 'table_main' shows no row (name fewer columns)",
    ),
    "a pre-training without a split": (
        "profiles/world.yaml",
        swap("pretrain_split: world_pretrain", "pretrain_split: null"),
        "row 'bevdepth-r50' starts from a pre-training and 'data.pretrain_split' is null (fill it in, or",
    ),
    "unknown backbone of ImageNet weights": (
        "config.yaml",
        swap("r101: null", "r18: null"),
        "unknown key 'r18' in 'imagenet' (choose from r101, r50)",
    ),
    "unknown masks": (
        "variants.yaml",
        row("x: {from: mvp, model.virtual.masks: orcle}"),
        "'model.virtual.masks' in row 'x' must be one of oracle, noisy, file, not the text 'orcle' (did you",
    ),
    "noisy masks without damage": (
        "variants.yaml",
        row("x: {from: mvp, model.virtual.damage: null}"),
        "row 'x' asks for noisy masks, and model.virtual.damage is null (see teachers.mvp in",
    ),
    "virtual points of a teacher without them": (
        "variants.yaml",
        row("x: {from: centerpoint, model.virtual.per_mask: 20}"),
        "unknown key 'model.virtual.per_mask' in row 'x'",
    ),
    "a reported number": ("reported.csv", swap("35.1", "3S.1"), "'3S.1' is not a number"),
    "a reported certainty": ("reported.csv", swap("inferred", "infered"), "unknown word 'infered' (did"),
}
