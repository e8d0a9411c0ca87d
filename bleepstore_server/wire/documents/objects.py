"""Documents of objects: deletes, copies, attributes, forms."""

from __future__ import annotations

from collections.abc import Sequence

from bleepstore.commands import DeleteEntry
from bleepstore.model import RestoreTier
from bleepstore.preconditions import WriteCondition
from bleepstore_server.wire.documents.common import CHECKSUMS
from bleepstore_server.wire.documents.declare import (
    BOOLEAN,
    ETAG,
    INTEGER,
    NUMBER,
    TIME,
    child,
    choice,
    document,
    element,
    elements,
    one_of,
)

MAX_DELETES = 1000
_OF_DIRECTORIES = "LastModifiedTime and Size are for directory buckets only."


@document(refuses={"LastModifiedTime": _OF_DIRECTORIES, "Size": _OF_DIRECTORIES})
class ObjectIdentifier:
    key: str = element("Key")
    version_id: str | None = element("VersionId", default=None)
    etag: str | None = element("ETag", ETAG, default=None)

    def entry(self) -> DeleteEntry:
        condition = WriteCondition(if_match=self.etag)
        return DeleteEntry(key=self.key, version_id=self.version_id or None, condition=condition)


@document("Delete")
class Delete:
    objects: Sequence[ObjectIdentifier] = elements("Object", ObjectIdentifier, at_least=1, at_most=MAX_DELETES)
    quiet: bool = element("Quiet", BOOLEAN, default=False)


@document()
class Deleted:
    key: str = element("Key")
    version_id: str | None = element("VersionId", default=None)
    delete_marker: bool | None = element("DeleteMarker", BOOLEAN, default=None)
    delete_marker_id: str | None = element("DeleteMarkerVersionId", default=None)


@document()
class DeleteError:
    key: str = element("Key")
    version_id: str | None = element("VersionId", default=None)
    code: str = element("Code")
    message: str = element("Message")


@document("DeleteResult")
class DeleteResult:
    deleted: Sequence[Deleted] = elements("Deleted", Deleted)
    errors: Sequence[DeleteError] = elements("Error", DeleteError)


@document()
class GlacierJobParameters:
    tier: RestoreTier = element("Tier", choice(RestoreTier))


_NO_SELECT = "This store restores objects, and selects nothing in them."


@document("RestoreRequest", refuses={"Type": _NO_SELECT, "SelectParameters": _NO_SELECT, "OutputLocation": _NO_SELECT})
class RestoreRequest:
    days: int | None = element("Days", INTEGER, default=None)
    job: GlacierJobParameters | None = child("GlacierJobParameters", GlacierJobParameters, default=None)
    tier: RestoreTier | None = element("Tier", choice(RestoreTier), default=None)


@document("CopyObjectResult")
class CopyObjectResult:
    modified_ms: int = element("LastModified", TIME)
    etag: str = element("ETag", ETAG)
    checksum: tuple[str, str] | None = one_of(CHECKSUMS, default=None)
    checksum_type: str | None = element("ChecksumType", default=None)


@document("PostResponse", namespace=False)
class PostResponse:
    """What a form is answered where it asks for 201."""

    location: str = element("Location")
    bucket: str = element("Bucket")
    key: str = element("Key")
    etag: str = element("ETag", ETAG)


@document()
class ObjectChecksum:
    checksum: tuple[str, str] | None = one_of(CHECKSUMS, default=None)
    checksum_type: str | None = element("ChecksumType", default=None)


@document()
class ObjectPart:
    number: int = element("PartNumber", NUMBER)
    size: int = element("Size", NUMBER)
    checksum: tuple[str, str] | None = one_of(CHECKSUMS, default=None)


@document()
class ObjectParts:
    """A page of the parts, or, without the other fields, only how many there are."""

    parts_count: int = element("PartsCount", NUMBER)
    part_number_marker: int | None = element("PartNumberMarker", NUMBER, default=None)
    next_part_number_marker: int | None = element("NextPartNumberMarker", NUMBER, default=None)
    max_parts: int | None = element("MaxParts", NUMBER, default=None)
    is_truncated: bool | None = element("IsTruncated", BOOLEAN, default=None)
    parts: Sequence[ObjectPart] = elements("Part", ObjectPart, default=())


@document("GetObjectAttributesResponse")
class GetObjectAttributesResponse:
    """The ETag is bare here."""

    etag: str | None = element("ETag", default=None)
    checksum: ObjectChecksum | None = child("Checksum", ObjectChecksum, default=None)
    object_parts: ObjectParts | None = child("ObjectParts", ObjectParts, default=None)
    storage_class: str | None = element("StorageClass", default=None)
    object_size: int | None = element("ObjectSize", NUMBER, default=None)
