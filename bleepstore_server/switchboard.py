"""Where the requests of the clients of this process go while `in_process` blocks are open."""

from __future__ import annotations

import functools
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

import attrs

from bleepstore.errors import StoreError
from bleepstore_server.app_config import WELL_KNOWN
from bleepstore_server.clients import EVENT, NEEDS_A_SOCKET, SERVICES, late_session_class
from bleepstore_server.extras import needing
from bleepstore_server.intercept import Interception, Patches
from bleepstore_server.transport import InProcessTransport, is_amazon, is_live, origin_of

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse


class Switchboard:
    """Where the requests of all clients go: to the innermost block that is open, or to the network if there is none.

    Sessions that are made within a block get an event handler. Clients of older sessions are met one step later, where
    botocore would open a connection, and so are clients of STS, which another tool may answer first. Both are taken
    back when the last block ends.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._blocks: list[Block] = []
        self._environ: dict[str, str | None] = {}
        self._session_before: Any = None
        self._session_kept = False
        self._patches = Patches()
        self._interception = Interception(self._find)

    def __call__(self, request: AWSPreparedRequest, **_event: object) -> AWSResponse | None:
        """The handler of `before-send`, which sessions keep that were made within a block."""
        if getattr(request, "bleepstore_answered", False) or is_live(request.url or ""):
            return None
        # Nothing in the request tells an asynchronous client, but it is aiobotocore that calls its handlers.
        if "aiobotocore" in sys.modules and sys._getframe(1).f_globals["__name__"].startswith("aiobotocore"):
            raise StoreError(NEEDS_A_SOCKET)
        blocks = self._blocks
        if blocks:
            return blocks[-1].transport.send(request)
        credential = b"Credential=" + WELL_KNOWN[0].encode() + b"/"
        signature = request.headers.get("Authorization") or b""
        signature = signature.encode() if isinstance(signature, str) else signature
        if credential in signature and is_amazon(request.url or ""):
            raise StoreError(
                "This client was made within an in_process() block that has ended: make it within the block that "
                "uses it, or bind it to its store by bleepstore_server.attach()."
            )
        return None

    def enter(self, block: Block) -> None:
        with self._lock:
            others = {known.thread for known in self._blocks} - {block.thread}
            if others:
                raise StoreError(
                    "Another thread is in an in_process() block, which holds for the whole process: give each thread "
                    "clients of its own store by bleepstore_server.client_for()."
                )
            if not self._blocks:
                self._hook()
            self._blocks.append(block)
            self._set_surroundings()

    def leave(self, block: Block) -> None:
        with self._lock:
            self._blocks.remove(block)
            self._set_surroundings()
            if not self._blocks:
                self._unhook()

    def _hook(self) -> None:
        with needing("server,aws"):
            from botocore.endpoint import Endpoint
            from botocore.handlers import BUILTIN_HANDLERS

        BUILTIN_HANDLERS.append((EVENT, self))
        self._patches.replace(Endpoint, "_send", self._make_send)
        self._hook_signers()
        self._interception.start()
        if "aiobotocore.endpoint" in sys.modules:
            self._patches.replace(sys.modules["aiobotocore.endpoint"].AioEndpoint, "_send", self._make_async_send)

    def _make_send(self, original: Any) -> Any:
        def send(endpoint: Any, request: AWSPreparedRequest) -> AWSResponse:
            blocks = self._blocks
            if blocks and endpoint._endpoint_prefix in SERVICES and not is_live(request.url or ""):
                return blocks[-1].transport.send(request)
            answer: AWSResponse = original(endpoint, request)
            return answer

        return send

    def _make_async_send(self, original: Any) -> Any:
        async def send(endpoint: Any, request: AWSPreparedRequest) -> Any:
            if self._blocks and endpoint._endpoint_prefix in SERVICES and not is_live(request.url or ""):
                raise StoreError(NEEDS_A_SOCKET)
            return await original(endpoint, request)

        return send

    def _hook_signers(self) -> None:
        """Where a client signs it is seen which key it has, and for which host it makes a URL."""
        from botocore.signers import RequestSigner, S3PostPresigner

        self._patches.replace(RequestSigner, "get_auth_instance", self._make_get_auth)
        self._patches.replace(RequestSigner, "generate_presigned_url", self._make_presign_url)
        self._patches.replace(S3PostPresigner, "generate_presigned_post", self._make_presign_post)

    def _make_get_auth(self, original: Any) -> Any:
        from botocore.credentials import Credentials

        @functools.wraps(original)
        def get_auth_instance(signer: Any, signing_name: str, *args: Any, **options: Any) -> Any:
            block = self._blocks[-1] if self._blocks else None
            if block is not None and block.accepts_any_key and signing_name in SERVICES:
                credentials = options.get("request_credentials") or signer._credentials
                if credentials is None:  # it was made where the environment had no key yet
                    credentials = options["request_credentials"] = Credentials(*block.pair)
                frozen = credentials.get_frozen_credentials()
                block.transport.accept(frozen.access_key, frozen.secret_key)
            return original(signer, signing_name, *args, **options)

        return get_auth_instance

    def _make_presign_url(self, original: Any) -> Any:
        @functools.wraps(original)
        def generate_presigned_url(signer: Any, *args: Any, **options: Any) -> Any:
            made = original(signer, *args, **options)
            self._note_host(signer, made)
            return made

        return generate_presigned_url

    def _make_presign_post(self, original: Any) -> Any:
        @functools.wraps(original)
        def generate_presigned_post(presigner: Any, *args: Any, **options: Any) -> Any:
            made = original(presigner, *args, **options)
            self._note_host(presigner._request_signer, str(made["url"]))
            return made

        return generate_presigned_post

    def _note_host(self, signer: Any, url: str) -> None:
        if self._blocks and signer._signing_name == "s3":
            self._blocks[-1].origins.add(origin_of(url))

    def _find(self, url: str) -> InProcessTransport | None:
        """The way into the innermost block for a request that no S3 client makes: to Amazon S3, or to a host that a
        client of an open block has presigned for."""
        blocks = self._blocks
        if not blocks or is_live(url):
            return None
        origin = origin_of(url)
        if is_amazon(origin) or any(origin in block.origins for block in blocks):
            return blocks[-1].transport
        return None

    def _unhook(self) -> None:
        from botocore.handlers import BUILTIN_HANDLERS

        BUILTIN_HANDLERS.remove((EVENT, self))
        self._interception.stop()
        self._patches.undo()

    def _set_surroundings(self) -> None:
        """The environment and the default session of the innermost block, on top of what was before the first."""
        for name, value in self._environ.items():
            _set_variable(name, value)
        block = self._blocks[-1] if self._blocks else None
        wanted = {} if block is None or block.environ is None else block.environ
        self._environ = {name: os.environ.get(name) for name in wanted}
        for name, value in wanted.items():
            _set_variable(name, value)
        self._set_default_session(block)

    def _set_default_session(self, block: Block | None) -> None:
        """boto3's default session remembers the credentials that it first found: a block has one of its own."""
        boto3: Any = sys.modules.get("boto3")
        if not self._session_kept:
            self._session_before = None if boto3 is None else boto3.DEFAULT_SESSION
            self._session_kept = True
        if boto3 is not None:
            if block is None or block.environ is None:
                boto3.DEFAULT_SESSION = self._session_before
            else:
                block.session = block.session or late_session_class()()
                boto3.DEFAULT_SESSION = block.session
        if block is None:
            self._session_before, self._session_kept = None, False


def _set_variable(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


@attrs.define(eq=False)
class Block:
    transport: InProcessTransport
    environ: dict[str, str | None] | None
    accepts_any_key: bool = False
    #: What a client without a key signs by, if any is accepted.
    pair: tuple[str, str] = WELL_KNOWN
    #: Scheme and host of what clients have presigned for.
    origins: set[str] = attrs.field(factory=set)
    session: Any = None
    thread: int = attrs.field(factory=threading.get_ident)


switchboard = Switchboard()
