"""A bundle: one finished run in a zip, behind a manifest that names and hashes everything in it.

The same content gives the same bytes. The manifest also holds the run's spec, the host and versions that made
it, and a seal over itself. In the folder of a run that was taken in, it is kept as `bundle.json`.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from dualdistill.errors import DataError
from dualdistill.store.files import read_json, replacing, sha_of, write_json

FORMAT, SCHEMA = "dualdistill bundle", 1
MANIFEST, KEPT = "manifest.json", "bundle.json"
SUFFIX = ".zip"
TIME = (1980, 1, 1, 0, 0, 0)  # of every member, the earliest that a zip can state
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, RuntimeError, OSError)
AGAIN = "get the file again from where it was packed"


@dataclass(frozen=True)
class Member:
    """A file of the run, by the hash of its bytes in the zip."""

    sha256: str
    content: str | None = None  # hash of the file itself, where the zip holds it in another form

    @property
    def file_sha(self) -> str:
        return self.content or self.sha256


@dataclass(frozen=True)
class Manifest:
    """The content of a bundle."""

    run: str
    kind: str
    spec_sha: str
    spec: dict[str, Any]
    versions: dict[str, int]  # of prediction and evaluation; those of the training are in the spec
    made_on: dict[str, Any]  # host, packages and code of the training
    members: dict[str, Member] = field(default_factory=dict)  # by their path in the run's folder

    @property
    def host(self) -> str:
        return str(self.made_on.get("host", "the machine that trained it"))

    def content(self) -> dict[str, Any]:
        """The JSON of the manifest, sealed."""
        content = {"format": FORMAT, "schema": SCHEMA, **asdict(self)}
        return content | {"seal": sha_of(content)}


def name_of(path: str, member: Member) -> str:
    """Name of a file in the zip."""
    return f"{path}.planes" if member.content else path


def write(path: Path, manifest: Manifest, members: Mapping[str, bytes]) -> None:
    """Write a bundle; weights are noise to a compressor and stored as they are."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        files = {name_of(file, manifest.members[file]): content for file, content in sorted(members.items())}
        text = json.dumps(manifest.content(), indent=1, sort_keys=True).encode()
        for name, content in {MANIFEST: text, **files}.items():
            entry = zipfile.ZipInfo(name, TIME)
            entry.external_attr = 0o644 << 16
            entry.compress_type = (
                zipfile.ZIP_STORED if name.endswith(".safetensors") else zipfile.ZIP_DEFLATED
            )
            archive.writestr(entry, content, compresslevel=9)


def read_manifest(path: Path) -> Manifest:
    """The manifest of a bundle, without reading the rest."""
    try:
        with zipfile.ZipFile(path) as archive:
            if MANIFEST not in archive.namelist():
                raise DataError("not a bundle of this suite: it has no manifest", where=str(path))
            content = json.loads(archive.read(MANIFEST))
    except FileNotFoundError as error:
        raise DataError("the file does not exist", where=str(path)) from error
    except UNREADABLE as error:
        raise DataError(f"the bundle cannot be read: {_why(error)}", where=str(path), hint=AGAIN) from error
    return _parsed(content, path)


def read(path: Path) -> tuple[Manifest, dict[str, bytes]]:
    """A bundle with all its members, each verified by its hash."""
    manifest, members = read_manifest(path), {}
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name_of(file, member) for file, member in manifest.members.items()}
            if {*archive.namelist()} != {MANIFEST, *names}:
                raise DataError("its members are not those of its manifest", where=str(path), hint=AGAIN)
            for file, member in manifest.members.items():
                members[file] = archive.read(name_of(file, member))
    except UNREADABLE as error:
        raise DataError(f"the bundle cannot be read: {_why(error)}", where=str(path), hint=AGAIN) from error
    for file, content in members.items():
        if sha256(content).hexdigest() != manifest.members[file].sha256:
            raise DataError(f"{file} in it is not the one of its manifest", where=str(path), hint=AGAIN)
    return manifest, members


def keep(folder: Path, manifest: Manifest) -> None:
    """Leave the manifest in the folder of a run that was taken in."""
    write_json(folder / KEPT, manifest.content())


def read_kept(folder: Path) -> Manifest | None:
    """The manifest in a run's folder; None for a run that was not taken in."""
    path = folder / KEPT
    return _parsed(read_json(path), path) if path.exists() else None


def _parsed(content: Any, path: Path) -> Manifest:
    """Check format, schema and seal of a manifest."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError("not a bundle of this suite: its manifest is another's", where=str(path))
    schema = content.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        what = f"made by a newer version of this suite (schema {schema}, this one reads {SCHEMA})"
        raise DataError(what, where=str(path), hint="update the suite")
    sealed = {key: value for key, value in content.items() if key != "seal"}
    if content.get("seal") != sha_of(sealed):
        what = "the manifest was changed after it was packed: its seal does not fit"
        raise DataError(what, where=str(path), hint=AGAIN)
    values = {key: value for key, value in sealed.items() if key not in ("format", "schema")}
    values["members"] = {file: Member(**member) for file, member in values["members"].items()}
    manifest = Manifest(**values)
    named = Path(manifest.run).name == manifest.run and manifest.run.endswith(manifest.spec_sha[:10])
    if sha_of(manifest.spec) != manifest.spec_sha or not named:
        what = f"its spec is not that of run {manifest.run}"
        raise DataError(what, where=str(path), hint=AGAIN)
    return manifest


def _why(error: Exception) -> str:
    return str(error).strip("'\"") or type(error).__name__
