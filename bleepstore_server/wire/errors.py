"""Refusals that only exist on the wire: signatures, framing, documents.

One class serves them all; the table below has each code's status and default message. What the store itself refuses
is an `S3Error` of the library and gets its status in `status.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

_NO_FIELDS: Mapping[str, str] = {}

#: code -> (HTTP status, message), after "Error responses" of the S3 API reference.
_KNOWN: dict[str, tuple[int, str]] = {
    "AccessDenied": (403, "Access denied."),
    "AccessForbidden": (403, "CORS is not enabled for this bucket."),
    "AuthorizationHeaderMalformed": (400, "The authorization header is malformed."),
    "AuthorizationQueryParametersError": (400, "The authorization query parameters are not valid."),
    "BadDigest": (400, "The digest that you specified does not match what was received."),
    "BadRequest": (400, "The request is not valid HTTP."),
    "EntityTooLarge": (400, "The proposed upload exceeds the maximum allowed size."),
    "EntityTooSmall": (400, "The proposed upload is smaller than the minimum allowed size."),
    "IllegalLocationConstraintException": (400, "The location constraint is not valid here."),
    "IncompleteBody": (400, "The body ended before the declared number of bytes."),
    "InvalidAccessKeyId": (403, "The access key that you provided does not exist, or is disabled."),
    "InvalidArgument": (400, "An argument is not valid."),
    "InvalidChunkSizeError": (403, "A chunk is not framed as aws-chunked."),
    "InvalidDigest": (400, "The digest that you specified is not valid."),
    "InvalidEncryptionAlgorithmError": (400, "The encryption algorithm is not valid."),
    "InvalidLocationConstraint": (400, "The specified location-constraint is not valid"),
    "InvalidPolicyDocument": (400, "The policy document is not valid."),
    "InvalidRange": (416, "The requested range is not satisfiable."),
    "InvalidRequest": (400, "The request is not valid."),
    "InvalidStorageClass": (400, "The storage class is not one of S3's."),
    "InvalidTag": (400, "A tag is not valid."),
    "InvalidURI": (400, "The request target cannot be parsed."),
    "MalformedPOSTRequest": (400, "The body is not well-formed multipart/form-data."),
    "MalformedTrailerError": (400, "The trailers are not well formed, or not those that were announced."),
    "MalformedXML": (400, "The XML is not well formed or does not match the schema."),
    "MaxMessageLengthExceeded": (400, "The request is too big."),
    "MaxPostPreDataLengthExceededError": (400, "The fields before the file are too big."),
    "MetadataTooLarge": (400, "Your metadata headers exceed the maximum allowed metadata size."),
    "MethodNotAllowed": (405, "The method is not allowed on this resource."),
    "MissingContentLength": (411, "The length of the body must be given in the Content-Length header."),
    "MissingRequestBodyError": (400, "The request needs a body."),
    "MissingSecurityHeader": (400, "The request lacks a required header."),
    "NotImplemented": (501, "This store does not implement the functionality that the request needs."),
    "RequestHeaderSectionTooLarge": (400, "The headers of the request are too large."),
    "RequestTimeTooSkewed": (403, "The time of the request differs too much from the server's time."),
    "RequestTimeout": (400, "The connection was idle for too long while the body was read."),
    "SignatureDoesNotMatch": (
        403,
        "The signature that we computed is not the one that you provided. Check your secret key and signing method.",
    ),
    "UserKeyMustBeSpecified": (400, "The form must have a field named key."),
    "XAmzContentSHA256Mismatch": (400, "The x-amz-content-sha256 that you provided is not that of the body."),
}


class RequestError(Exception):
    """A request that is refused with an S3 error code. `fields` become elements of the error document."""

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        status: int | None = None,
        fields: Mapping[str, str] = _NO_FIELDS,
    ) -> None:
        known_status, known_message = _KNOWN[code] if status is None or message is None else (status, message)
        self.code = code
        self.status = known_status if status is None else status
        self.message = known_message if message is None else message
        self.fields = fields
        super().__init__(f"{code}: {self.message}")
