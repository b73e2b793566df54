"""Names in the synthetic nuScenes root: version, scenes, tokens and mask files, the same in every build."""

from __future__ import annotations

import functools
import hashlib

from dualdistill.config.world import WorldSpec

# the scenes' splits under nuScenes' names; it has no third split with annotations, and none for pre-training
OFFICIAL_SPLITS = {"world_train": "train", "world_val": "val"}


def version(spec: WorldSpec) -> str:
    return "v1.0-trainval" if spec.official_names else "v1.0-world"


def split_name(spec: WorldSpec, split: str) -> str:
    """Name of a split in splits.json."""
    return OFFICIAL_SPLITS[split] if spec.official_names else split


def scene_name(spec: WorldSpec, split: str, number: int) -> str:
    if spec.official_names:
        return official_scenes(OFFICIAL_SPLITS[split])[number]
    return f"{split.replace('_', '-')}-{number:04d}"


@functools.cache
def official_scenes(split: str) -> tuple[str, ...]:
    """The scenes of a nuScenes split, from the list in the devkit."""
    from nuscenes.utils import splits  # loads the devkit, which takes a second

    return tuple(getattr(splits, split))


def token(*parts: object) -> str:
    """Hash the parts of a name into 32 hexadecimal digits."""
    return hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=16).hexdigest()


def mask_name(filename: str) -> str:
    """Path of an image's instance mask: 16-bit, 0 for background, i for the scene's i-th instance."""
    return "masks/" + filename.removesuffix(".jpg") + ".png"
