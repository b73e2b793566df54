"""Dataclasses of numpy columns, each in one .npz without pickles, under a schema and a checksum."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from dualdistill.errors import DataError
from dualdistill.store.files import replacing

Integers = NDArray[np.integer]
Strings = NDArray[np.bytes_]


@dataclass(frozen=True, eq=False)
class Columns:
    """Arrays; the order of fields is the order in the file."""

    SCHEMA: ClassVar[int]
    NOUN: ClassVar[str]  # in error messages
    HINT: ClassVar[str]  # how to make the file again

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file and verify its checksum."""
        noun, where = cls.NOUN, str(path)
        try:
            with np.load(path, allow_pickle=False) as stored:
                if "schema" not in stored:
                    article = "an" if noun[0] in "aeiou" else "a"
                    raise DataError(f"this is not {article} {noun} of this suite", where=where, hint=cls.HINT)
                if int(stored["schema"]) != cls.SCHEMA:
                    what = f"the {noun} has schema {int(stored['schema'])} and this suite reads {cls.SCHEMA}"
                    raise DataError(what, where=where, hint=cls.HINT)
                columns = cls(**{item.name: stored[item.name] for item in fields(cls)})
                stored_sha = str(stored["sha"])
        except FileNotFoundError as error:
            raise DataError(
                f"the {noun} does not exist", where=where, hint="run the rule that makes it"
            ) from error
        except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"the {noun} cannot be read: {error}", where=where, hint=cls.HINT) from error
        if columns.sha != stored_sha:
            raise DataError(f"the {noun} does not match its own checksum", where=where, hint=cls.HINT)
        return columns

    def save(self, path: Path) -> None:
        """Write atomically; equal content gives equal bytes."""
        columns = {item.name: getattr(self, item.name) for item in fields(self)}
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, schema=np.array(self.SCHEMA), sha=np.array(self.sha), **columns)

    @cached_property
    def sha(self) -> str:
        """Hash of the content, independent of the compression."""
        digest = hashlib.sha256(f"schema {self.SCHEMA}".encode())
        for item in fields(self):
            column = np.ascontiguousarray(getattr(self, item.name))
            digest.update(f"{item.name} {column.dtype.str} {column.shape}".encode())
            digest.update(column.data)
        return digest.hexdigest()
