"""Objects of the storage classes that are archives: they cannot be read before they are restored."""

from __future__ import annotations

from collections.abc import Iterable

from bleepstore.access import Action, Caller
from bleepstore.catalog.port import CatalogReader
from bleepstore.catalog.records import FoundObject
from bleepstore.commands import Restored, RestoreObject, Result
from bleepstore.errors import InvalidArgument
from bleepstore.jobs.restorations import RestorationsJob
from bleepstore.model import ARCHIVED_CLASSES, Bucket, Restoration, RestoreTier
from bleepstore.pages import ListedObject, ListedVersion
from bleepstore.store.engine import Engine
from bleepstore.store.stored_objects import StoredObjects

_MAX_DAYS = 100_000


class ArchivedObjects:
    """What is archived. For `caller` see `Buckets`."""

    def __init__(self, engine: Engine, stored: StoredObjects) -> None:
        self._engine = engine
        self._stored = stored
        engine.jobs.add(RestorationsJob(engine.parts))

    def restore_object(
        self,
        bucket: str,
        key: str,
        *,
        days: int,
        tier: RestoreTier = RestoreTier.STANDARD,
        version_id: str | None = None,
        caller: Caller | None = None,
    ) -> Restored:
        """Have an object that is archived (GLACIER, DEEP_ARCHIVE) readable for `days`, to the midnight (UTC) that
        follows; from now on, or once the `restore_delay` of the store is over. If it is readable already, that long
        from now on.

        `tier` EXPEDITED is not for DEEP_ARCHIVE. Raises InvalidArgument, InvalidObjectState if it is not archived,
        ObjectAlreadyInActiveTier, RestoreAlreadyInProgress.
        """

        def submit(found: FoundObject, in_bucket: Bucket) -> Result:
            storage_class = found.version.storage_class
            if storage_class in ARCHIVED_CLASSES and not 1 <= days <= _MAX_DAYS:
                raise InvalidArgument(f"Restoration days must be between 1 and {_MAX_DAYS}", "days", str(days))
            if storage_class == "DEEP_ARCHIVE" and tier == RestoreTier.EXPEDITED:
                raise InvalidArgument("Retrieval option is not supported by this storage class", "tier", tier.value)
            command = RestoreObject(
                **self._engine.stamp(),
                bucket=bucket,
                bucket_id=in_bucket.id,
                key=key,
                version_id=version_id,
                expected_sequence=found.sequence,
                origin=self._engine.origin_of(caller),
                days=days,
                delay_ms=self._engine.settings.restore_delay_ms,
            )
            return self._engine.committer.submit(command)

        _found, result = self._stored.change(bucket, key, version_id, Action.RESTORE_OBJECT, caller, submit)
        assert isinstance(result, Restored)
        return result

    def restorations_of(
        self, bucket: str, rows: Iterable[ListedObject] | Iterable[ListedVersion]
    ) -> list[Restoration | None]:
        """Of each row of a listing of `bucket`, since when and until when it can be read. None: it is not archived, it
        was never restored, or it is gone. Whoever was shown the rows may know."""
        with self._engine.catalog.read() as reader:
            return [_restoration_of(reader, bucket, row) for row in rows]


def _restoration_of(reader: CatalogReader, bucket: str, row: ListedObject | ListedVersion) -> Restoration | None:
    if row.storage_class not in ARCHIVED_CLASSES:
        return None
    if isinstance(row, ListedVersion):
        found = reader.find_version(bucket, row.key, row.version_id, with_data=False)
    else:
        found = reader.find_object(bucket, row.key, with_data=False)
    return None if found is None else found.version.attributes.restoration
