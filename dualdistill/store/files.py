"""Files that are whole or absent: atomic writes, strict JSON, checksums."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dualdistill import faults
from dualdistill.errors import DataError, DiskError

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG)


def atomic_write(path: Path, content: bytes | str) -> None:
    """Write next to the target, flush to disk, rename: a reader sees the old file or the new."""
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; it replaces `path` when the block ends without an error."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            faults.reach_file(path.name, "start")
            yield temporary
            faults.reach_file(path.name, "written")
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            faults.reach_file(path.name, "synced")
            temporary.replace(path)
            _sync_folder(path.parent)
            faults.reach_file(path.name, "renamed")
    finally:
        temporary.unlink(missing_ok=True)


def replace_folder(new: Path, folder: Path) -> None:
    """Put a complete folder in the place of another; a kill leaves the old one, none or the new one."""
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        old = new.with_name(f"{new.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        faults.reach("folder")
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        _sync_folder(folder.parent)
        shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the errors of a disk that cannot be written to into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        what = f"cannot write the file: {os.strerror(error.errno)}"
        hint = "free space or permissions, then rerun"
        raise DiskError(what, where=str(path), hint=hint) from error


def _sync_folder(folder: Path) -> None:
    # without this a power cut may keep the data and lose the name
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON without NaN."""
    atomic_write(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file; a missing or damaged file is a DataError."""
    try:
        return json.loads(path.read_text(), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise DataError(
            "the file does not exist", where=str(path), hint="run the rule that makes it"
        ) from error
    except ValueError as error:
        raise DataError(
            f"not valid JSON: {error}", where=str(path), hint="delete the file and rerun"
        ) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def sha256_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """The same text for equal values: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha_of(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
