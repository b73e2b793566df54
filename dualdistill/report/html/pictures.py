"""Figures as data URIs, in the format that looks best on a screen."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from dualdistill.errors import DataError

LARGE = 200_000  # bytes; a larger drawing is replaced by its raster file, a larger raster file is compressed
WIDEST_PX = 1600
RASTERS = (".png", ".jpg", ".jpeg", ".webp")


@dataclass(frozen=True)
class Picture:
    name: str  # of the file, without its folder and ending
    title: str
    rows: frozenset[str]  # of variants.yaml
    source: str  # data URI
    files: tuple[str, ...]  # all formats


def load(paths: Sequence[Path], views: Mapping[str, Any], titles: Mapping[str, str]) -> tuple[Picture, ...]:
    """The pictures of these files; `views` are the figures of figures.yaml, `titles` those of the tables."""
    formats: dict[Path, list[Path]] = {}
    for path in paths:
        formats.setdefault(path.with_suffix(""), []).append(path)
    return tuple(
        Picture(
            name=stem.name,
            title=_title(stem.name, views.get(stem.name, {}), titles),
            rows=_rows(views.get(stem.name, {})),
            source=_source(shown),
            files=tuple(sorted(path.name for path in files)),
        )
        for stem, files in formats.items()
        if (shown := _best(files))
    )


def _title(name: str, view: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    return str(view.get("title") or titles.get(view.get("table", "")) or name.replace("_", " "))


def _rows(view: Mapping[str, Any]) -> frozenset[str]:
    named = (view.get("student"), view.get("teacher"), *view.get("rows", ()))
    return frozenset(row for row in named if row)


def _best(files: Sequence[Path]) -> Path | None:
    drawing = next((path for path in files if path.suffix == ".svg"), None)
    raster = next((path for ending in RASTERS for path in files if path.suffix == ending), None)
    if drawing and raster and drawing.stat().st_size > LARGE:
        return raster
    return drawing or raster


def _source(path: Path) -> str:
    content = path.read_bytes()
    kind = {".svg": "svg+xml", ".jpg": "jpeg"}.get(path.suffix, path.suffix[1:])
    if path.suffix in RASTERS and len(content) > LARGE:
        content, kind = _compressed(path), "webp"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _compressed(path: Path) -> bytes:
    try:
        with Image.open(path) as image:
            image.thumbnail((WIDEST_PX, WIDEST_PX * 4))
            stream = io.BytesIO()
            image.convert("RGB").save(stream, "WEBP", quality=82)
    except OSError as error:
        raise DataError("not a picture", where=str(path), hint="run its rule again") from error
    return stream.getvalue()
