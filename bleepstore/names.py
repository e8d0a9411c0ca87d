"""What buckets and keys may be called ("Bucket naming rules", "Naming Amazon S3 objects")."""

from __future__ import annotations

import re

from bleepstore.errors import InvalidArgument, InvalidBucketName, InvalidURI, KeyTooLong
from bleepstore.model import ANONYMOUS_OWNER, MAX_KEY_BYTES, NULL_VERSION

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
#: What buckets could once be called, in us-east-1.
_OLD_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")
_IP_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
MAX_ACCESS_KEY = 128
_ACCESS_KEY = re.compile(rf"[!-+.0-9;<>-~\-]{{1,{MAX_ACCESS_KEY}}}")
#: What an ARN can hold, and nothing takes for something else.
_ACCOUNT_ID = re.compile(r"[^:/*?$\s\ud800-\udfff]+")
_VERSION_ID = re.compile(r"[A-Za-z0-9._]{32}")
_RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3", "-an")


def check_type(what: str, name: object) -> None:
    """Raise TypeError unless a name is a str: bytes or a path would be a name that nothing ever has."""
    if not isinstance(name, str):
        raise TypeError(f"a {what} is a str, not {type(name).__name__}: {name!r}")


def check_bucket_name(bucket: str) -> None:
    """Raise InvalidBucketName unless a general purpose bucket may have this name."""
    check_type("bucket", bucket)
    reason = None
    if not _BUCKET.fullmatch(bucket):
        reason = (
            "A bucket name has 3 to 63 characters: lower-case letters, digits, dots and hyphens; "
            "it begins and ends with a letter or digit."
        )
    elif ".." in bucket:
        reason = "A bucket name must not have two dots in a row."
    elif _IP_ADDRESS.fullmatch(bucket):
        reason = "A bucket name must not look like an IP address."
    elif bucket.startswith(_RESERVED_PREFIXES) or bucket.endswith(_RESERVED_SUFFIXES):
        reason = "This prefix or suffix of a bucket name is reserved."
    if reason:
        raise InvalidBucketName(bucket, reason)


def can_be_bucket(name: str) -> bool:
    """Whether there can be a bucket of this name, were it one from before the rules of today."""
    return _OLD_BUCKET.fullmatch(name) is not None


def check_account_id(account_id: str) -> None:
    """Raise InvalidArgument unless users and roles, which ARNs name, can be of an account of this id."""
    if not _ACCOUNT_ID.fullmatch(account_id) or account_id == ANONYMOUS_OWNER.id:
        raise InvalidArgument("An account with this id can have no users and roles.", "account", account_id)


def check_access_key(access_key: str) -> None:
    """Raise InvalidArgument unless it can be an access key. AWS's have 16 to 128 characters (`AccessKeyId` of IAM);
    shorter ones are allowed, as programs have them in their settings for tests."""
    if not _ACCESS_KEY.fullmatch(access_key):
        raise InvalidArgument(
            f"An access key is up to {MAX_ACCESS_KEY} characters of printable ASCII without '/', ',', '=', ':' and "
            "spaces.",
            "access_key",
        )


def check_key(key: str) -> None:
    """Raise KeyTooLong, InvalidURI or InvalidArgument unless an object may have this key; TypeError if it is no str."""
    if type(key) is not str:
        check_type("key", key)
    if not key:
        raise InvalidArgument("A key must not be empty.", "key")
    if len(key) * 4 <= MAX_KEY_BYTES and key.isascii():
        return
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidURI("A key must be valid UTF-8.") from None
    if size > MAX_KEY_BYTES:
        raise KeyTooLong(size, MAX_KEY_BYTES)


def is_version_id(text: str) -> bool:
    """Whether a version could have this id: S3's are 32 letters, digits, dots and underscores, or "null"."""
    return text == NULL_VERSION or _VERSION_ID.fullmatch(text) is not None


def check_version_id(version_id: str | None) -> None:
    """Raise InvalidArgument for what cannot be the id of a version. One that could be but is not there is another
    matter: NoSuchVersion."""
    if version_id == "":
        raise InvalidArgument("Version id cannot be the empty string", "version_id", "")
    if version_id is not None and not is_version_id(version_id):
        raise InvalidArgument("Invalid version id specified", "version_id", version_id)


def after_prefix(prefix: str) -> str | None:
    """The least string greater than every string that begins with `prefix`, or None if there is none.

    Strings compare as their UTF-8 bytes do, which is the order of their code points.
    """
    while prefix:
        last = ord(prefix[-1])
        if last < 0x10FFFF:
            # The code points of surrogates cannot be encoded: the next one after U+D7FF is U+E000.
            return prefix[:-1] + chr(0xE000 if last == 0xD7FF else last + 1)
        prefix = prefix[:-1]
    return None
