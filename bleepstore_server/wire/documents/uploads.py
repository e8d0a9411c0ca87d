"""Documents of multipart uploads."""

from __future__ import annotations

from collections.abc import Sequence

from bleepstore.model import CompletedPart
from bleepstore_server.wire.documents.common import CHECKSUMS, Account, checksum_of
from bleepstore_server.wire.documents.declare import (
    BOOLEAN,
    ENCODED,
    ETAG,
    INTEGER,
    NUMBER,
    TIME,
    TOKEN,
    Markup,
    child,
    document,
    element,
    elements,
    one_of,
)
from bleepstore_server.wire.documents.listings import CommonPrefix
from bleepstore_server.wire.errors import RequestError

MAX_PARTS = 10_000


@document("InitiateMultipartUploadResult")
class InitiateMultipartUploadResult:
    bucket: str = element("Bucket")
    key: str = element("Key")
    upload_id: str = element("UploadId")


@document("CopyPartResult")
class CopyPartResult:
    modified_ms: int = element("LastModified", TIME)
    etag: str = element("ETag", ETAG)
    checksum: tuple[str, str] | None = one_of(CHECKSUMS, default=None)


@document()
class CompletedPartElement:
    number: int = element("PartNumber", INTEGER)
    etag: str = element("ETag", TOKEN)
    checksum: tuple[str, str] | None = one_of(CHECKSUMS, TOKEN, default=None)

    def part(self) -> CompletedPart:
        """Raises RequestError: InvalidArgument for a number below 1."""
        if self.number < 1:
            raise RequestError(
                "InvalidArgument",
                "PartNumber must be >= 1",
                fields={"ArgumentName": "PartNumber", "ArgumentValue": str(self.number)},
            )
        return CompletedPart(number=self.number, etag=self.etag, checksum=checksum_of(self.checksum))


@document("CompleteMultipartUpload")
class CompleteMultipartUpload:
    parts: Sequence[CompletedPartElement] = elements("Part", CompletedPartElement, at_least=1, at_most=MAX_PARTS)


@document("CompleteMultipartUploadResult")
class CompleteMultipartUploadResult:
    location: str = element("Location")
    bucket: str = element("Bucket")
    key: str = element("Key")
    etag: str = element("ETag", ETAG)
    checksum: tuple[str, str] | None = one_of(CHECKSUMS, default=None)
    checksum_type: str | None = element("ChecksumType", default=None)


@document()
class ListedUpload:
    key: str = element("Key", ENCODED)
    upload_id: str = element("UploadId")
    initiator: Account = child("Initiator", Account)
    owner: Account = child("Owner", Account)
    storage_class: str = element("StorageClass")
    initiated_ms: int = element("Initiated", TIME)
    checksum_algorithm: str | None = element("ChecksumAlgorithm", default=None)
    checksum_type: str | None = element("ChecksumType", default=None)


@document("ListMultipartUploadsResult")
class ListMultipartUploadsResult:
    bucket: str = element("Bucket")
    key_marker: str = element("KeyMarker", ENCODED)
    upload_id_marker: str = element("UploadIdMarker")
    next_key_marker: str | None = element("NextKeyMarker", ENCODED, default=None)
    next_upload_id_marker: str | None = element("NextUploadIdMarker", default=None)
    # S3 tells of a prefix here only if there is one (versitygw issue 2156).
    prefix: str | None = element("Prefix", ENCODED, default=None)
    delimiter: str | None = element("Delimiter", ENCODED, default=None)
    max_uploads: int = element("MaxUploads", NUMBER)
    encoding_type: str | None = element("EncodingType", default=None)
    is_truncated: bool = element("IsTruncated", BOOLEAN)
    uploads: Sequence[ListedUpload] = elements("Upload", ListedUpload)
    common_prefixes: Sequence[CommonPrefix] | Markup = elements("CommonPrefixes", CommonPrefix)


@document()
class ListedPart:
    number: int = element("PartNumber", NUMBER)
    modified_ms: int = element("LastModified", TIME)
    etag: str = element("ETag", ETAG)
    size: int = element("Size", NUMBER)
    checksum: tuple[str, str] | None = one_of(CHECKSUMS, default=None)


@document("ListPartsResult")
class ListPartsResult:
    bucket: str = element("Bucket")
    key: str = element("Key")
    upload_id: str = element("UploadId")
    initiator: Account = child("Initiator", Account)
    owner: Account = child("Owner", Account)
    storage_class: str = element("StorageClass")
    part_number_marker: int = element("PartNumberMarker", NUMBER)
    next_part_number_marker: int = element("NextPartNumberMarker", NUMBER)
    max_parts: int = element("MaxParts", NUMBER)
    is_truncated: bool = element("IsTruncated", BOOLEAN)
    checksum_algorithm: str | None = element("ChecksumAlgorithm", default=None)
    checksum_type: str | None = element("ChecksumType", default=None)
    parts: Sequence[ListedPart] = elements("Part", ListedPart)
