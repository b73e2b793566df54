"""Tokens and mask file names of the synthetic nuScenes root, the same in every build."""

from __future__ import annotations

import hashlib


def token(*parts: object) -> str:
    """Hash the parts of a name into 32 hexadecimal digits."""
    return hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=16).hexdigest()


def mask_name(filename: str) -> str:
    """Path of an image's instance mask: 16-bit, 0 for background, i for the scene's i-th instance."""
    return "masks/" + filename.removesuffix(".jpg") + ".png"
