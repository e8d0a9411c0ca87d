"""The store's refusals as S3 shows them: HTTP status and elements of the error document."""

from __future__ import annotations

from bleepstore.errors import S3Error

#: S3 error code -> HTTP status ("List of error codes" of the S3 API reference). What is not listed is 400.
STATUS: dict[str, int] = {
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "NoSuchVersion": 404,
    "NoSuchUpload": 404,
    "InvalidAccessKeyId": 403,
    "BucketAlreadyExists": 409,
    "BucketAlreadyOwnedByYou": 409,
    "BucketNotEmpty": 409,
    "ConditionalRequestConflict": 409,
    "OperationAborted": 409,
    "PreconditionFailed": 412,
    "NotModified": 304,
    "InvalidRange": 416,
    "InvalidPartNumber": 416,
    "AccessDenied": 403,
    "InvalidObjectState": 403,
    "MethodNotAllowed": 405,
    "NotImplemented": 501,
    "SlowDown": 503,
    "ServiceUnavailable": 503,
    "InsufficientStorage": 507,
    "InternalError": 500,
}

#: Fields whose element is not just the field's name in camel case.
_ELEMENTS = {
    "bucket": "BucketName",
    "etag": "ETag",
    "size": "Size",
    "max_size_allowed": "MaxSizeAllowed",
    "computed": "CalculatedDigest",
    "expected": "ExpectedDigest",
    "content_md5": "Content-MD5",
}
_HIDDEN = frozenset({"reason", "modified_ms", "delete_marker", "retry_after"})


def status_of(error: S3Error) -> int:
    return STATUS.get(error.code, 400)


def fields_of(error: S3Error) -> dict[str, str]:
    """The facts of a refusal by the names of their XML elements."""
    return {
        _ELEMENTS.get(name) or "".join(word.capitalize() for word in name.split("_")): str(value)
        for name, value in error.fields.items()
        if name not in _HIDDEN
    }
