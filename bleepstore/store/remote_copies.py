"""How a version is copied to a bucket at another endpoint of S3.

The copy is an object that is written there: it has an id and a time of its own, and for large objects another ETag. Its
user metadata say of which version it is one, so that a copy whose end was not noted is known when it is tried again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from bleepstore.errors import AccessDenied, ServiceUnavailable
from bleepstore.model import STORAGE_CLASSES
from bleepstore.remotes import Remote, RemoteBucket, RemoteCopy, RemoteLatest, RemoteRefused
from bleepstore.store.engine import Engine
from bleepstore.store.replicating import Source
from bleepstore.store.stored_objects import StoredObjects


class RemoteCopies:
    """The destinations of a store at other endpoints, by their names."""

    def __init__(self, engine: Engine, stored: StoredObjects, remotes: Mapping[str, Remote]) -> None:
        self._engine = engine
        self._stored = stored
        self._remotes = remotes
        self._open: dict[str, dict[str, RemoteBucket]] = {}

    def copy(self, source: Source) -> str | None:
        """Copy a version; the id that it has there. Raises RemoteRefused, and what may be over later."""
        bucket = self._bucket(source)
        if source.version.is_delete_marker:
            return self._copy_marker(source, bucket)
        version, known, mark = source.version, source.known, source.replica_id
        if known is not None and known.version_id is not None:
            bucket.update(version.key, known.version_id, version)
            return known.version_id
        latest = bucket.latest(version.key)
        if latest is not None and latest.mark == mark:
            bucket.update(version.key, latest.version_id, version)
            return latest.version_id
        self._check_order(source, latest)
        return self._put(source, bucket)

    def _check_order(self, source: Source, latest: RemoteLatest | None) -> None:
        """What is written there becomes the latest version: a version must not hide the copy of a newer one."""
        if latest is None or latest.mark is None:
            return
        with self._engine.catalog.read() as reader:
            newer = reader.find_version(source.bucket.name, source.version.key, latest.mark, with_data=False)
        if newer is not None and newer.sequence > source.found.sequence:
            raise RemoteRefused("A newer version of the object was copied already, and would be hidden by this one.")

    def _copy_marker(self, source: Source, bucket: RemoteBucket) -> str | None:
        """There is nothing to do where the latest version is one."""
        latest = bucket.latest(source.version.key)
        if latest is None or latest.is_delete_marker:
            return None if latest is None else latest.version_id
        self._check_order(source, latest)
        return bucket.delete(source.version.key)

    def _put(self, source: Source, bucket: RemoteBucket) -> str | None:
        version, wanted = source.version, source.rule.storage_class
        storage_class = wanted if wanted in STORAGE_CLASSES else version.storage_class
        copy = RemoteCopy(
            version=version, mark=source.replica_id, storage_class=storage_class, key_id=source.rule.key_id
        )
        with self._stored.open_found(source.found) as body:
            return bucket.put(version.key, copy, body)

    def _bucket(self, source: Source) -> RemoteBucket:
        destination, bucket = source.rule.destination, source.bucket
        remote = self._remotes.get(destination)
        if remote is None:
            raise ServiceUnavailable(f"The replication destination {destination!r} is not configured here.")
        if not remote.serves(bucket.owner.id, self._engine.owner.id):
            raise AccessDenied(f"The replication destination {destination!r} is not for this account.")
        opened = self._open.setdefault(destination, {})
        if bucket.name not in opened:
            opened[bucket.name] = remote.open(bucket.name)
        return opened[bucket.name]

    def close(self, destination: str) -> None:
        """Release the connections to a destination."""
        for opened in self._open.pop(destination, {}).values():
            with contextlib.suppress(Exception):  # whatever it, or a program's own, says of a lost one
                opened.close()
