"""What STS refuses, in its words ("Common Errors", and the errors of each action, in the API Reference of AWS STS)."""

from __future__ import annotations

from collections.abc import Mapping

from bleepstore.errors import (
    AccessDenied,
    ExpiredToken,
    InvalidArgument,
    InvalidToken,
    MalformedPolicy,
    S3Error,
    StoreReadOnly,
    Unavailable,
)
from bleepstore_server.wire.errors import RequestError

#: Code -> (status, what is said where nothing else is).
CODES: Mapping[str, tuple[int, str]] = {
    "AccessDenied": (403, "Access denied"),
    "ExpiredToken": (403, "The security token included in the request is expired"),
    "ExpiredTokenException": (400, "The web identity token that was passed is expired or is not valid."),
    "IDPCommunicationError": (400, "The identity provider could not be reached."),
    "IncompleteSignature": (400, "The request signature does not conform to AWS standards."),
    "InternalFailure": (500, "The request processing has failed because of an internal error."),
    "InvalidAction": (400, "The action or operation requested is invalid."),
    "InvalidClientTokenId": (403, "The security token included in the request is invalid."),
    "InvalidIdentityToken": (400, "The web identity token that was passed could not be validated."),
    "MalformedPolicyDocument": (400, "The policy document is malformed."),
    "MissingAction": (400, "The request is missing an action or a required parameter."),
    "MissingAuthenticationToken": (403, "Request is missing Authentication Token"),
    "NotImplemented": (501, "This store does not do that."),
    "ServiceUnavailable": (503, "The request has failed due to a temporary failure of the server."),
    "SignatureDoesNotMatch": (
        403,
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details.",
    ),
    "ValidationError": (400, "The input fails to satisfy the constraints specified by an AWS service."),
}

#: Codes of S3 of a signature that is not right -> that of STS, and whether the message is kept.
_OF_SIGNATURES: Mapping[str, tuple[str, bool]] = {
    "AuthorizationHeaderMalformed": ("IncompleteSignature", True),
    "AccessDenied": ("IncompleteSignature", True),
    "InvalidAccessKeyId": ("InvalidClientTokenId", False),
    "InvalidRequest": ("IncompleteSignature", True),
    "RequestTimeTooSkewed": ("SignatureDoesNotMatch", True),
    "SignatureDoesNotMatch": ("SignatureDoesNotMatch", False),
    "XAmzContentSHA256Mismatch": ("SignatureDoesNotMatch", True),
}


class ServiceError(Exception):
    """A request that is refused with a code of the table."""

    def __init__(self, code: str, message: str | None = None) -> None:
        self.code = code
        self.status, default = CODES[code]
        self.message = message or default
        super().__init__(f"{code}: {self.message}")


def of_signature(error: RequestError) -> ServiceError:
    """What is wrong with a signature."""
    code, keeps = _OF_SIGNATURES.get(error.code, ("ValidationError", True))
    return ServiceError(code, error.message if keeps else None)


def translate(error: S3Error | StoreReadOnly) -> ServiceError:
    """A refusal of the store."""
    match error:
        case InvalidToken():
            return ServiceError("InvalidClientTokenId")
        case ExpiredToken():
            return ServiceError("ExpiredToken")
        case AccessDenied() | StoreReadOnly():
            return ServiceError("AccessDenied", str(error.message) if isinstance(error, S3Error) else str(error))
        case MalformedPolicy():
            return ServiceError("MalformedPolicyDocument", error.message)
        case InvalidArgument():
            return ServiceError("ValidationError", error.message)
        case Unavailable():
            is_known = error.code == "NotImplemented"
            return ServiceError("NotImplemented" if is_known else "ServiceUnavailable", error.message)
    return ServiceError("InternalFailure")
