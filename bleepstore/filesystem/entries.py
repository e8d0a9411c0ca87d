"""What a file system says of files, directories and versions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, cast

from bleepstore.model import ObjectVersion
from bleepstore.pages import ListedObject
from bleepstore.store import Store

Entry = dict[str, Any]
_VERSION = "?version_id="


def split_version(path: str) -> tuple[str, str | None]:
    """A path without the version id at its end, and that."""
    name, mark, version_id = path.rpartition(_VERSION)
    return (name, version_id) if mark and version_id else (path, None)


def directory(name: str, created: dt.datetime | None = None) -> Entry:
    entry: Entry = {"name": name, "type": "directory", "size": 0}
    return entry if created is None else entry | {"LastModified": created}


def parents(bucket: str, key: str, base: int) -> list[str]:
    """The directories that lead to a key, below the first `base` characters of it."""
    ends = [end for end in range(base, len(key)) if key[end] == "/" and end > base and key[end - 1] != "/"]
    return [f"{bucket}/{key[:end]}" for end in ends]


def name_of_entry(entry: Entry) -> str:
    return cast("str", entry["name"])


def listed_file(bucket: str, listed: ListedObject) -> Entry:
    return {
        "name": f"{bucket}/{listed.key}",
        "type": "file",
        "size": listed.size,
        "ETag": listed.etag,
        "LastModified": listed.modified,
        "StorageClass": listed.storage_class,
    }


def file(version: ObjectVersion) -> Entry:
    return {
        "name": f"{version.bucket}/{version.key}",
        "type": "file",
        "size": version.size,
        "ETag": version.etag,
        "LastModified": version.modified,
        "StorageClass": version.storage_class,
        "ContentType": version.system.content_type,
        "metadata": dict(version.metadata),
    }


def versions_of(store: Store, bucket: str, key: str) -> Iterator[Entry]:
    """The versions of a file and of those in the directory of this name: in the order of keys, the newest first."""
    for listed in store.iter_object_versions(bucket, prefix=key):
        below = listed.key.removeprefix(f"{key}/" if key else "")
        is_file = listed.key == key or ((below != listed.key or not key) and "/" not in below and below != "")
        if is_file and not listed.is_delete_marker:
            yield {
                "name": f"{bucket}/{listed.key}{_VERSION}{listed.version_id}",
                "type": "file",
                "size": listed.size,
                "ETag": listed.etag,
                "LastModified": listed.modified,
                "StorageClass": listed.storage_class,
                "VersionId": listed.version_id,
                "IsLatest": listed.is_latest,
            }
