"""Tables with one entry per scene (scene, log, map, calibration, instances), and the scene's map mask."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from dualdistill.world.nuscenes import tables
from dualdistill.world.nuscenes.names import token
from dualdistill.world.nuscenes.tables import Row
from dualdistill.world.scene import background
from dualdistill.world.scene.scene import Scene
from dualdistill.world.scene.traffic import Actor

MAP_PIXEL_M = 0.1  # assumed by the devkit


def scene_tables(scene: Scene, samples: list[Row], annotations: dict[int, list[Row]]) -> dict[str, list[Row]]:
    name = scene.name
    log_token = token(name, "log")
    moving = sum(actor.motion.moves for actor in scene.actors)
    synthetic = ["synthetic, not nuScenes"] if scene.spec.official_names else []
    arms = {2: "straight street", 3: "T-junction", 4: "crossroads"}[len(scene.town.arms)]
    scene_row = {
        "token": token(name, "scene"),
        "log_token": log_token,
        "nbr_samples": len(samples),
        "first_sample_token": samples[0]["token"],
        "last_sample_token": samples[-1]["token"],
        "name": name,
        "description": ", ".join(
            [*synthetic, scene.weather.label, arms, *_features(scene), f"{moving} moving objects"]
        ),
    }
    log_row = {
        "token": log_token,
        "logfile": "-".join(["synthetic", name] if synthetic else [name]),
        "vehicle": "world",
        "date_captured": "2025-01-01",
        "location": f"town-{name}",
    }
    map_row = {
        "token": token(name, "map"),
        "log_tokens": [log_token],
        "category": "semantic_prior",
        "filename": f"maps/{token(name, 'map')}.png",
    }
    instance_rows = [
        {
            "token": token(name, "instance", instance),
            "category_token": token("category", scene.actors[instance - 1].asset.category),
            "nbr_annotations": len(rows),
            "first_annotation_token": rows[0]["token"],
            "last_annotation_token": rows[-1]["token"],
        }
        for instance, rows in sorted(annotations.items())
    ]
    return {
        "scene": [scene_row],
        "log": [log_row],
        "map": [map_row],
        "calibrated_sensor": [tables.calibration_row(name, sensor) for sensor in scene.sensors.values()],
        "instance": instance_rows,
    }


def _features(scene: Scene) -> list[str]:
    """Notable features of a scene, for its description."""
    features = [
        ("turning", abs(float(np.ptp(scene.ego.at([0.0, scene.seconds])[1]))) > 0.5),
        ("works", sum(actor.asset.name == "barrier" for actor in scene.actors) > 4),
        ("parked trucks", any(_is_parked(actor, "truck") for actor in scene.actors)),
        ("parked bus", any(_is_parked(actor, "bus") for actor in scene.actors)),
        ("many pedestrians", sum(actor.asset.name == "pedestrian" for actor in scene.actors) > 9),
    ]
    return [words for words, present in features if present]


def _is_parked(actor: Actor, name: str) -> bool:
    return actor.asset.name == name and not actor.motion.moves


def draw_map(scene: Scene) -> Image.Image:
    """Draw the drivable area as the devkit's map mask: white on black, y up."""
    pixels = round(scene.map_size_m / MAP_PIXEL_M)
    image = Image.new("L", (pixels, pixels), 0)
    canvas = ImageDraw.Draw(image)
    for (x0, x1), (y0, y1) in background.drivable(scene.town):
        corners = np.array([(x0, y0, 0), (x1, y0, 0), (x1, y1, 0), (x0, y1, 0)])
        corners_on_map = corners @ scene.town_to_map.rotation_33.T + scene.town_to_map.translation_3
        canvas.polygon(
            [(float(x) / MAP_PIXEL_M, pixels - float(y) / MAP_PIXEL_M) for x, y, _ in corners_on_map],
            fill=255,
        )
    return image
