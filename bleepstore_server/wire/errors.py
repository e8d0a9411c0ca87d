"""What S3 answers when it refuses: one table of codes, each with its HTTP status and message.

The messages are those that Amazon S3 sends, for programs match them ("Error responses" of the S3 API reference; where
that page and the answers on the wire differ in words, the table has the words of the wire). A refusal that only exists
on the wire (signatures, framing, documents) is raised as a `RequestError`; one of the store is an `S3Error` of the
library, and `refusals.translate` gives it its status, its message and the names of its elements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

_NO_FIELDS: Mapping[str, str] = {}


class Entry(NamedTuple):
    """What the table has of a code."""

    #: That of HTTP.
    status: int
    message: str
    #: Whether S3 has many messages for it, one for each thing that can be wrong. Those of all others never vary, so
    #: that what this server has to add goes into an element of its own, which S3 has too.
    varies: bool = False


ERRORS: dict[str, Entry] = {
    "AccessDenied": Entry(403, "Access Denied", varies=True),
    "AccessForbidden": Entry(403, "CORSResponse: CORS is not enabled for this bucket."),
    "AuthorizationHeaderMalformed": Entry(
        400,
        "The authorization header that you provided is not valid.",
        varies=True,
    ),
    "AuthorizationQueryParametersError": Entry(
        400,
        "The authorization query parameters that you provided are not valid.",
        varies=True,
    ),
    "BadDigest": Entry(400, "The Content-MD5 you specified did not match what we received.", varies=True),
    "BadRequest": Entry(400, "An error occurred when parsing the HTTP request.", varies=True),
    "BucketAlreadyExists": Entry(
        409,
        "The requested bucket name is not available. The bucket namespace is shared by all users of the "
        "system. Please select a different name and try again.",
    ),
    "BucketAlreadyOwnedByYou": Entry(
        409,
        "Your previous request to create the named bucket succeeded and you already own it.",
    ),
    "BucketNotEmpty": Entry(409, "The bucket you tried to delete is not empty", varies=True),
    "ConditionalRequestConflict": Entry(
        409,
        "The conditional request cannot succeed due to a conflicting operation against this resource.",
    ),
    "EntityTooLarge": Entry(400, "Your proposed upload exceeds the maximum allowed size"),
    "EntityTooSmall": Entry(400, "Your proposed upload is smaller than the minimum allowed size"),
    "IllegalLocationConstraintException": Entry(
        400,
        "The unspecified location constraint is incompatible for the region specific endpoint this "
        "request was sent to.",
    ),
    "IllegalVersioningConfigurationException": Entry(
        400,
        "The versioning configuration specified in the request is invalid.",
        varies=True,
    ),
    "IncompleteBody": Entry(
        400,
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
    ),
    "InsufficientStorage": Entry(
        507,
        "The disk of the store is full: nothing was changed, and reads go on. Free some space and try again.",
    ),
    "InternalError": Entry(500, "We encountered an internal error. Please try again.", varies=True),
    "InvalidAccessKeyId": Entry(403, "The AWS Access Key Id you provided does not exist in our records."),
    "InvalidArgument": Entry(400, "Invalid Argument", varies=True),
    "InvalidBucketName": Entry(400, "The specified bucket is not valid."),
    "InvalidBucketState": Entry(409, "The request is not valid for the current state of the bucket.", varies=True),
    "InvalidChunkSizeError": Entry(403, "Only the last chunk is allowed to have a size less than 8192 bytes"),
    "InvalidDigest": Entry(400, "The Content-MD5 you specified was invalid."),
    "InvalidEncryptionAlgorithmError": Entry(
        400,
        "The encryption request you specified is not valid. The valid value is AES256.",
    ),
    "InvalidLocationConstraint": Entry(400, "The specified location-constraint is not valid"),
    "InvalidObjectState": Entry(403, "The operation is not valid for the object's storage class", varies=True),
    "InvalidPart": Entry(
        400,
        "One or more of the specified parts could not be found.  The part may not have been uploaded, "
        "or the specified entity tag may not match the part's entity tag.",
    ),
    "InvalidPartNumber": Entry(416, "The requested partnumber is not satisfiable"),
    "InvalidPartOrder": Entry(
        400,
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
    ),
    "InvalidPolicyDocument": Entry(
        400,
        "The content of the form does not meet the conditions specified in the policy document.",
        varies=True,
    ),
    "InvalidRange": Entry(416, "The requested range is not satisfiable"),
    "InvalidRedirectLocation": Entry(
        400,
        "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
    ),
    "InvalidRequest": Entry(400, "Invalid Request", varies=True),
    "InvalidRetentionPeriod": Entry(400, "Default retention period must be a positive integer value.", varies=True),
    "InvalidStorageClass": Entry(400, "The storage class you specified is not valid"),
    "InvalidTag": Entry(400, "The tag provided was not a valid tag.", varies=True),
    "InvalidURI": Entry(400, "Couldn't parse the specified URI."),
    "KeyTooLongError": Entry(400, "Your key is too long"),
    "MalformedACLError": Entry(
        400,
        "The XML you provided was not well-formed or did not validate against our published schema",
    ),
    "MalformedPOSTRequest": Entry(400, "The body of your POST request is not well-formed multipart/form-data."),
    "MalformedTrailerError": Entry(
        400,
        "The request contained trailing data that was not well-formed or did not conform to our published schema.",
    ),
    "MalformedXML": Entry(
        400,
        "The XML you provided was not well-formed or did not validate against our published schema",
    ),
    "MaxMessageLengthExceeded": Entry(400, "Your request was too big."),
    "MaxPostPreDataLengthExceededError": Entry(
        400,
        "Your POST request fields preceding the upload file were too large.",
    ),
    "MetadataTooLarge": Entry(400, "Your metadata headers exceed the maximum allowed metadata size"),
    "MethodNotAllowed": Entry(405, "The specified method is not allowed against this resource."),
    "MissingContentLength": Entry(411, "You must provide the Content-Length HTTP header."),
    "MissingSecurityHeader": Entry(400, "Your request was missing a required header"),
    "NoSuchBucket": Entry(404, "The specified bucket does not exist"),
    "NoSuchBucketPolicy": Entry(404, "The bucket policy does not exist"),
    "NoSuchCORSConfiguration": Entry(404, "The CORS configuration does not exist"),
    "NoSuchConfiguration": Entry(404, "The specified configuration does not exist."),
    "NoSuchKey": Entry(404, "The specified key does not exist."),
    "NoSuchLifecycleConfiguration": Entry(404, "The lifecycle configuration does not exist"),
    "NoSuchObjectLockConfiguration": Entry(404, "The specified object does not have a ObjectLock configuration"),
    "NoSuchPublicAccessBlockConfiguration": Entry(404, "The public access block configuration was not found"),
    "NoSuchTagSet": Entry(404, "The TagSet does not exist"),
    "NoSuchUpload": Entry(
        404,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been "
        "aborted or completed.",
    ),
    "NoSuchVersion": Entry(404, "The specified version does not exist."),
    "NoSuchWebsiteConfiguration": Entry(404, "The specified bucket does not have a website configuration"),
    "NotImplemented": Entry(501, "A header you provided implies functionality that is not implemented", varies=True),
    "NotModified": Entry(304, "Not Modified"),
    "ObjectAlreadyInActiveTierError": Entry(403, "This action is not allowed against this storage tier."),
    "ObjectLockConfigurationNotFoundError": Entry(404, "Object Lock configuration does not exist for this bucket"),
    "OperationAborted": Entry(
        409,
        "A conflicting conditional operation is currently in progress against this resource. Please try again.",
    ),
    "OwnershipControlsNotFoundError": Entry(404, "The bucket ownership controls were not found"),
    "PreconditionFailed": Entry(412, "At least one of the pre-conditions you specified did not hold", varies=True),
    "ReplicationConfigurationNotFoundError": Entry(404, "The replication configuration was not found"),
    "RestoreAlreadyInProgress": Entry(409, "Object restore is already in progress"),
    "RequestHeaderSectionTooLarge": Entry(400, "Your request header section exceeds the maximum allowed size."),
    "RequestTimeTooSkewed": Entry(403, "The difference between the request time and the current time is too large."),
    "RequestTimeout": Entry(
        400,
        "Your socket connection to the server was not read from or written to within the timeout "
        "period. Idle connections will be closed.",
    ),
    "ServerSideEncryptionConfigurationNotFoundError": Entry(
        404,
        "The server side encryption configuration was not found",
    ),
    "ServiceUnavailable": Entry(503, "Service is unable to handle request.", varies=True),
    "SignatureDoesNotMatch": Entry(
        403,
        "The request signature we calculated does not match the signature you provided. Check your key "
        "and signing method.",
    ),
    "SlowDown": Entry(503, "Please reduce your request rate."),
    "UnexpectedContent": Entry(400, "This request does not support content", varies=True),
    "UnresolvableGrantByEmailAddress": Entry(
        400,
        "The e-mail address you provided does not match any account on record.",
    ),
    "UserKeyMustBeSpecified": Entry(
        400,
        "The bucket POST must contain the specified field name. If it is specified, check the order of the fields.",
    ),
    "XAmzContentSHA256Mismatch": Entry(
        400,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
        varies=True,
    ),
}

#: The element for what a message that never varies leaves to say.
DETAIL = "additionalMessage"


class RequestError(Exception):
    """A request that is refused with an S3 error code, which has to be in the table.

    `message` says what was wrong: it is S3's own text, or the detail that this server adds to one that never varies.
    `fields` become elements of the error document, `headers` go with it.
    """

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        fields: Mapping[str, str] = _NO_FIELDS,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        entry = ERRORS[code]
        if message is None:
            message = entry.message
        elif not entry.varies and message != entry.message:
            fields = {**fields, DETAIL: message}
            message = entry.message
        self.code = code
        self.status = entry.status
        self.message = message
        self.fields = fields
        self.headers = headers
        super().__init__(f"{code}: {fields.get(DETAIL, message)}")
