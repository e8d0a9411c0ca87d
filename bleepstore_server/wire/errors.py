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


class ErrorRow(NamedTuple):
    """What the table has of a code."""

    #: That of HTTP.
    status: int
    message: str
    #: Whether S3 has many messages for it, one for each thing that can be wrong. Those of all others never vary, so
    #: that what this server has to add goes into an element of its own, which S3 has too.
    varies: bool = False


ERRORS: dict[str, ErrorRow] = {
    "AccessControlListNotSupported": ErrorRow(400, "The bucket does not allow ACLs"),
    "AccessDenied": ErrorRow(403, "Access Denied", varies=True),
    "AccessForbidden": ErrorRow(403, "CORSResponse: CORS is not enabled for this bucket.", varies=True),
    "AuthorizationHeaderMalformed": ErrorRow(
        400,
        "The authorization header that you provided is not valid.",
        varies=True,
    ),
    "AuthorizationQueryParametersError": ErrorRow(
        400,
        "The authorization query parameters that you provided are not valid.",
        varies=True,
    ),
    "BadDigest": ErrorRow(400, "The Content-MD5 you specified did not match what we received.", varies=True),
    "BadRequest": ErrorRow(400, "An error occurred when parsing the HTTP request.", varies=True),
    "BucketAlreadyExists": ErrorRow(
        409,
        "The requested bucket name is not available. The bucket namespace is shared by all users of the "
        "system. Please select a different name and try again.",
    ),
    "BucketAlreadyOwnedByYou": ErrorRow(
        409,
        "Your previous request to create the named bucket succeeded and you already own it.",
    ),
    "BucketNotEmpty": ErrorRow(409, "The bucket you tried to delete is not empty", varies=True),
    "ConditionalRequestConflict": ErrorRow(
        409,
        "The conditional request cannot succeed due to a conflicting operation against this resource.",
    ),
    "EntityTooLarge": ErrorRow(400, "Your proposed upload exceeds the maximum allowed size"),
    # Of what IAM says about users, which no operation of S3 does ("Common errors" and CreateUser).
    "EntityAlreadyExists": ErrorRow(409, "The user exists already.", varies=True),
    "LimitExceeded": ErrorRow(409, "A limit on users is reached.", varies=True),
    "EntityTooSmall": ErrorRow(400, "Your proposed upload is smaller than the minimum allowed size"),
    "ExpiredToken": ErrorRow(400, "The provided token has expired."),
    "IllegalLocationConstraintException": ErrorRow(
        400,
        "The unspecified location constraint is incompatible for the region specific endpoint this "
        "request was sent to.",
    ),
    "IllegalVersioningConfigurationException": ErrorRow(
        400,
        "The versioning configuration specified in the request is invalid.",
        varies=True,
    ),
    "IncompleteBody": ErrorRow(
        400,
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
    ),
    "InsufficientStorage": ErrorRow(
        507,
        "The disk of the store is full: nothing was changed, and reads go on. Free some space and try again.",
    ),
    "InternalError": ErrorRow(500, "We encountered an internal error. Please try again.", varies=True),
    "InvalidAccessKeyId": ErrorRow(403, "The AWS Access Key Id you provided does not exist in our records."),
    "InvalidArgument": ErrorRow(400, "Invalid Argument", varies=True),
    "InvalidBucketAclWithBlockPublicAccessError": ErrorRow(
        400,
        "Bucket cannot have public ACLs set with BlockPublicAccess enabled",
    ),
    "InvalidBucketAclWithObjectOwnership": ErrorRow(
        400,
        "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
    ),
    "InvalidBucketName": ErrorRow(400, "The specified bucket is not valid."),
    "InvalidBucketOwnerAWSAccountID": ErrorRow(
        400,
        "The value of the expected bucket owner parameter must be an AWS Account ID...",
    ),
    "InvalidBucketState": ErrorRow(409, "The request is not valid for the current state of the bucket.", varies=True),
    "InvalidChunkSizeError": ErrorRow(403, "Only the last chunk is allowed to have a size less than 8192 bytes"),
    "InvalidDigest": ErrorRow(400, "The Content-MD5 you specified was invalid."),
    "InvalidEncryptionAlgorithmError": ErrorRow(
        400,
        "The encryption request you specified is not valid. The valid value is AES256.",
    ),
    "InvalidLocationConstraint": ErrorRow(400, "The specified location-constraint is not valid"),
    "InvalidObjectState": ErrorRow(403, "The operation is not valid for the object's storage class", varies=True),
    "InvalidPart": ErrorRow(
        400,
        "One or more of the specified parts could not be found.  The part may not have been uploaded, "
        "or the specified entity tag may not match the part's entity tag.",
    ),
    "InvalidPartNumber": ErrorRow(416, "The requested partnumber is not satisfiable"),
    "InvalidPartOrder": ErrorRow(
        400,
        "The list of parts was not in ascending order. Parts must be ordered by part number.",
    ),
    "InvalidPolicyDocument": ErrorRow(
        400,
        "The content of the form does not meet the conditions specified in the policy document.",
        varies=True,
    ),
    "InvalidRange": ErrorRow(416, "The requested range is not satisfiable"),
    "InvalidRedirectLocation": ErrorRow(
        400,
        "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
    ),
    "InvalidRequest": ErrorRow(400, "Invalid Request", varies=True),
    "InvalidRetentionPeriod": ErrorRow(400, "Default retention period must be a positive integer value.", varies=True),
    "InvalidStorageClass": ErrorRow(400, "The storage class you specified is not valid"),
    "InvalidTag": ErrorRow(400, "The tag provided was not a valid tag.", varies=True),
    "InvalidTargetBucketForLogging": ErrorRow(
        400,
        "The target bucket for logging does not exist, is not owned by you, or does not have the appropriate grants "
        "for the log-delivery group.",
    ),
    "InvalidToken": ErrorRow(400, "The provided token is malformed or otherwise not valid."),
    "InvalidURI": ErrorRow(400, "Couldn't parse the specified URI."),
    "KMS.NotFoundException": ErrorRow(400, "Invalid keyId", varies=True),
    "KeyTooLongError": ErrorRow(400, "Your key is too long"),
    "MalformedACLError": ErrorRow(
        400,
        "The XML you provided was not well-formed or did not validate against our published schema",
    ),
    "MalformedPOSTRequest": ErrorRow(400, "The body of your POST request is not well-formed multipart/form-data."),
    "MalformedPolicy": ErrorRow(400, "Policies must be valid JSON and the first byte must be '{'", varies=True),
    "MalformedTrailerError": ErrorRow(
        400,
        "The request contained trailing data that was not well-formed or did not conform to our published schema.",
    ),
    "MalformedXML": ErrorRow(
        400,
        "The XML you provided was not well-formed or did not validate against our published schema",
    ),
    "MaxMessageLengthExceeded": ErrorRow(400, "Your request was too big."),
    "MaxPostPreDataLengthExceededError": ErrorRow(
        400,
        "Your POST request fields preceding the upload file were too large.",
    ),
    "MetadataConfigurationNotFound": ErrorRow(404, "The metadata configuration was not found"),
    "MetadataTooLarge": ErrorRow(400, "Your metadata headers exceed the maximum allowed metadata size"),
    "MethodNotAllowed": ErrorRow(405, "The specified method is not allowed against this resource."),
    "MissingContentLength": ErrorRow(411, "You must provide the Content-Length HTTP header."),
    "MissingRequestBodyError": ErrorRow(400, "Request Body is empty"),
    "MissingSecurityHeader": ErrorRow(400, "Your request was missing a required header"),
    "NoSuchBucket": ErrorRow(404, "The specified bucket does not exist"),
    "NoSuchBucketPolicy": ErrorRow(404, "The bucket policy does not exist"),
    "NoSuchCORSConfiguration": ErrorRow(404, "The CORS configuration does not exist"),
    "NoSuchConfiguration": ErrorRow(404, "The specified configuration does not exist."),
    "NoSuchEntity": ErrorRow(404, "The request was rejected because it referenced an entity that does not exist."),
    "NoSuchKey": ErrorRow(404, "The specified key does not exist."),
    "NoSuchLifecycleConfiguration": ErrorRow(404, "The lifecycle configuration does not exist"),
    "NoSuchObjectLockConfiguration": ErrorRow(404, "The specified object does not have a ObjectLock configuration"),
    "NoSuchPublicAccessBlockConfiguration": ErrorRow(404, "The public access block configuration was not found"),
    "NoSuchTagSet": ErrorRow(404, "The TagSet does not exist"),
    "NoSuchUpload": ErrorRow(
        404,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been "
        "aborted or completed.",
    ),
    "NoSuchVersion": ErrorRow(404, "The specified version does not exist."),
    "NoSuchWebsiteConfiguration": ErrorRow(404, "The specified bucket does not have a website configuration"),
    "NotImplemented": ErrorRow(501, "A header you provided implies functionality that is not implemented", varies=True),
    "NotModified": ErrorRow(304, "Not Modified"),
    "ObjectAlreadyInActiveTierError": ErrorRow(403, "This action is not allowed against this storage tier."),
    "ObjectLockConfigurationNotFoundError": ErrorRow(404, "Object Lock configuration does not exist for this bucket"),
    "OperationAborted": ErrorRow(
        409,
        "A conflicting conditional operation is currently in progress against this resource. Please try again.",
    ),
    "OwnershipControlsNotFoundError": ErrorRow(404, "The bucket ownership controls were not found"),
    "PreconditionFailed": ErrorRow(412, "At least one of the pre-conditions you specified did not hold", varies=True),
    "ReplicationConfigurationNotFoundError": ErrorRow(404, "The replication configuration was not found"),
    "RestoreAlreadyInProgress": ErrorRow(409, "Object restore is already in progress"),
    "RequestHeaderSectionTooLarge": ErrorRow(400, "Your request header section exceeds the maximum allowed size."),
    "QuotaExceeded": ErrorRow(403, "The write would exceed a quota: nothing was changed.", varies=True),
    "RequestTimeTooSkewed": ErrorRow(403, "The difference between the request time and the current time is too large."),
    "RequestTimeout": ErrorRow(
        400,
        "Your socket connection to the server was not read from or written to within the timeout "
        "period. Idle connections will be closed.",
    ),
    "ServerSideEncryptionConfigurationNotFoundError": ErrorRow(
        404,
        "The server side encryption configuration was not found",
    ),
    "ServiceUnavailable": ErrorRow(503, "Service is unable to handle request.", varies=True),
    "SignatureDoesNotMatch": ErrorRow(
        403,
        "The request signature we calculated does not match the signature you provided. Check your key "
        "and signing method.",
    ),
    "SlowDown": ErrorRow(503, "Please reduce your request rate."),
    "TooManyConfigurations": ErrorRow(
        400,
        "You are attempting to create a new configuration but have already reached the 1,000-configuration limit.",
    ),
    "UnexpectedContent": ErrorRow(400, "This request does not support content", varies=True),
    "UnresolvableGrantByEmailAddress": ErrorRow(
        400,
        "The e-mail address you provided does not match any account on record.",
    ),
    "UserKeyMustBeSpecified": ErrorRow(
        400,
        "The bucket POST must contain the specified field name. If it is specified, check the order of the fields.",
    ),
    "XAmzContentSHA256Mismatch": ErrorRow(
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
