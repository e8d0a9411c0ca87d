"""The store's refusals in S3's words: status, message, and the names of the elements that carry their facts.

The library names its own arguments; the tables here say what each is called in a request.
"""

from __future__ import annotations

import base64
import functools

from bleepstore.errors import (
    BadDigest,
    BucketNotEmpty,
    Condition,
    InvalidArgument,
    InvalidObjectState,
    InvalidRange,
    MethodNotAllowed,
    NoSuchBucket,
    NoSuchKey,
    ObjectLocked,
    PreconditionFailed,
    QuotaExceeded,
    S3Error,
)
from bleepstore.names import can_be_bucket
from bleepstore_server.wire.dates import http_date
from bleepstore_server.wire.errors import DETAIL, ERRORS, RequestError

READ_ONLY = "This store is served read-only: nothing in it can be changed."

#: Fields of the library whose element is not just the field's name in camel case.
_ELEMENTS = {
    "access_key": "AWSAccessKeyId",
    "bucket": "BucketName",
    "computed": "CalculatedDigest",
    "content_md5": "Content-MD5",
    "email": "EmailAddress",
    "etag": "ETag",
    "expected": "ExpectedDigest",
}
#: Fields that are no elements of their own.
_HIDDEN = frozenset({"algorithm", "argument_name", "argument_value", "condition", "delete_marker", "first",
                     "is_versioned", "last", "limit", "modified_ms", "of_source", "reason"})  # fmt: skip
#: Arguments of the library -> parameters and headers of a request.
_ARGUMENTS = {
    "after_upload_id": "upload-id-marker",
    "after_version_id": "version-id-marker",
    "number": "partNumber",
    "part_number": "partNumber",
    "source_range": "x-amz-copy-source-range",
    "days": "Days",
    "retention": "x-amz-object-lock-retain-until-date",
    "storage_class": "x-amz-storage-class",
    "tier": "Tier",
    "version_id": "versionId",
}
_CONDITIONS = {
    Condition.IF_MATCH: "If-Match",
    Condition.IF_NONE_MATCH: "If-None-Match",
    Condition.IF_MODIFIED_SINCE: "If-Modified-Since",
    Condition.IF_UNMODIFIED_SINCE: "If-Unmodified-Since",
}
#: (code, argument of the library) -> S3's own words, where the library's are others.
_MESSAGES = {
    ("InvalidArgument", "after_upload_id"): "Invalid uploadId marker",
    ("InvalidRequest", "part_number"): "Cannot specify both Range header and partNumber query parameter",
}
#: Codes of which the reason that the library gives is the message; beside another code it is a detail.
_REASON_IS_MESSAGE = frozenset({"BadRequest", "InternalError", "InvalidArgument", "InvalidBucketState",
                                "InvalidObjectState", "InvalidRequest", "InvalidRetentionPeriod", "InvalidTag",
                                "MalformedPolicy", "NotImplemented", "ServiceUnavailable"})  # fmt: skip


@functools.cache
def _element_of(field: str) -> str:
    return _ELEMENTS.get(field) or "".join(word.capitalize() for word in field.split("_"))


def translate(error: S3Error, method: str = "") -> RequestError:
    """A refusal of the store in S3's words. `method` is that of the request."""
    fields = {_element_of(name): str(value) for name, value in error.fields.items() if name not in _HIDDEN}
    headers: list[tuple[str, str]] = []
    reason: str | None = getattr(error, "reason", None)
    message = None
    if reason is not None and error.code in _REASON_IS_MESSAGE:
        message = _MESSAGES.get((error.code, getattr(error, "argument_name", None) or ""), reason)
    elif reason is not None:
        fields[DETAIL] = reason
    if condition := getattr(error, "condition", None):
        of_source = isinstance(error, PreconditionFailed) and error.of_source
        fields["Condition"] = ("x-amz-copy-source-" if of_source else "") + _CONDITIONS[condition]
    elif isinstance(error, BadDigest):
        message = _digest_message(error, fields)
    elif isinstance(error, InvalidArgument):
        fields |= _argument_fields(error)
    elif isinstance(error, InvalidRange):
        fields["RangeRequested"] = f"bytes={_or_nothing(error.first)}-{_or_nothing(error.last)}"
    elif isinstance(error, MethodNotAllowed):
        fields = {"Method": method, "ResourceType": error.resource_type or ""}
        if error.resource_type == "DeleteMarker":
            headers.append(("Allow", "DELETE"))
            headers += _marker_headers(error.version_id)
            if error.modified_ms is not None:
                headers.append(("Last-Modified", http_date(error.modified_ms // 1000)))
    elif isinstance(error, QuotaExceeded):
        fields, message = {"BucketName": error.bucket}, error.message
    elif isinstance(error, ObjectLocked):
        message = "Access Denied because object protected by object lock."
    elif isinstance(error, InvalidObjectState) and error.of_source:
        message = "Operation is not valid for the source object's storage class"
    elif isinstance(error, NoSuchKey) and error.delete_marker:
        fields.pop("VersionId", None)
        headers += _marker_headers(error.version_id)
    elif isinstance(error, BucketNotEmpty) and error.is_versioned:
        message = "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
    # No bucket can have such a name, S3 says instead of that there is none (versitygw issue 1358).
    is_no_name = isinstance(error, NoSuchBucket) and not can_be_bucket(error.bucket)
    return RequestError("InvalidBucketName" if is_no_name else error.code, message, fields=fields, headers=headers)


def _argument_fields(error: InvalidArgument) -> dict[str, str]:
    name, value = error.argument_name, error.argument_value
    fields = {} if name is None else {"ArgumentName": _ARGUMENTS.get(name, name)}
    if value is not None:
        fields["ArgumentValue"] = f"bytes={value}" if name == "source_range" else value
    return fields


def _marker_headers(version_id: str | None) -> list[tuple[str, str]]:
    return [("x-amz-delete-marker", "true"), ("x-amz-version-id", version_id or "")]


def _or_nothing(number: int | None) -> str:
    return "" if number is None else str(number)


def _digest_message(error: BadDigest, fields: dict[str, str]) -> str:
    if error.argument_name == "content_md5":
        # S3 shows the digest that was sent in hex, and the one of what came as the header would have had it.
        fields["CalculatedDigest"] = base64.b64encode(bytes.fromhex(error.computed)).decode("ascii")
        return ERRORS["BadDigest"].message
    return f"The {error.algorithm} you specified did not match the calculated checksum."
