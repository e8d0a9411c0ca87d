"""S3's XML documents, as text. Built by hand: a page of a thousand keys is the hot path of listings."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import quote

from bleepstore.model import (
    Acl,
    Bucket,
    Checksum,
    Group,
    ListedObject,
    ObjectPage,
    Owner,
    PartPage,
    PartSummary,
    UploadPage,
)

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
GROUP_URIS = {
    Group.ALL_USERS: "http://acs.amazonaws.com/groups/global/AllUsers",
    Group.AUTHENTICATED_USERS: "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
    Group.LOG_DELIVERY: "http://acs.amazonaws.com/groups/s3/LogDelivery",
}

#: Characters that XML 1.0 cannot hold -> what follows _STAND_IN in their place: of a control character its picture.
_MARKS = {chr(code): chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n\r"}
_MARKS |= {"\ufffe": "\ufdd1", "\uffff": "\ufdd2"}
#: A code point that Unicode keeps for a program's own use ("noncharacter"), and that XML can hold.
_STAND_IN = "\ufdd0"
_UNMARKED = {mark: char for char, mark in _MARKS.items()} | {_STAND_IN: _STAND_IN}
_UNHOLDABLE = "\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff"
#: Whether there is anything to write otherwise: one class, for nearly always there is nothing.
_ANY_SPECIAL = re.compile(f"[&<>\"'\r{_UNHOLDABLE}{_STAND_IN}]")
_SPECIAL = re.compile(f"[&<>\"'\r{_UNHOLDABLE}]|{_STAND_IN}(?=[{''.join(_UNMARKED)}{_UNHOLDABLE}])")
_MARKED = re.compile(f"{_STAND_IN}([{''.join(_UNMARKED)}])")
_PLAIN = re.compile(r"[A-Za-z0-9/\-_.*~]*")
_WRITTEN = (
    {char: _STAND_IN + mark for char, mark in _MARKS.items()}
    | {_STAND_IN: _STAND_IN * 2}
    | {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;", "\r": "&#13;"}
)

Names = Callable[[str], str]  # owner id -> display name


def escape(text: str) -> str:
    """Text for an element. A character that XML 1.0 cannot hold is written as two that it can, so that texts which
    differ are shown differently, and `restore` finds the one that was meant.

    Clients that must see such keys as they are ask for encoding-type=url.
    """
    if not _ANY_SPECIAL.search(text):
        return text
    return _SPECIAL.sub(lambda match: _WRITTEN.get(match[0], "\ufffd"), text)


def restore(text: str) -> str:
    """The text of which a client read what `escape` had written: a key that it sends back as the marker of a page."""
    return _MARKED.sub(lambda match: _UNMARKED[match[1]], text) if _STAND_IN in text else text


def encode_url(text: str) -> str:
    """encoding-type=url: "/" is kept, as S3 does."""
    return text if _PLAIN.fullmatch(text) else quote(text, safe="/-_.*~")


def encoder(encoding_type: str | None) -> Callable[[str], str]:
    return encode_url if encoding_type == "url" else escape


@functools.lru_cache(4096)  # the objects of a page were often written within the same seconds
def _iso_second(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def iso_time(time_ms: int) -> str:
    """A time as documents show it: in whole seconds, so that it equals the Last-Modified header of the same object."""
    return _iso_second(time_ms // 1000)


def element(name: str, value: object) -> str:
    """One element, or nothing if there is no value."""
    if value is None:
        return ""
    text = "true" if value is True else "false" if value is False else str(value)
    return f"<{name}>{escape(text)}</{name}>"


def document(root: str, content: str, *, namespace: bool = True) -> bytes:
    attribute = f' xmlns="{NAMESPACE}"' if namespace else ""
    return f"{DECLARATION}<{root}{attribute}>{content}</{root}>".encode()


def error(code: str, message: str, resource: str, request_id: str, fields: Mapping[str, str]) -> bytes:
    facts = "".join(element(name, value) for name, value in fields.items())
    content = (
        f"<Code>{code}</Code><Message>{escape(message)}</Message>{facts}<Resource>{escape(resource)}</Resource>"
        f"<RequestId>{request_id}</RequestId><HostId>{request_id}</HostId>"
    )
    return document("Error", content, namespace=False)


def owner(name: str, who: Owner) -> str:
    return f"<{name}>{element('ID', who.id)}{element('DisplayName', who.display_name)}</{name}>"


# -- buckets


def buckets(found: Sequence[tuple[Bucket, str]], who: Owner, prefix: str, token: str | None) -> bytes:
    """ListBuckets: each bucket with its region."""
    rows = "".join(
        f"<Bucket><Name>{bucket.name}</Name><CreationDate>{iso_time(bucket.created_ms)}</CreationDate>"
        f"{element('BucketRegion', region)}</Bucket>"
        for bucket, region in found
    )
    content = (
        f"{owner('Owner', who)}<Buckets>{rows}</Buckets>"
        f"{element('Prefix', prefix or None)}{element('ContinuationToken', token)}"
    )
    return document("ListAllMyBucketsResult", content)


def acl(value: Acl, names: Names) -> bytes:
    grants = []
    for grant in value.grants:
        if isinstance(grant.grantee, Group):
            kind, who = "Group", element("URI", GROUP_URIS[grant.grantee])
        else:
            kind = "CanonicalUser"
            who = element("ID", grant.grantee) + element("DisplayName", names(grant.grantee))
        grants.append(
            f'<Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="{kind}">{who}</Grantee>'
            f"<Permission>{grant.permission.value}</Permission></Grant>"
        )
    holder = owner("Owner", Owner(value.owner_id, names(value.owner_id)))
    return document("AccessControlPolicy", f"{holder}<AccessControlList>{''.join(grants)}</AccessControlList>")


# -- listings


def _contents(rows: Iterable[ListedObject], encode: Callable[[str], str], names: Names | None, tail: str) -> str:
    owners: dict[str, str] = {}
    out = []
    for key, modified_ms, etag, size, storage_class, owner_id, algorithm, checksum_type in rows:
        who = ""
        if names is not None:
            if owner_id not in owners:
                owners[owner_id] = owner("Owner", Owner(owner_id, names(owner_id)))
            who = owners[owner_id]
        checksum = (
            f"<ChecksumAlgorithm>{algorithm}</ChecksumAlgorithm><ChecksumType>{checksum_type}</ChecksumType>"
            if algorithm
            else ""
        )
        out.append(
            f"<Key>{encode(key)}</Key>{tail}<LastModified>{iso_time(modified_ms)}</LastModified>"
            f"<ETag>&quot;{etag}&quot;</ETag>{checksum}<Size>{size}</Size>{who}"
            f"<StorageClass>{storage_class}</StorageClass>"
        )
    row = "Version" if tail else "Contents"
    return f"<{row}>" + f"</{row}><{row}>".join(out) + f"</{row}>" if out else ""


def _common_prefixes(prefixes: Iterable[str], encode: Callable[[str], str]) -> str:
    return "".join(f"<CommonPrefixes><Prefix>{encode(prefix)}</Prefix></CommonPrefixes>" for prefix in prefixes)


def objects_v1(
    bucket: str,
    page: ObjectPage,
    *,
    prefix: str,
    delimiter: str,
    marker: str,
    limit: int,
    encoding: str | None,
    names: Names,
) -> bytes:
    # "This element is returned only if you have the delimiter request parameter specified": else the last key serves.
    encode = encoder(encoding)
    content = (
        f"<Name>{bucket}</Name><Prefix>{encode(prefix)}</Prefix><Marker>{encode(marker)}</Marker>"
        f"{_maybe('NextMarker', page.next_key if delimiter else None, encode)}<MaxKeys>{limit}</MaxKeys>"
        f"{_maybe('Delimiter', delimiter or None, encode)}{element('EncodingType', encoding)}"
        f"<IsTruncated>{'true' if page.next_key is not None else 'false'}</IsTruncated>"
        f"{_contents(page.objects, encode, names, '')}{_common_prefixes(page.common_prefixes, encode)}"
    )
    return document("ListBucketResult", content)


def objects_v2(
    bucket: str,
    page: ObjectPage,
    *,
    prefix: str,
    delimiter: str,
    start_after: str | None,
    token: str | None,
    next_token: str | None,
    limit: int,
    encoding: str | None,
    names: Names | None,
) -> bytes:
    encode = encoder(encoding)
    content = (
        f"<Name>{bucket}</Name><Prefix>{encode(prefix)}</Prefix>{_maybe('StartAfter', start_after, encode)}"
        f"{element('ContinuationToken', token)}{element('NextContinuationToken', next_token)}"
        f"<KeyCount>{len(page.objects) + len(page.common_prefixes)}</KeyCount><MaxKeys>{limit}</MaxKeys>"
        f"{_maybe('Delimiter', delimiter or None, encode)}{element('EncodingType', encoding)}"
        f"<IsTruncated>{'true' if next_token is not None else 'false'}</IsTruncated>"
        f"{_contents(page.objects, encode, names, '')}{_common_prefixes(page.common_prefixes, encode)}"
    )
    return document("ListBucketResult", content)


def versions(
    bucket: str,
    page: ObjectPage,
    *,
    prefix: str,
    delimiter: str,
    key_marker: str,
    version_id_marker: str,
    limit: int,
    encoding: str | None,
    names: Names,
) -> bytes:
    """ListObjectVersions of a bucket without versioning: every object is its own only version."""
    encode = encoder(encoding)
    ends_in_version = page.next_key is not None and page.next_key not in page.common_prefixes[-1:]
    rows = _contents(page.objects, encode, names, "<VersionId>null</VersionId><IsLatest>true</IsLatest>")
    content = (
        f"<Name>{bucket}</Name><Prefix>{encode(prefix)}</Prefix><KeyMarker>{encode(key_marker)}</KeyMarker>"
        f"<VersionIdMarker>{version_id_marker}</VersionIdMarker>{_maybe('NextKeyMarker', page.next_key, encode)}"
        f"{element('NextVersionIdMarker', 'null' if ends_in_version else None)}<MaxKeys>{limit}</MaxKeys>"
        f"{_maybe('Delimiter', delimiter or None, encode)}{element('EncodingType', encoding)}"
        f"<IsTruncated>{'true' if page.next_key is not None else 'false'}</IsTruncated>"
        f"{rows}{_common_prefixes(page.common_prefixes, encode)}"
    )
    return document("ListVersionsResult", content)


def _maybe(name: str, value: str | None, encode: Callable[[str], str]) -> str:
    return "" if value is None else f"<{name}>{encode(value)}</{name}>"


# -- multipart


def checksum_value(checksum: Checksum, parts_count: int | None) -> str:
    """The value as answers show it: a composite one says of how many parts."""
    return f"{checksum.value}-{parts_count}" if checksum.type.value == "COMPOSITE" and parts_count else checksum.value


def checksum_elements(checksum: Checksum | None, parts_count: int | None = None, *, with_type: bool = True) -> str:
    if checksum is None:
        return ""
    name = f"Checksum{checksum.algorithm.value}"
    kind = element("ChecksumType", checksum.type.value) if with_type else ""
    return element(name, checksum_value(checksum, parts_count)) + kind


def _last_upload(page: UploadPage) -> tuple[str | None, str | None]:
    """(key, upload id) of the last entry. S3 names it also on the last page, where nothing follows it."""
    if page.next_key is not None:
        return page.next_key, page.next_upload_id
    entries = [(upload.key, upload.upload_id) for upload in page.uploads[-1:]]
    return max(entries + [(prefix, None) for prefix in page.common_prefixes[-1:]], default=(None, None))


def uploads(
    bucket: str,
    page: UploadPage,
    *,
    prefix: str,
    delimiter: str,
    key_marker: str,
    upload_id_marker: str,
    limit: int,
    encoding: str | None,
) -> bytes:
    encode = encoder(encoding)
    next_key, next_upload_id = _last_upload(page)
    rows = "".join(
        f"<Upload><Key>{encode(upload.key)}</Key><UploadId>{upload.upload_id}</UploadId>"
        f"{owner('Initiator', upload.initiator)}{owner('Owner', upload.owner)}"
        f"<StorageClass>{upload.storage_class}</StorageClass><Initiated>{iso_time(upload.initiated_ms)}</Initiated>"
        f"{element('ChecksumAlgorithm', upload.checksum_algorithm)}{element('ChecksumType', upload.checksum_type)}"
        "</Upload>"
        for upload in page.uploads
    )
    content = (
        f"<Bucket>{bucket}</Bucket><KeyMarker>{encode(key_marker)}</KeyMarker>"
        f"<UploadIdMarker>{escape(upload_id_marker)}</UploadIdMarker>"
        f"{_maybe('NextKeyMarker', next_key, encode)}{element('NextUploadIdMarker', next_upload_id)}"
        f"<Prefix>{encode(prefix)}</Prefix>{_maybe('Delimiter', delimiter or None, encode)}"
        f"{element('EncodingType', encoding)}<MaxUploads>{limit}</MaxUploads>"
        f"<IsTruncated>{'true' if page.next_key is not None else 'false'}</IsTruncated>"
        f"{rows}{_common_prefixes(page.common_prefixes, encode)}"
    )
    return document("ListMultipartUploadsResult", content)


def parts(bucket: str, key: str, page: PartPage, *, after: int, limit: int) -> bytes:
    upload = page.upload
    rows = "".join(
        f"<Part><PartNumber>{part.number}</PartNumber><LastModified>{iso_time(part.modified_ms)}</LastModified>"
        f"<ETag>&quot;{part.etag}&quot;</ETag><Size>{part.size}</Size>"
        f"{checksum_elements(part.checksum, with_type=False) if upload.checksum_algorithm else ''}</Part>"
        for part in page.parts
    )
    # S3 has a NextPartNumberMarker also where nothing follows: the last number of the page, or 0.
    last = page.parts[-1].number if page.parts else 0
    content = (
        f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><UploadId>{upload.upload_id}</UploadId>"
        f"{owner('Initiator', upload.initiator)}{owner('Owner', upload.owner)}"
        f"<StorageClass>{upload.storage_class}</StorageClass><PartNumberMarker>{after}</PartNumberMarker>"
        f"<NextPartNumberMarker>{last}</NextPartNumberMarker><MaxParts>{limit}</MaxParts>"
        f"<IsTruncated>{'true' if page.next_number is not None else 'false'}</IsTruncated>"
        f"{element('ChecksumAlgorithm', upload.checksum_algorithm)}"
        f"{element('ChecksumType', upload.checksum_type)}{rows}"
    )
    return document("ListPartsResult", content)


def object_parts(
    page: Sequence[PartSummary], checksum: Checksum | None, total: int, *, after: int, limit: int, following: int | None
) -> str:
    """The ObjectParts element of GetObjectAttributes: a page of the parts if each has a checksum, else their number."""
    if checksum is None or checksum.type.value != "COMPOSITE":
        return f"<ObjectParts><PartsCount>{total}</PartsCount></ObjectParts>"
    name = f"Checksum{checksum.algorithm.value}"
    rows = "".join(
        f"<Part><PartNumber>{part.number}</PartNumber><Size>{part.size}</Size>{element(name, part.checksum)}</Part>"
        for part in page
    )
    return (
        f"<ObjectParts><PartsCount>{total}</PartsCount><PartNumberMarker>{after}</PartNumberMarker>"
        f"<NextPartNumberMarker>{page[-1].number if page else 0}</NextPartNumberMarker><MaxParts>{limit}</MaxParts>"
        f"<IsTruncated>{'true' if following is not None else 'false'}</IsTruncated>{rows}</ObjectParts>"
    )
