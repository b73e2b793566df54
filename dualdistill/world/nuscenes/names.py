"""Tokens and file names of the synthetic nuScenes root, derived from names so that every build gives the same."""

from __future__ import annotations

import hashlib


def token(*parts: object) -> str:
    """32 hexadecimal digits that name something for good."""
    return hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=16).hexdigest()


def mask_name(filename: str) -> str:
    """Where an image's instance mask lies: 16-bit, 0 background, i for the scene's i-th instance."""
    return "masks/" + filename.removesuffix(".jpg") + ".png"
