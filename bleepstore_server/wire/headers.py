"""Header fields: what clients send, parsed into the library's records, and records rendered as header fields."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol
from urllib.parse import unquote_plus

import attrs
from werkzeug.http import parse_date

from bleepstore.access import AclRequest, CannedAcl
from bleepstore.digests import Algorithm
from bleepstore.errors import NotModified
from bleepstore.model import (
    NO_ATTRIBUTES,
    NO_SYSTEM,
    STANDARD,
    STORAGE_CLASSES,
    ByteRange,
    Checksum,
    ChecksumType,
    Grant,
    ObjectAttributes,
    ObjectVersion,
    Permission,
    Restoration,
    SystemMetadata,
)
from bleepstore.names import can_be_bucket
from bleepstore.preconditions import UNCONDITIONAL, ReadCondition, WriteCondition
from bleepstore_server.wire import encryption, object_lock
from bleepstore_server.wire.bodies import FIELDS, parse_algorithm
from bleepstore_server.wire.dates import http_date
from bleepstore_server.wire.documents.acl import group_of
from bleepstore_server.wire.documents.common import checksum_value
from bleepstore_server.wire.documents.uploads import MAX_PARTS
from bleepstore_server.wire.encoded_words import decode_words, encode_word
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.sigv4 import amz_names, is_field_value

META = "x-amz-meta-"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
DEFAULT_CONTENT_TYPE = "binary/octet-stream"

#: SystemMetadata field -> header.
_SYSTEM_HEADERS = {
    "content_type": "content-type",
    "content_encoding": "content-encoding",
    "content_language": "content-language",
    "content_disposition": "content-disposition",
    "cache_control": "cache-control",
    "expires": "expires",
    "website_redirect_location": "x-amz-website-redirect-location",
}

#: A content encoding that is the framing of the body, and no property of the object.
_FRAMING = "aws-chunked"

#: Headers that ask for something this store does not do, or not everywhere. Ignoring them would pretend.
_UNSUPPORTED = frozenset(
    {
        "x-amz-tagging",
        "x-amz-tagging-directive",
        "x-amz-write-offset-bytes",
        "x-amz-if-match-last-modified-time",
        "x-amz-if-match-size",
        "x-amz-if-match-initiated-time",
    }
)
_UNSUPPORTED_KINDS = (
    "x-amz-object-lock-",
    "x-amz-server-side-encryption-",
    "x-amz-copy-source-server-side-encryption-",
)


#: What a request that makes an object may also say of it, and a copy.
NEW_OBJECT = frozenset({"x-amz-tagging", *object_lock.FIELDS, *encryption.FIELDS})
COPIED_OBJECT = frozenset({"x-amz-tagging-directive", *NEW_OBJECT, *encryption.SOURCE_FIELDS})
#: What a request that makes a part may say of it, and a copy that does.
NEW_PART = encryption.CUSTOMER_FIELDS
COPIED_PART = encryption.CUSTOMER_FIELDS | encryption.SOURCE_FIELDS
_NOTHING: frozenset[str] = frozenset()


def refuse_unsupported(headers: Mapping[str, str], applied: frozenset[str] = _NOTHING) -> None:
    """Refuse what this store does not do, or the operation. `applied` are headers that this operation knows, as not all
    do."""
    for name in amz_names(tuple(headers)):
        if name not in applied and (name in _UNSUPPORTED or name.startswith(_UNSUPPORTED_KINDS)):
            raise encryption.not_implemented(name)


# -- attributes


def decode_header(value: str) -> str:
    """WSGI shows the bytes of a header as Latin-1; clients mean UTF-8 where that is what the bytes are."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def object_attributes(fields: Mapping[str, str], decode: Callable[[str], str] = decode_header) -> ObjectAttributes:
    """What the headers of a request, or the fields of a form, say of the object that it writes, but for the ACL. Names
    are in lower case; `decode` makes text of a value."""
    system: dict[str, str] = {}
    for field, name in _SYSTEM_HEADERS.items():
        value = fields.get(name)
        if value and value != _FRAMING:
            if not (value.isascii() and value.isprintable()):
                value = decode(value)
                if not is_field_value(value):
                    raise unfit_value(name, value)
            system[field] = value
    if _FRAMING in system.get("content_encoding", ""):
        kept = [item.strip() for item in system.pop("content_encoding").split(",")]
        if left := [item for item in kept if item not in (_FRAMING, "")]:
            system["content_encoding"] = ",".join(left)
    redirect = system.get("website_redirect_location")
    if redirect and not redirect.startswith(("/", "http://", "https://")):
        raise RequestError("InvalidRedirectLocation")
    metadata: dict[str, str] = {}
    for name in amz_names(tuple(fields)):
        if name.startswith(META):
            metadata[name[len(META) :]] = decode_words(decode(fields[name]))
    kind = storage_class(fields) if "x-amz-storage-class" in fields else STANDARD
    tags = parse_tags(decode(fields["x-amz-tagging"])) if "x-amz-tagging" in fields else None
    attributes = NO_ATTRIBUTES
    if system or metadata or tags or kind != STANDARD:
        given = SystemMetadata(**system)
        attributes = ObjectAttributes(system=given, metadata=metadata, storage_class=kind, tags=tags or {})
    return attributes if object_lock.FIELDS.isdisjoint(fields) else object_lock.with_locks(attributes, fields)


def parse_tags(text: str) -> dict[str, str]:
    """The tags of a header x-amz-tagging: "encoded as URL Query parameters". What has no key and no value is none."""
    tags: dict[str, str] = {}
    for item in text.split("&"):
        name, _, value = item.partition("=")
        if not item:
            continue
        try:
            key, tag = (unquote_plus(part, errors="strict") for part in (name, value))
        except UnicodeDecodeError:
            raise _malformed_tags(text) from None
        if key in tags:
            raise _malformed_tags(text)
        tags[key] = tag
    return tags


def _malformed_tags(text: str) -> RequestError:
    return RequestError(
        "InvalidArgument",
        "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name "
        "duplicates.",
        fields={"ArgumentName": "x-amz-tagging", "ArgumentValue": text},
    )


def directive(headers: Mapping[str, str], what: str) -> bool:
    """Whether a copy replaces `what` ("metadata", "tagging") of its source."""
    name = f"x-amz-{what}-directive"
    value = headers.get(name, "COPY")
    if value not in ("COPY", "REPLACE"):
        raise RequestError(
            "InvalidArgument", f"Unknown {what} directive.", fields={"ArgumentName": name, "ArgumentValue": value}
        )
    return value == "REPLACE"


def unfit_value(name: str, value: str) -> RequestError:
    """What to raise for text that a header cannot hold: it would end the header, or the answer."""
    return RequestError(
        "InvalidArgument",
        f"The value of {name} has a control character, which no header can hold.",
        fields={"ArgumentName": name, "ArgumentValue": value},
    )


def storage_class(fields: Mapping[str, str]) -> str:
    value = fields.get("x-amz-storage-class") or STANDARD
    if value not in STORAGE_CLASSES:
        raise RequestError("InvalidStorageClass", fields={"StorageClassRequested": value})
    return value


def _field_text(value: str) -> str:
    """System metadata as WSGI wants a header: the bytes of its UTF-8, which are those that were sent.

    A program may have stored what no client can send; a control character would let a value end the header.
    """
    if value.isascii() and value.isprintable():
        return value
    text = value if is_field_value(value) else "".join(c if is_field_value(c) else " " for c in value)
    return text if text.isascii() else text.encode("utf-8", "replace").decode("latin-1")


def restore_header(restoration: Restoration | None, now_ms: int) -> list[tuple[str, str]]:
    """What x-amz-restore says of an archived object: nothing once it can be read no more."""
    if restoration is None or now_ms >= restoration.until_ms:
        return []
    if now_ms < restoration.ready_ms:
        return [("x-amz-restore", 'ongoing-request="true"')]
    return [("x-amz-restore", f'ongoing-request="false", expiry-date="{http_date(restoration.until_ms // 1000)}"')]


def object_headers(version: ObjectVersion, more: Iterable[tuple[str, str]] = ()) -> list[tuple[str, str]]:
    """The headers of a GET or HEAD that describe the object, and behind them `more`."""
    attributes = version.attributes
    headers = [
        ("Last-Modified", http_date(version.modified_ms // 1000)),
        ("ETag", f'"{version.etag}"'),
        ("Accept-Ranges", "bytes"),
        ("Content-Type", _field_text(attributes.system.content_type or DEFAULT_CONTENT_TYPE)),
    ]
    if attributes.system is not NO_SYSTEM:
        headers += _system_headers(attributes.system)
    if version.is_versioned:
        headers.append(("x-amz-version-id", version.version_id))
    if attributes.storage_class != STANDARD:
        headers.append(("x-amz-storage-class", attributes.storage_class))
    if attributes.metadata:
        headers += _metadata_headers(attributes.metadata)
    headers += more
    return headers


def _system_headers(system: SystemMetadata) -> list[tuple[str, str]]:
    """What describes the object, but for its type."""
    named = (
        ("Content-Encoding", system.content_encoding),
        ("Content-Language", system.content_language),
        ("Content-Disposition", system.content_disposition),
        ("Cache-Control", system.cache_control),
        ("Expires", system.expires),
        ("x-amz-website-redirect-location", system.website_redirect_location),
    )
    return [(name, _field_text(value)) for name, value in named if value is not None]


def _metadata_headers(metadata: Mapping[str, str]) -> list[tuple[str, str]]:
    headers = []
    for name, value in metadata.items():
        shown = encode_word(value)
        if _TOKEN.fullmatch(name) and is_field_value(shown):
            headers.append((META + name, shown))
    missing = len(metadata) - len(headers)
    if missing:
        # "If some metadata contains unprintable characters, it's not returned. Instead, the x-amz-missing-meta header
        # is returned with a value of the number of unprintable metadata entries." A form or a program may send them.
        headers.append(("x-amz-missing-meta", str(missing)))
    return headers


#: "The server generating a 304 response MUST generate any of the following header fields that would have been sent in
#: a 200 (OK) response" (RFC 9110 section 15.4.5). S3 has none of the others.
_IN_304 = frozenset({"Cache-Control", "ETag", "Expires", "Last-Modified"})


def unchanged_headers(error: NotModified) -> list[tuple[str, str]]:
    """The headers of a 304, but for those that the request overrides."""
    headers = [] if error.etag is None else [("ETag", f'"{error.etag}"')]
    if error.modified_ms is not None:
        headers.append(("Last-Modified", http_date(error.modified_ms // 1000)))
    for name, value in (("Cache-Control", error.cache_control), ("Expires", error.expires)):
        if value is not None:
            headers.append((name, _field_text(value)))
    return headers


def belongs_in_304(name: str) -> bool:
    return name in _IN_304


_CHECKSUM_HEADERS = {algorithm: name for name, algorithm in FIELDS.items()}


def checksum_headers(checksum: Checksum | None, parts_count: int | None = None) -> list[tuple[str, str]]:
    if checksum is None:
        return []
    value = checksum_value(checksum, parts_count) if parts_count else checksum.value
    return [
        (_CHECKSUM_HEADERS[checksum.algorithm], value),
        ("x-amz-checksum-type", str(checksum.type)),
    ]


def version_headers(version: ObjectVersion) -> list[tuple[str, str]]:
    """The id of a version that was written, and of the one that it is a copy of, where their buckets keep versions."""
    headers = [("x-amz-version-id", version.version_id)] if version.is_versioned else []
    return headers + source_headers(version.source_version_id)


def source_headers(version_id: str | None) -> list[tuple[str, str]]:
    return [] if version_id is None else [("x-amz-copy-source-version-id", version_id)]


# -- conditions and ranges


def _etags(value: str, *, weak: bool = False) -> tuple[str, ...]:
    """The ETags of a list. If-None-Match compares them as if they were strong (`weak`); for the other conditions a weak
    one is no object's (RFC 9110 section 8.8.3.2)."""
    items = [item.strip() for item in value.split(",")]
    return tuple((item.removeprefix("W/") if weak else item).strip('"') for item in items)


def _date(value: str | None) -> dt.datetime | None:
    """An HTTP date; RFC 9110 has a field that is not one ignored."""
    try:
        return None if value is None else parse_date(value)
    except (OverflowError, ValueError):
        return None


_CONDITIONS = ("If-None-Match", "If-Match", "If-Modified-Since", "If-Unmodified-Since")
_CONDITION_NAMES = frozenset(name.lower() for name in _CONDITIONS)
_READ_CONDITION_NAMES = _CONDITION_NAMES | {"if-range"}
#: What a request to read an object may say of it, beside what its query does.
OF_READS = _READ_CONDITION_NAMES | {"range"} | encryption.CUSTOMER_FIELDS


def read_condition(headers: Mapping[str, str], prefix: str = "") -> ReadCondition | None:
    """The conditions of a read, or with prefix "x-amz-copy-source-" those of a copy's source."""
    if not prefix and _READ_CONDITION_NAMES.isdisjoint(headers):
        return None
    match, none_match = headers.get(f"{prefix}if-match"), headers.get(f"{prefix}if-none-match")
    since, unmodified = headers.get(f"{prefix}if-modified-since"), headers.get(f"{prefix}if-unmodified-since")
    if_range = None if prefix else headers.get("if-range")
    if match is None and none_match is None and since is None and unmodified is None and if_range is None:
        return None
    return ReadCondition(
        if_match=None if match is None else _etags(match),
        if_none_match=None if none_match is None else _etags(none_match, weak=True),
        if_modified_since=_date(since),
        if_unmodified_since=_date(unmodified),
        if_range=None if if_range is None else _date(if_range) or if_range,
    )


def refuse_conditions(headers: Mapping[str, str]) -> None:
    """Refuse a write that has a condition which it does not know: done in spite of it, it could destroy something."""
    for name in _CONDITIONS:
        if name.lower() in headers:
            raise RequestError(
                "NotImplemented",
                fields={
                    "Header": name,
                    "additionalMessage": f"We don't accept the provided value of {name} header for this API",
                },
            )


def write_condition(headers: Mapping[str, str], *, delete: bool = False) -> WriteCondition:
    """The condition of a write. What S3 does not support is refused, never ignored."""
    if _CONDITION_NAMES.isdisjoint(headers):
        return UNCONDITIONAL
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    unsupported = (
        (none_match is not None and (none_match.strip() != "*" or delete))
        or (match is not None and match.strip() == "*" and not delete)
        or (match is not None and none_match is not None)
        or "if-modified-since" in headers
        or "if-unmodified-since" in headers
    )
    if unsupported:
        refuse_conditions(headers)
    return WriteCondition(
        if_match=None if match is None else match.strip().strip('"'), if_none_match=none_match is not None
    )


_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def byte_range(text: str | None) -> ByteRange | None:
    """A Range header. One that is malformed, or asks for several ranges, is ignored (RFC 9110 section 14.2)."""
    if text is None:
        return None
    found = _RANGE.fullmatch(text.strip())
    if found is None or len(text) > 64 or found[1] == found[2] == "":
        return None
    first = int(found[1]) if found[1] else None
    last = int(found[2]) if found[2] else None
    if first is not None and last is not None and last < first:
        return None
    return ByteRange(first, last)


def copy_source_range(text: str | None) -> ByteRange | None:
    """None: all of it, as S3 takes an empty header too (localstack pull request 9635)."""
    if not text:
        return None
    found = byte_range(text)
    if found is None or found.first is None or found.last is None:
        raise RequestError(
            "InvalidArgument",
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy",
            fields={"ArgumentName": "x-amz-copy-source-range", "ArgumentValue": text},
        )
    return found


# -- numbers

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")


def number(text: str | None, name: str, default: int, most: int | None = None, negative: str | None = None) -> int:
    """A parameter that is a number of 0 or more; a greater one than `most` counts as `most`.

    S3 has a message for what is no 32-bit integer, and another one for a negative integer. There it calls the
    parameter max-keys maxKeys, but where the message is another one: `negative`.
    """
    if text is None or text == "":
        return default
    if not _INTEGER.fullmatch(text) or not -(2**31) <= int(text) < 2**31:
        raise RequestError(
            "InvalidArgument",
            f"Provided {name} not an integer or within integer range",
            fields={"ArgumentName": name, "ArgumentValue": text},
        )
    value = int(text)
    if value < 0:
        argument = "maxKeys" if name == "max-keys" and negative is None else name
        raise RequestError(
            "InvalidArgument",
            negative or f"Argument {argument} must be an integer between 0 and 2147483647",
            fields={"ArgumentName": argument, "ArgumentValue": text},
        )
    return value if most is None else min(value, most)


def part_number(text: str) -> int:
    if not _INTEGER.fullmatch(text) or not 1 <= int(text) <= MAX_PARTS:
        raise RequestError(
            "InvalidArgument",
            f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive",
            fields={"ArgumentName": "partNumber", "ArgumentValue": text},
        )
    return int(text)


# -- copy sources


@attrs.frozen
class CopySource:
    bucket: str
    key: str
    version_id: str | None


_BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def _decode_form(text: str) -> str:
    """Percent-encoded UTF-8 in which "+" is a space. Raises ValueError."""
    if _BAD_ESCAPE.search(text):
        raise ValueError("a % that two hexadecimal digits do not follow")
    return unquote_plus(text.encode("latin-1").decode(), errors="strict")


def copy_source(text: str) -> CopySource:
    """`[/]bucket/key[?versionId=...]`, in the encoding of forms: a plus sign is a space, as S3 reads it."""
    path, names_version, version = text.partition("?versionId=")
    if path.removeprefix("/").startswith("arn:"):
        raise RequestError(
            "NotImplemented", "This store has no access points: name the copy source as bucket/key, percent-encoded."
        )

    def refusal(message: str) -> RequestError:
        return RequestError(
            "InvalidArgument", message, fields={"ArgumentName": "x-amz-copy-source", "ArgumentValue": text}
        )

    try:
        source, version_id = _decode_form(path), _decode_form(version)
    except ValueError:
        raise refusal("Invalid copy source encoding") from None
    bucket, _, key = source.removeprefix("/").partition("/")
    if not can_be_bucket(bucket):
        raise refusal("Invalid copy source bucket name")
    if not key:
        raise refusal("Invalid copy source object key")
    return CopySource(bucket, key, version_id if names_version else None)


# -- access control


GRANT_HEADERS = {
    "x-amz-grant-full-control": Permission.FULL_CONTROL,
    "x-amz-grant-read": Permission.READ,
    "x-amz-grant-write": Permission.WRITE,
    "x-amz-grant-read-acp": Permission.READ_ACP,
    "x-amz-grant-write-acp": Permission.WRITE_ACP,
}

_GRANT_NAMES = frozenset(GRANT_HEADERS)


class Accounts(Protocol):
    """Who is asked for the accounts that grants name. Each raises what refuses the request."""

    def find_by_email(self, email: str) -> str: ...

    def check_owner_id(self, owner_id: str, argument: str = ...) -> None: ...


_ACL_HEADERS = frozenset({"x-amz-acl", *GRANT_HEADERS})


def acl_request(headers: Mapping[str, str], accounts: Accounts) -> AclRequest | None:
    """The ACL that the headers ask for: canned, or by grants, but not both."""
    if _ACL_HEADERS.isdisjoint(headers):
        return None
    canned = headers.get("x-amz-acl")
    if canned is None and _GRANT_NAMES.isdisjoint(headers):
        return None
    grants: list[Grant] = []
    for name, permission in GRANT_HEADERS.items():
        for item in headers[name].split(",") if name in headers else ():
            if item.strip():
                grants.append(_grant(item, permission, accounts))
    if canned is not None:
        if grants:
            raise RequestError("InvalidRequest", "Specifying both Canned ACLs and Header Grants is not allowed")
        try:
            return CannedAcl(canned)
        except ValueError:
            raise RequestError(
                "InvalidArgument", fields={"ArgumentName": "x-amz-acl", "ArgumentValue": canned}
            ) from None
    return tuple(grants) or None


def _grant(item: str, permission: Permission, accounts: Accounts) -> Grant:
    kind, _, value = item.strip().partition("=")
    value = value.strip().strip('"')
    match kind.strip().lower():
        case "id":
            accounts.check_owner_id(value, "id")
            return Grant(value, permission)
        case "uri":
            return Grant(group_of(value), permission)
        case "emailaddress":
            return Grant(accounts.find_by_email(value), permission)
        case _:
            raise RequestError(
                "InvalidArgument",
                "Argument format not recognized",
                fields={
                    "ArgumentName": f"x-amz-grant-{permission.value.lower().replace('_', '-')}",
                    "ArgumentValue": item,
                },
            )


# -- checksums


def checksum_type(text: str | None) -> ChecksumType | None:
    if text is None:
        return None
    try:
        return ChecksumType(text.upper())
    except ValueError:
        raise RequestError("InvalidRequest", "Value for x-amz-checksum-type header is invalid.") from None


def chosen_algorithm(headers: Mapping[str, str]) -> Algorithm | None:
    text = headers.get("x-amz-checksum-algorithm")
    return parse_algorithm(text) if text else None
