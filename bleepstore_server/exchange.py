"""One request and its answer, from the first byte to the last."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import attrs

from bleepstore.access import ANONYMOUS, AclRequest, Action, Caller
from bleepstore.errors import UnresolvableGrantByEmailAddress
from bleepstore.model import ANONYMOUS_OWNER, Credential
from bleepstore.store import Store
from bleepstore.store.bodies import Expected, stage
from bleepstore_server.app_config import AppConfig
from bleepstore_server.request import UNPARSED, Request
from bleepstore_server.response import Headers
from bleepstore_server.wire import headers
from bleepstore_server.wire.errors import RequestError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


@attrs.define(eq=False)
class Exchange:
    """One request and its answer. It is made once and goes through the layers (`bleepstore_server.layers`), each of
    which adds what it finds out; an operation gets it when it is known who asks and that they may."""

    store: Store
    config: AppConfig
    #: A configured access key, or one of the store.
    find_credential: Callable[[str], Credential | None]
    environ: WSGIEnvironment = attrs.field(repr=False)
    request_id: str
    #: Seconds of time.monotonic().
    started: float = attrs.field(factory=time.monotonic)
    request: Request = UNPARSED
    operation: str | None = None
    #: None: nothing that is implemented.
    action: Action | None = None
    #: ANONYMOUS, until it is known.
    caller: Caller = ANONYMOUS
    status: int = 0
    error_code: str | None = None
    #: Bytes of a refused body that were read all the same, beside those that the request counts.
    drained: int = 0

    def identify(self, credential: Credential | None, now_ms: int) -> None:
        """Note whose signature was verified, None if nobody signed, and what rules may ask of the request."""
        environ = self.environ
        self.caller = Caller(
            ANONYMOUS_OWNER if credential is None else credential.owner,
            access_key=None if credential is None else credential.access_key,
            source_ip=environ.get("REMOTE_ADDR"),
            secure=environ.get("wsgi.url_scheme") == "https",
            time_ms=now_ms,
            user_agent=environ.get("HTTP_USER_AGENT"),
            referer=environ.get("HTTP_REFERER"),
        )

    @property
    def bucket(self) -> str:
        assert self.request.bucket is not None
        return self.request.bucket

    @property
    def key(self) -> str:
        assert self.request.key is not None
        return self.request.key

    @property
    def version_id(self) -> str | None:
        return self.request.query.get("versionId")

    @property
    def encryption(self) -> str | None:
        """How S3 says that objects are encrypted at rest; None where they are at rest as they are.

        What is in memory alone is at rest nowhere, so what S3 promises holds there.
        """
        return "AES256" if self.store.in_memory else None

    def encryption_headers(self) -> Headers:
        """What every answer about an object says of its encryption."""
        encryption = self.encryption
        return [] if encryption is None else [(headers.ENCRYPTION, encryption)]

    def document(self, *, checksum_is_its_own: bool = True) -> bytes:
        """The XML body, once its digests are verified as those of an object are. The checksum that is sent with a
        CompleteMultipartUpload is not of its body."""
        request = self.request
        body = request.document()
        checksum = None
        if checksum_is_its_own:
            request.checksum_algorithm()  # one that contradicts is refused, as for an object
            checksum = request.checksum() or (request.late_checksum() if request.trailer_names else None)
        expected = Expected(content_md5=request.headers.get("content-md5"), checksum=checksum, max_size=len(body))
        stage(body, expected, () if checksum is None else (checksum.algorithm,), len(body), _never)
        return body

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
        if expected is not None and self.store.get_bucket(bucket).owner.id != expected:
            raise RequestError("AccessDenied")  # in the words of any other refusal, which tell nothing of the owner

    def check_access(self) -> None:
        """Refuse a caller who may not do this; raise what there must be and is not."""
        request = self.request
        assert self.action is not None
        self.store.check_access(
            self.action,
            self.bucket,
            request.key or "",
            version_id=self.version_id,
            upload_id=request.query.get("uploadId"),
            caller=self.caller,
        )

    def acl_request(self) -> AclRequest | None:
        return headers.acl_request(self.request.headers, self.find_by_email, self.check_owner_id)

    def names(self) -> Callable[[str], str]:
        return self.store.display_name


def _never(*_: object) -> NoReturn:
    raise AssertionError("a document is held in memory")


def body_options(request: Request) -> dict[str, Any]:
    """What a request says of its body, as options of put_object and put_part."""
    announced = request.checksum_algorithm()
    checksum = request.checksum()
    trailing = announced is not None and request.is_chunked and bool(request.trailer_names)
    if trailing and checksum is not None:
        raise RequestError(
            "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )
    return {
        "body": request.body(),
        "size": request.body_length,
        "content_md5": request.headers.get("content-md5"),
        "checksum": checksum,
        "checksum_algorithm": announced if checksum is None else None,
        "late_checksum": request.late_checksum if trailing else None,
    }
