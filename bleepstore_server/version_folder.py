"""A directory that keeps the versions of objects.

Those of the key `a/b` are in the folder `a/b.versions`, numbered from the oldest on: `00000001.json` says what is known
of a version, and `00000001.data` has its bytes. A delete marker has no bytes. A version is there once its JSON is.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bleepstore_server.locations import (
    COPIED,
    LOCKS,
    Directory,
    History,
    LocationEntry,
    NotTransferred,
    VerifiedBody,
    key_bytes,
    without_past_retention,
)

_SUFFIX = ".versions"
_JSON, _DATA = ".json", ".data"
_NUMBER = re.compile("[0-9]{8,18}")
_TEXTS = frozenset({*COPIED, *LOCKS, "StorageClass", "Tagging"} - {"Metadata"})
_MAX_JSON = 1024 * 1024
_MAX_REMEMBERED = 1000


class VersionFolder:
    """A `VersionLocation`. For the arguments see `Directory`; `locks` says whether locks go along that are kept here.

    A version id is the number of a version, and means nothing elsewhere.
    """

    def __init__(
        self,
        root: Path,
        refused: Callable[[str, str], None],
        passed_over: Callable[[str, str], None],
        reserved: Path | None = None,
        *,
        locks: bool = False,
    ) -> None:
        self._files = Directory(root, refused, passed_over, reserved, _by_key)
        self._root = root
        self._refused = refused
        self._locks = locks
        #: The highest number of each key that was written last.
        self._last: dict[str, int] = {}

    def histories(self) -> Iterator[History]:
        for folder, files in itertools.groupby(self._files.entries(), lambda file: file.key.rpartition("/")[0]):
            names = {file.key.rpartition("/")[2]: file for file in files}
            if not folder.endswith(_SUFFIX):
                for file in names.values():
                    self._refused(file.key, f"it is no version of an object: those are in folders NAME{_SUFFIX}")
                continue
            key = folder.removesuffix(_SUFFIX)
            try:
                yield History(key, tuple(self._entries(key, names)))
            except (NotTransferred, OSError) as error:
                self._refused(key, str(error))

    def _entries(self, key: str, files: Mapping[str, LocationEntry]) -> Iterator[LocationEntry]:
        """In the order of their numbers. Bytes without JSON are those of a run that was killed."""
        numbers = [name.removesuffix(_JSON) for name in files if name.endswith(_JSON)]
        for number in sorted(filter(_NUMBER.fullmatch, numbers), key=int):
            known = self._read(key, number)
            if known.get("is_delete_marker") is True:
                yield LocationEntry(key, 0, version_id=number, is_delete_marker=True)
                continue
            data, etag = files.get(number + _DATA), known.get("etag")
            if data is None:
                raise NotTransferred(f"{number}{_DATA} is missing")
            yield LocationEntry(key, data.size, etag if isinstance(etag, str) else None, number)

    @contextlib.contextmanager
    def open(self, entry: LocationEntry) -> Iterator[VerifiedBody]:
        known = self._read(entry.key, entry.version_id)
        with self._files.open(LocationEntry(self._file(entry, _DATA), entry.size)) as file:
            yield VerifiedBody(
                file,
                file.size,
                etag=entry.etag,
                part_size=_part_size(known),
                crc64=_text_or_none(known.get("crc64nvme")),
                described=self._described(known),
            )

    def _described(self, known: Mapping[str, Any]) -> dict[str, Any]:
        given = known.get("described")
        if not isinstance(given, dict):
            return {}
        described: dict[str, Any] = {
            name: text for name, text in given.items() if name in _TEXTS and isinstance(text, str)
        }
        metadata = given.get("Metadata")
        if isinstance(metadata, dict):
            described["Metadata"] = {name: text for name, text in metadata.items() if isinstance(text, str)}
        if not self._locks:
            return {name: value for name, value in described.items() if name not in LOCKS}
        if "ObjectLockRetainUntilDate" in described:
            described["ObjectLockRetainUntilDate"] = _read_time(described["ObjectLockRetainUntilDate"])
        return without_past_retention(described)

    def put(self, key: str, body: VerifiedBody) -> None:
        number = self._next_number(key)
        self._files.put(f"{_folder(key)}/{number}{_DATA}", body)
        described = {
            name: value.isoformat() if isinstance(value, dt.datetime) else value
            for name, value in body.described.items()
        }
        known = {"etag": body.etag, "part_size": body.part_size, "crc64nvme": body.crc64, "described": described}
        self._write(key, number, {name: value for name, value in known.items() if value is not None})

    def put_delete_marker(self, key: str) -> None:
        self._write(key, self._next_number(key), {"is_delete_marker": True})

    def remove(self, entry: LocationEntry) -> None:
        for suffix in (_JSON, _DATA):
            self._files.remove(LocationEntry(self._file(entry, suffix), 0))

    def part_size(self, entry: LocationEntry) -> int | None:
        return _part_size(self._read(entry.key, entry.version_id))

    def _file(self, entry: LocationEntry, suffix: str) -> str:
        return f"{_folder(entry.key)}/{entry.version_id}{suffix}"

    def _next_number(self, key: str) -> str:
        last = self._last.get(key)
        if last is None:
            last = max(self._numbers(key), default=0)
            if len(self._last) >= _MAX_REMEMBERED:
                self._last.clear()
        self._last[key] = last + 1
        return f"{last + 1:08}"

    def _numbers(self, key: str) -> Iterator[int]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self._root / _folder(key)) as files:
            for file in files:
                number = file.name.removesuffix(_JSON)
                if number != file.name and _NUMBER.fullmatch(number):
                    yield int(number)

    def _read(self, key: str, number: str | None) -> Mapping[str, Any]:
        name = f"{number}{_JSON}"
        with self._files.open(LocationEntry(f"{_folder(key)}/{name}", 0)) as body:
            text = body.read(_MAX_JSON)
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise NotTransferred(f"{name} does not describe a version")
        return found

    def _write(self, key: str, number: str, known: Mapping[str, Any]) -> None:
        text = json.dumps(known, ensure_ascii=False, indent=1).encode()
        self._files.put(f"{_folder(key)}/{number}{_JSON}", VerifiedBody(io.BytesIO(text), len(text), described={}))


def _folder(key: str) -> str:
    """Raises NotTransferred for a key that would be stored between the versions of another."""
    if any(name.endswith(_SUFFIX) for name in key.split("/")[:-1]):
        raise NotTransferred("the versions of another object would be in a folder of this name")
    return key + _SUFFIX


def _by_key(entry: os.DirEntry[str]) -> bytes:
    """Folders of versions come where their key does."""
    name = os.fsencode(entry.name)
    return name.removesuffix(_SUFFIX.encode()) if name.endswith(_SUFFIX.encode()) else key_bytes(entry)


def _part_size(known: Mapping[str, Any]) -> int | None:
    size = known.get("part_size")
    return size if isinstance(size, int) and size > 0 else None


def _read_time(text: str) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise NotTransferred(f"{text!r} is no time") from None
    return found.replace(tzinfo=found.tzinfo or dt.UTC)


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None
