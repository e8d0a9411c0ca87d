"""The store's refusals in S3's words: status, message, and the names of the elements that carry their facts."""

from __future__ import annotations

import base64

from bleepstore.errors import BadDigest, InvalidArgument, MethodNotAllowed, PreconditionFailed, S3Error
from bleepstore_server.wire.errors import DETAIL, ERRORS, RequestError

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
_HIDDEN = frozenset({"algorithm", "delete_marker", "limit", "modified_ms", "of_source", "reason", "retry_after"})
#: Arguments of the library -> parameters and headers of a request.
_ARGUMENTS = {
    "after_upload_id": "upload-id-marker",
    "number": "partNumber",
    "part_number": "partNumber",
    "source_range": "x-amz-copy-source-range",
    "storage_class": "x-amz-storage-class",
}
#: Codes of which the reason that the library gives is the message; beside another code it is a detail.
_REASON_IS_MESSAGE = frozenset({"InternalError", "InvalidArgument", "InvalidRequest", "NotImplemented",
                                "ServiceUnavailable"})  # fmt: skip


def translate(error: S3Error, method: str = "") -> RequestError:
    """A refusal of the store in S3's words. `method` is that of the request."""
    fields = {
        _ELEMENTS.get(name) or "".join(word.capitalize() for word in name.split("_")): str(value)
        for name, value in error.fields.items()
        if name not in _HIDDEN
    }
    headers: list[tuple[str, str]] = []
    reason: str | None = getattr(error, "reason", None)
    message = None
    if reason is not None and error.code in _REASON_IS_MESSAGE:
        message = reason
    elif reason is not None:
        fields[DETAIL] = reason
    if isinstance(error, PreconditionFailed) and error.of_source:
        fields["Condition"] = f"x-amz-copy-source-{error.condition}"
    elif isinstance(error, BadDigest):
        message = _digest_message(error, fields)
    elif isinstance(error, InvalidArgument) and error.argument_name in _ARGUMENTS:
        fields["ArgumentName"] = _ARGUMENTS[error.argument_name]
    elif isinstance(error, MethodNotAllowed):
        fields = {"Method": method, **fields}
        if error.resource_type == "DeleteMarker":
            headers.append(("Allow", "DELETE"))
    return RequestError(error.code, message, fields=fields, headers=headers)


def _digest_message(error: BadDigest, fields: dict[str, str]) -> str:
    if error.algorithm == "Content-MD5":
        # S3 shows the digest that was sent in hex, and the one of what came as the header would have had it.
        fields["CalculatedDigest"] = base64.b64encode(bytes.fromhex(error.computed)).decode("ascii")
        return ERRORS["BadDigest"][1]
    return f"The {error.algorithm} you specified did not match the calculated checksum."
