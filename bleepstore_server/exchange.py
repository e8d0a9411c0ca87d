"""One request and its answer, from the first byte to the last."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

import attrs

from bleepstore.access import ANONYMOUS, Action, Caller, LiveSession
from bleepstore.encryption import CustomerKey, Encryption, EncryptionRequest
from bleepstore.errors import S3Error, UnresolvableGrantByEmailAddress
from bleepstore.model import Credential, DeletedObject
from bleepstore.ownership import Payer
from bleepstore.rates import RateLimit
from bleepstore.store import DeleteFailure, Store
from bleepstore.store.bodies import Expected, stage
from bleepstore_server.app_config import AppConfig
from bleepstore_server.rates import RateMeter
from bleepstore_server.request import UNPARSED, Request
from bleepstore_server.wire import checksums, encryption, headers
from bleepstore_server.wire.errors import RequestError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


#: Who asks says by this header that it pays, where the bucket asks for that.
PAYER, REQUESTER = "x-amz-request-payer", "requester"
_MAX_OWNER_ID = 128


@attrs.define(eq=False)
class Exchange:
    """One request and its answer. It is made once and goes through the layers (`bleepstore_server.layers`), each of
    which adds what it finds out; an operation gets it when it is known who asks and that they may."""

    store: Store
    config: AppConfig
    #: A configured access key, or one of the store.
    find_credential: Callable[[str], Credential | None]
    #: What finds who signs with the token of a session, and otherwise nobody.
    find_signer: Callable[[str], Callable[[str], Credential | LiveSession | None]]
    environ: WSGIEnvironment = attrs.field(repr=False)
    request_id: str
    #: What counts the requests of keys that have a rate.
    meter: RateMeter
    #: What answers about objects that are not encrypted say of that: nothing, or what S3 says of every object.
    unencrypted: Sequence[tuple[str, str]] = ()
    #: Nanoseconds of time.monotonic_ns().
    started: int = attrs.field(factory=time.monotonic_ns)
    request: Request = UNPARSED
    #: What the request names; "" where it names none.
    bucket: str = ""
    key: str = ""
    version_id: str | None = None
    operation: str | None = None
    sub_resource: str | None = None
    #: None: nothing that is implemented.
    action: Action | None = None
    #: ANONYMOUS, until it is known.
    caller: Caller = ANONYMOUS
    #: In which the request was counted.
    rate_limits: Sequence[RateLimit] = ()
    status: int = 0
    error_code: str | None = None
    #: Bytes of a refused body that were read all the same, beside those that the request counts.
    drained: int = 0
    #: What the access logs of buckets tell, too: the source of a copy, bytes of the object, and what became of each of
    #: the keys that are deleted at once.
    source: headers.CopySource | None = None
    object_size: int | None = None
    deleted: Sequence[DeletedObject | DeleteFailure] = ()
    #: Those of a form, which speaks instead of the headers.
    fields: Mapping[str, str] | None = None

    def document(self, *, checksum_is_its_own: bool = True, needs_digest: bool = False) -> bytes:
        """The XML body, once its digests are verified as those of an object are. The checksum that is sent with a
        CompleteMultipartUpload is not of its body. One that `needs_digest` is refused without any."""
        request = self.request
        if needs_digest and not (
            "content-md5" in request.headers or checksums.sent_checksum(request.headers) or request.trailer_names
        ):
            raise RequestError("InvalidRequest", "Missing required header for this request: Content-MD5")
        body = request.document()
        checksum = None
        if checksum_is_its_own:
            checksum = checksums.sent_checksum(request.headers)
            # One that contradicts is refused, as for an object.
            checksums.announced_algorithm(request.headers, request.trailer_names, checksum)
            checksum = checksum or request.late_checksum()
        content_md5 = request.headers.get("content-md5")
        if content_md5 is None and checksum is None:
            return body
        expected = Expected(content_md5=content_md5, checksum=checksum, max_size=len(body))
        stage(body, expected, () if checksum is None else (checksum.algorithm,), len(body), _never)
        return body

    # -- encryption

    @property
    def is_private(self) -> bool:
        """Whether the request came on a way on which nobody can read a key that it brings, or need not."""
        config = self.config
        return self.request.scheme == "https" or config.customer_keys_over_http or self.store.in_memory

    def asked_encryption(self, fields: Mapping[str, str]) -> EncryptionRequest | None:
        """What the headers, or the fields of a form, ask for an object that is made."""
        if encryption.FIELDS.isdisjoint(fields):
            return None
        return encryption.asked_encryption(fields, is_private=self.is_private)

    def customer_key(self) -> CustomerKey | None:
        """The key of the caller's that the request brings for an object or an upload."""
        headers = self.request.headers
        if encryption.CUSTOMER_FIELDS.isdisjoint(headers):
            return None
        return encryption.customer_key(headers, is_private=self.is_private)

    def source_customer_key(self) -> CustomerKey | None:
        """And for the source of a copy."""
        headers = self.request.headers
        if encryption.SOURCE_FIELDS.isdisjoint(headers):
            return None
        return encryption.source_customer_key(headers, is_private=self.is_private)

    def encryption_headers(
        self, shown: Encryption | None, fields: Mapping[str, str] | None = None, *, with_context: bool = False
    ) -> Sequence[tuple[str, str]]:
        """What the answer says of an object that is encrypted like this. For the others see
        `bleepstore_server.wire.encryption`."""
        if shown is None:
            return self.unencrypted
        given = self.request.headers if fields is None else fields
        return encryption.encryption_headers(shown, given, self.config.region, with_context=with_context)

    def find_by_email(self, email: str) -> str:
        owner = self.store.owner_by_email(email)
        if owner is None:
            raise UnresolvableGrantByEmailAddress(email)
        return owner.id

    def check_owner_id(self, owner_id: str) -> None:
        if self.store.find_owner(owner_id) is None:
            raise RequestError(
                "InvalidArgument", "Invalid id", fields={"ArgumentName": "CanonicalUser/ID", "ArgumentValue": owner_id}
            )

    def check_source_owner(self, source: headers.CopySource) -> None:
        """Refuse a copy whose source is not owned by whom the request expects; only who may read it learns that."""
        name = "x-amz-source-expected-bucket-owner"
        if name in self.request.headers:
            self.store.check_access(
                Action.GET_OBJECT, source.bucket, source.key, version_id=source.version_id, caller=self.caller
            )
            self.check_bucket_owner(source.bucket, name)

    def check_bucket_owner(self, bucket: str, header: str) -> None:
        expected = self.request.headers.get(header)
        if expected is None:
            return
        if not expected or len(expected) > _MAX_OWNER_ID or " " in expected or not expected.isprintable():
            raise RequestError(
                "InvalidBucketOwnerAWSAccountID",
                "The value of the expected bucket owner parameter must be an AWS Account ID...",
            )
        if self.store.get_bucket(bucket).owner.id != expected:
            raise RequestError("AccessDenied")  # in the words of any other refusal, which tell nothing of the owner

    def is_charged(self) -> bool:
        """Whether it is the caller who pays for what was done."""
        try:
            found = self.store.get_bucket(self.bucket)
        except S3Error:  # there is none, or none any more
            return False
        is_asked = found.settings.payer is Payer.REQUESTER and self.caller.account.id != found.owner.id
        return is_asked and self.caller.pays is True

    def check_access(self, *, is_preliminary: bool = False) -> None:
        """Refuse a caller who may not do this; raise what there must be and is not. For `is_preliminary` see the
        store."""
        request = self.request
        assert self.action is not None
        self.store.check_access(
            self.action,
            self.bucket,
            self.key,
            version_id=self.version_id,
            upload_id=request.query.get("uploadId"),
            is_preliminary=is_preliminary,
            caller=self.caller,
        )

    def allows(self, action: Action) -> bool:
        """Whether the caller may do this too, with what the request names."""
        try:
            self.store.check_access(action, self.bucket, self.key, version_id=self.version_id, caller=self.caller)
        except S3Error:
            return False
        return True

    def names(self) -> Callable[[str], str]:
        return self.store.display_name


def _never(*_: object) -> NoReturn:
    raise AssertionError("a document is held in memory")
