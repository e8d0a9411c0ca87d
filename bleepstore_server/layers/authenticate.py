"""Who signed a request."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping

from bleepstore.access import Caller, LiveSession
from bleepstore.model import ANONYMOUS_OWNER, Credential
from bleepstore.store import Store
from bleepstore_server.app_config import WELL_KNOWN, AppConfig
from bleepstore_server.conditions import condition_value
from bleepstore_server.exchange import PAYER, REQUESTER, Exchange, Request
from bleepstore_server.wire import sigv2, sigv4
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.sigv4 import TOKEN, TOKEN_IN_QUERY, Identity

Signer = Credential | LiveSession


def identify(exchange: Exchange, signer: Signer | None, now_ms: int) -> None:
    """Note whose signature was verified, None if nobody signed, and what rules may ask of the request. Raises TooFast
    for who has a rate and exceeds it."""
    if signer is not None and signer.rate_limits:
        exchange.meter.admit(signer.rate_limits)
        exchange.rate_limits = signer.rate_limits
    environ, headers = exchange.environ, exchange.request.headers
    exchange.caller = Caller(
        ANONYMOUS_OWNER if signer is None else signer.owner,
        user=None if signer is None else signer.user,
        access_key=None if signer is None else signer.access_key,
        # Calls are what a request costs, and `isinstance` is one.
        session=signer.session if signer.__class__ is LiveSession else None,
        source_ip=environ.get("REMOTE_ADDR"),
        secure=environ.get("wsgi.url_scheme") == "https",
        time_ms=now_ms,
        user_agent=environ.get("HTTP_USER_AGENT"),
        referer=environ.get("HTTP_REFERER"),
        region=exchange.config.region,
        pays=True if PAYER in headers and headers[PAYER] == REQUESTER else None,
        request_id=exchange.request_id,
        by_form=exchange.fields is not None,
        # Not of the exchange, which has the caller: both would wait for the garbage collector.
        sent=functools.partial(condition_value, exchange.request, exchange.fields, now_ms),
    )


class Authenticator:
    """The access keys that may sign: those of the configuration, of the store, and `credentials` beside them."""

    def __init__(self, store: Store, config: AppConfig, credentials: Mapping[str, Credential]) -> None:
        self._store = store
        self._wall_clock = store.engine.wall_clock
        # Clients sign by the system's clock, which such a store does not follow; what a test moves its clock by counts.
        self._opened_ms = store.engine.opened_ms
        self._credentials = credentials
        self._region = config.region if config.strict_region else None
        self._require_content_sha256 = config.require_content_sha256
        pairs = [WELL_KNOWN] if config.allow_well_known_key else []
        self._ignores_token = {access_key for access_key, _secret in pairs}
        if config.access_key is not None and config.secret_key is not None:
            pairs.append((config.access_key, config.secret_key))
        self._configured = {key: Credential(key, secret, store.owner, None, True, 0) for key, secret in pairs}

    def find_credential(self, access_key: str) -> Credential | None:
        known = self._configured.get(access_key) or self._store.get_credential(access_key)
        return known or self._credentials.get(access_key)

    def ended_ms(self, access_key: str) -> int:
        """When the sessions of a key ended that began before: see `Sessions.ended_ms`."""
        return self._store.sessions.ended_ms(access_key)

    def find_signer(self, token: str) -> Callable[[str], Signer | None]:
        """What finds the signer of a request that comes with the token of a session. Tests of others send a token of
        any kind with their keys: one that comes with the well-known key, or a key of `credentials`, is ignored."""

        def find(access_key: str) -> Signer | None:
            if access_key in self._ignores_token or access_key in self._credentials:
                return self.find_credential(access_key)
            return self._store.find_session(token, access_key, find_credential=self.find_credential)

        return find

    def verify_service(self, request: Request, service: str, digest: str) -> Signer | None:
        """Who signed a request to another service than S3, by header; None if nobody did. `digest` is the SHA-256 of
        its body."""
        authorization = request.headers.get("authorization")
        if not authorization:
            return None
        if not authorization.startswith(sigv4.ALGORITHM + " "):
            raise RequestError("AuthorizationHeaderMalformed", f"The signature is not one of {sigv4.ALGORITHM}.")
        token = request.headers.get(TOKEN)
        lookup = self.find_credential if token is None else self.find_signer(token)
        now = request.environ.get("bleepstore.signing_time", self._wall_clock() // 1000)
        identity: Identity[Signer] = sigv4.verify_header(
            request, authorization, lookup, now, self._region, lambda: digest, service
        )
        if identity.payload != digest:
            raise RequestError("XAmzContentSHA256Mismatch")
        return identity.secret

    def authenticate(self, exchange: Exchange) -> None:
        """Verify the signature, if there is one, and note whose it is. Raises RequestError."""
        request = exchange.request
        now_ms = self._wall_clock()
        identity = self._verify(request, now_ms // 1000)
        if identity is not None:
            request.identity = identity
            if identity.from_query:
                request.add_fields(identity.from_query)
        identify(exchange, None if identity is None else identity.secret, now_ms)

    def _verify(self, request: Request, now: int) -> Identity[Signer] | None:
        """Who signed the request; None if nobody did."""
        authorization = request.headers.get("authorization") or None  # an empty one is none
        query = request.query
        version_4 = version_2 = False
        if query:
            version_4 = "X-Amz-Signature" in query or "X-Amz-Algorithm" in query
            version_2 = "Signature" in query
        given = (authorization is not None) + version_4 + version_2
        if not given:
            return None
        if given > 1:
            raise RequestError(
                "InvalidArgument",
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string "
                "parameter or the Authorization header should be specified",
            )
        if query:
            request.refuse_repeated_parameters()
        lookup: Callable[[str], Signer | None] = self.find_credential
        token = request.headers.get(TOKEN)
        if token is None and authorization is None:
            token = query.get(TOKEN_IN_QUERY if version_4 else TOKEN)
        if token is not None:
            lookup = self.find_signer(token)
        if self._opened_ms is not None:
            now = int(time.time()) + now - self._opened_ms // 1000
        host_bucket = request.bucket if request.virtual_host else None
        if authorization is not None:
            # A test that moves the store's clock does not move that of its clients (bleepstore.testing.clock).
            now = request.environ.get("bleepstore.signing_time", now)
            if authorization.startswith(sigv4.ALGORITHM + " "):
                undeclared = None if self._require_content_sha256 else request.hash_body
                return sigv4.verify_header(request, authorization, lookup, now, self._region, undeclared)
            if authorization.startswith("AWS "):
                return sigv2.verify_header(request, authorization, lookup, now, host_bucket)
            raise RequestError(
                "InvalidArgument",
                "Unsupported Authorization Type",
                fields={"ArgumentName": "Authorization", "ArgumentValue": authorization},
            )
        if version_2:
            return sigv2.verify_query(request, query, lookup, now, host_bucket)
        return sigv4.verify_query(request, query, lookup, now, self._region)
