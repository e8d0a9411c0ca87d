"""The checksums of multipart uploads: which may be asked for, and what the parts make of the whole.

"Full object and composite checksum types" in the S3 guide.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from bleepstore.digests import Algorithm, can_combine, combine_full_object, composite_value, multipart_etag
from bleepstore.errors import BadDigest, EntityTooLarge, InvalidPart, InvalidRequest
from bleepstore.model import MAX_OBJECT, Checksum, ChecksumType, CompletedPart, Part, Upload
from bleepstore.store.arguments import CompletionOptions
from bleepstore.store.bodies import DEFAULT_ALGORITHM


def resolve_checksum_type(algorithm: Algorithm | None, kind: ChecksumType | None) -> ChecksumType | None:
    """The checksum type of an upload ("Full object and composite checksum types"), or InvalidRequest."""
    if algorithm is None:
        if kind is not None:
            raise InvalidRequest("A checksum type needs a checksum algorithm: name both.")
        return None
    if algorithm == Algorithm.CRC64NVME:
        allowed: tuple[ChecksumType, ...] = (ChecksumType.FULL_OBJECT,)
    elif can_combine(algorithm):
        allowed = (ChecksumType.COMPOSITE, ChecksumType.FULL_OBJECT)
    else:
        allowed = (ChecksumType.COMPOSITE,)
    if kind is not None and kind not in allowed:
        raise InvalidRequest(
            f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm."
        )
    return kind or allowed[0]


def check_type(upload: Upload, claimed: ChecksumType | None) -> None:
    if claimed is not None and claimed != (upload.checksum_type or ChecksumType.FULL_OBJECT):
        raise InvalidRequest(
            f"The upload was created using the {upload.checksum_type or ChecksumType.FULL_OBJECT} checksum mode. "
            f"The complete request must use the same checksum mode."
        )


def check_part_algorithm(upload: Upload, sent: Algorithm | None) -> None:
    """Refuse a part of another checksum algorithm than its upload's, and one without, where each part needs one."""
    expected = upload.checksum_algorithm
    if expected is None or sent == expected:
        return
    if sent is not None or upload.checksum_type == ChecksumType.COMPOSITE:
        actual = "null" if sent is None else sent.lower()
        raise InvalidRequest(
            f"Checksum Type mismatch occurred, expected checksum Type: {expected.lower()}, "
            f"actual checksum Type: {actual}"
        )


def check_part_checksum(upload: Upload, part: Part, wanted: CompletedPart) -> None:
    algorithm = upload.checksum_algorithm
    if algorithm is None:
        # Of another algorithm than the store's own, a part's checksum was verified when it came, and not kept.
        own, named = part.checksum, wanted.checksum
        if own and named and own.algorithm == named.algorithm and own.value != named.value:
            raise InvalidPart(upload.upload_id, wanted.number, wanted.etag)
        return
    if wanted.checksum is None:
        if upload.checksum_type == ChecksumType.COMPOSITE:
            raise InvalidRequest(
                f"The upload was created using a {algorithm.lower()} checksum. The complete request must include the "
                f"checksum for each part. It was missing for part {wanted.number} in the request."
            )
        return
    if part.checksum is None or (wanted.checksum.algorithm, wanted.checksum.value) != (algorithm, part.checksum.value):
        raise InvalidPart(upload.upload_id, wanted.number, wanted.etag)


@attrs.frozen(kw_only=True)
class Whole:
    """What parts make together. `checksum` and the store's own are None if one of them was copied by a provider, so
    that its MD5 alone is known."""

    size: int
    etag: str
    checksum: Checksum | None
    crc64nvme: str | None


def whole_of(upload: Upload, parts: Sequence[Part], options: CompletionOptions) -> Whole:
    """What these parts make, if it is what the caller says of it. Raises EntityTooLarge, InvalidRequest, BadDigest."""
    size, announced = sum(part.size for part in parts), options.get("object_size")
    if size > MAX_OBJECT:
        raise EntityTooLarge(size, MAX_OBJECT)
    if announced is not None and announced != size:
        raise InvalidRequest(f"The object has {size} bytes, not {announced} as was announced.")
    total, expected = _total_checksum(upload, parts), options.get("checksum")
    if expected is not None:
        if total is None:
            raise InvalidRequest("Parts were copied without a checksum: name its algorithm when the upload is created.")
        if (expected.algorithm, expected.value) != (total.algorithm, total.value):
            raise BadDigest("checksum", expected.algorithm.value, expected.value, total.value)
    etag = multipart_etag([part.etag for part in parts])
    return Whole(size=size, etag=etag, checksum=total, crc64nvme=_total_crc64nvme(parts))


def _total_checksum(upload: Upload, parts: Sequence[Part]) -> Checksum | None:
    algorithm = upload.checksum_algorithm or DEFAULT_ALGORITHM
    values = [part.checksum.value for part in parts if part.checksum is not None]
    if len(values) < len(parts):
        return None
    if upload.checksum_type == ChecksumType.COMPOSITE:
        return Checksum(algorithm, composite_value(algorithm, values), ChecksumType.COMPOSITE)
    sizes = [part.size for part in parts]
    return Checksum(algorithm, combine_full_object(algorithm, zip(values, sizes, strict=True)))


def _total_crc64nvme(parts: Sequence[Part]) -> str | None:
    values = [(part.crc64nvme, part.size) for part in parts if part.crc64nvme is not None]
    return combine_full_object(Algorithm.CRC64NVME, values) if len(values) == len(parts) else None
