"""Constants of nuScenes: channels, classes, CenterHead's tasks, and the limits of the detection benchmark."""

LIDAR = "LIDAR_TOP"
CAMERAS = (
    "CAM_FRONT_LEFT",
    "CAM_FRONT",
    "CAM_FRONT_RIGHT",
    "CAM_BACK_LEFT",
    "CAM_BACK",
    "CAM_BACK_RIGHT",
)
CHANNELS = (LIDAR, *CAMERAS)
CLASSES = (
    "car",
    "truck",
    "construction_vehicle",
    "bus",
    "trailer",
    "barrier",
    "motorcycle",
    "bicycle",
    "pedestrian",
    "traffic_cone",
)
BACKGROUND = len(CLASSES)  # label of everything else
TASKS = (
    ("car",),
    ("truck", "construction_vehicle"),
    ("bus", "trailer"),
    ("barrier",),
    ("motorcycle", "bicycle"),
    ("pedestrian", "traffic_cone"),
)

BENCHMARK = "detection_cvpr_2019"  # the devkit's configuration of the official evaluation
MAX_BOXES = 500  # per sample, in BENCHMARK
# errors that the benchmark does not define: a barrier has no velocity or attribute, a cone also no heading
UNDEFINED_ERRORS = {"barrier": ("vel_err", "attr_err"), "traffic_cone": ("vel_err", "attr_err", "orient_err")}

_VEHICLE = ("vehicle.moving", "vehicle.parked", "vehicle.stopped")
_CYCLE = ("cycle.with_rider", "cycle.without_rider")
_PEDESTRIAN = ("pedestrian.moving", "pedestrian.standing", "pedestrian.sitting_lying_down")
# allowed attributes by class; "" is always allowed
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "car": _VEHICLE,
    "truck": _VEHICLE,
    "construction_vehicle": _VEHICLE,
    "bus": _VEHICLE,
    "trailer": _VEHICLE,
    "barrier": (),
    "motorcycle": _CYCLE,
    "bicycle": _CYCLE,
    "pedestrian": _PEDESTRIAN,
    "traffic_cone": (),
}
ATTRIBUTE_NAMES = (*_VEHICLE, *_CYCLE, *_PEDESTRIAN)
MOVING_MPS = 0.2
# predicted attribute by class, above and below that speed
ATTRIBUTE_BY_MOTION = {
    "car": ("vehicle.moving", "vehicle.parked"),
    "truck": ("vehicle.moving", "vehicle.parked"),
    "construction_vehicle": ("vehicle.moving", "vehicle.parked"),
    "bus": ("vehicle.moving", "vehicle.stopped"),
    "trailer": ("vehicle.moving", "vehicle.parked"),
    "barrier": ("", ""),
    "motorcycle": ("cycle.with_rider", "cycle.without_rider"),
    "bicycle": ("cycle.with_rider", "cycle.without_rider"),
    "pedestrian": ("pedestrian.moving", "pedestrian.standing"),
    "traffic_cone": ("", ""),
}
