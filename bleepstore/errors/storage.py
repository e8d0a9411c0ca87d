"""The errors of backends and of the store as a whole: no client's request causes them."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import attrs

from bleepstore.errors.refusals import BleepStoreError, S3Error, StorageFull, StorageUnavailable


@attrs.define
class BlobNotFound(BleepStoreError):
    """A backend no longer has the blob: it was superseded and removed, or its files were tampered with."""

    handle: str

    def __str__(self) -> str:
        return f"no blob {self.handle!r}"


@attrs.define
class UploadNotFound(BleepStoreError):
    """A backend no longer has an upload, which is given as its provider calls it: that or another process ended it."""

    upload: str

    def __str__(self) -> str:
        return f"no upload {self.upload!r}"


@attrs.define
class BlobChanged(BleepStoreError):
    """A conditional write found something else under the name than what it was to replace."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"what is stored as {self.bucket}/{self.key} was changed meanwhile"


@attrs.define
class BlobDamaged(BleepStoreError):
    """What a backend has under a handle is not what it wrote."""

    handle: str
    reason: str

    def __str__(self) -> str:
        return f"blob {self.handle!r} is damaged: {self.reason}"


@attrs.define
class ObjectDamaged(BleepStoreError):
    """The stored bytes of an object, or of a part of an upload, are not those that were written."""

    bucket: str
    key: str
    reason: str

    def __str__(self) -> str:
        return f"the stored bytes of {self.bucket}/{self.key} are damaged: {self.reason}"


@attrs.define
class BlobBusy(BleepStoreError):
    """The blob cannot be deleted while it is being read; try again later."""

    handle: str

    def __str__(self) -> str:
        return f"blob {self.handle!r} is being read"


class StoreError(BleepStoreError):
    """The store as a whole cannot be used as asked."""


class StoreClosed(StoreError):
    """The store was closed; open it again."""


class CatalogDamaged(StoreError):
    """The catalog is not a sound BleepStore catalog; restore it from a backup."""


class ArchiveDamaged(StoreError):
    """The file is no sound backup of a store, or its bytes are not those that were backed up."""


@attrs.frozen(kw_only=True)
class Damage:
    """An object, or a part of an upload (then it has an `upload_id` and a `part_number`), whose stored bytes are not
    those that were written, and why. `handle` is its blob; None if its bytes are in the catalog."""

    bucket: str
    key: str
    version_id: str | None = None
    upload_id: str | None = None
    part_number: int | None = None
    reason: str
    handle: str | None = attrs.field(default=None, repr=False)
    quarantined: bool = False

    def __str__(self) -> str:
        part = "" if self.upload_id is None else f" (part {self.part_number} of upload {self.upload_id})"
        version = "" if self.version_id in (None, "null") else f" (version {self.version_id})"
        return f"{self.bucket}/{self.key}{version}{part}: {self.reason}"


class BackupIncomplete(StoreError):
    """The backup was written, but objects in it are damaged, as they are in the store: `damaged` names each of them.
    `restore(..., skip_damaged=True)` brings the others."""

    def __init__(self, archive: str, damaged: Sequence[Damage]) -> None:
        super().__init__(
            f"{archive} was written, but {len(damaged)} of the store's objects are damaged: restoring it needs "
            "--skip-damaged, which leaves them out"
        )
        self.damaged = tuple(damaged)


class StoreReadOnly(StoreError):
    """The store was opened with `read_only=True`; open it without to change it."""


class CatalogTooOld(StoreError):
    """The catalog is of an older BleepStore; open it once without `read_only=True`, which brings it up to date."""


class NotUnderstood(StoreError):
    """What a newer version has written, of which this one does not know what it means: upgrade this one."""


class CatalogTooNew(StoreError):
    """The catalog was written by a newer BleepStore; upgrade this one."""


#: No space on the device, in the quota, or in one file (a limit of the process or of the file system).
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: The disk fails, or is mounted so that nothing can be written.
_FAILING = frozenset({errno.EIO, errno.EROFS, errno.ENXIO, errno.ENODEV, errno.ESTALE})


def refusal_of(error: OSError) -> S3Error | None:
    """What a failed write means to who asked for it; None if it is no matter of the disk."""
    if error.errno in NO_SPACE:
        return StorageFull()
    return StorageUnavailable() if error.errno in _FAILING else None
