"""Web identities: JSON Web Tokens (RFC 7519) of the OpenID Connect providers that the server is configured with.

What is believed of a token is decided by the configuration: its issuer is one of those that are named there, the keys
come from that issuer's own documents (OpenID Connect Discovery 1.0, RFC 7517), and the algorithm is one that fits the
key. No address in a token is ever asked. Needs the extra `oidc`.
"""

from __future__ import annotations

import http.client
import json
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, NoReturn, TypeGuard

import attrs

from bleepstore.access import WebIdentity
from bleepstore_server.app_config import is_issuer_url, parse_issuer
from bleepstore_server.extras import needing
from bleepstore_server.sts.errors import ServiceError

with needing("oidc"):
    import jwt

_log = logging.getLogger("bleepstore.server")

#: Algorithm -> the type of key that it takes, and the curve. Those with a shared secret are not among them, nor "none".
ALGORITHMS: Mapping[str, tuple[str, str | None]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
_MIN_RSA_BITS = 2048
#: WebIdentityToken: "Maximum length of 20000"; SubjectFromWebIdentityToken: "Maximum length of 255".
MAX_TOKEN, _MAX_SUBJECT, _MAX_KEY_ID = 20_000, 255, 1024
_MAX_DOCUMENT = 256 * 1024
_MAX_KEYS = 100
_SOCKET_SECONDS, _FETCH_SECONDS = 5.0, 10.0
#: How long keys count before they are fetched again, and how long they still do if that fails.
_FRESH_SECONDS, _STALE_SECONDS = 3600.0, 24 * 3600.0
#: An unknown key has the keys fetched so often at most; so has a provider that did not answer.
_REFETCH_SECONDS, _RETRY_SECONDS = 60.0, 10.0
#: By how much the clocks of providers may be ahead.
_SKEW_SECONDS = 60
_MAX_TIME = 1 << 40


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> NoReturn:
        raise urllib.error.HTTPError(req.full_url, code, "the provider redirects", headers, fp)


def _make_opener() -> urllib.request.OpenerDirector:
    """For http and https alone: no files, no FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        _NoRedirects,
    ):
        opener.add_handler(handler())
    return opener


_opener = _make_opener()


def fetch_document(url: str) -> Mapping[str, Any]:
    """A document of a provider. Raises OSError, ValueError, HTTPException."""
    deadline = time.monotonic() + _FETCH_SECONDS
    data = b""
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    try:
        answer = _opener.open(request, timeout=_SOCKET_SECONDS)
    except urllib.error.HTTPError as refusal:  # which has the connection
        refusal.close()
        raise
    with answer:
        while piece := answer.read1(64 * 1024):
            data += piece
            if len(data) > _MAX_DOCUMENT:
                raise ValueError(f"{url} gives more than {_MAX_DOCUMENT} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url} takes longer than {_FETCH_SECONDS:g} seconds")
    found = json.loads(data)
    if not isinstance(found, dict):
        raise ValueError(f"{url} gives no object of JSON")
    return found


@attrs.define(eq=False)
class Provider:
    """One issuer, and the keys that it has published."""

    issuer: str
    audiences: frozenset[str]
    _fetch: Callable[[str], Mapping[str, Any]] = fetch_document
    _keys: Sequence[Mapping[str, Any]] = attrs.field(default=(), init=False)
    #: Of time.monotonic(): when there were keys, and when the provider was last asked.
    _had_keys_at: float | None = attrs.field(default=None, init=False)
    _asked_at: float | None = attrs.field(default=None, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def keys_for(self, algorithm: str, key_id: str | None) -> Sequence[Mapping[str, Any]]:
        """The keys that may have signed; none, if there are none. Raises ServiceError if they cannot be had."""
        now = time.monotonic()
        is_fresh = self._had_keys_at is not None and now - self._had_keys_at < _FRESH_SECONDS
        if is_fresh and (found := self._fitting(algorithm, key_id)):
            return found
        # Who has keys does not wait for another who fetches them.
        if self._lock.acquire(blocking=self._had_keys_at is None):
            try:
                self._refetch(time.monotonic())
            finally:
                self._lock.release()
        if self._had_keys_at is None or time.monotonic() - self._had_keys_at > _STALE_SECONDS:
            raise ServiceError("IDPCommunicationError", f"The keys of {self.issuer} cannot be fetched.")
        return self._fitting(algorithm, key_id)

    def _fitting(self, algorithm: str, key_id: str | None) -> Sequence[Mapping[str, Any]]:
        kind, curve = ALGORITHMS[algorithm]
        found = [
            key
            for key in self._keys
            if key.get("kty") == kind
            and (curve is None or key.get("crv") == curve)
            and key.get("alg", algorithm) == algorithm
            and key.get("use", "sig") == "sig"
            and "d" not in key  # whoever can read a private key can sign for anybody
        ]
        if key_id is not None:
            return [key for key in found if key.get("kid") == key_id]
        return found if len(found) == 1 else ()

    def _refetch(self, now: float) -> None:
        if self._asked_at is not None:
            failed = self._had_keys_at is None or self._had_keys_at < self._asked_at
            if now - self._asked_at < (_RETRY_SECONDS if failed else _REFETCH_SECONDS):
                return
        self._asked_at = now
        try:
            found = self._fetch(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self.issuer:
                raise ValueError(f"the provider at {self.issuer} calls itself {found.get('issuer')!r}")
            url = found.get("jwks_uri")
            if not isinstance(url, str) or not is_issuer_url(url):
                raise ValueError(f"the keys of {self.issuer} are at no https URL")
            keys = self._fetch(url).get("keys")
            if not isinstance(keys, list) or len(keys) > _MAX_KEYS:
                raise ValueError(f"{url} has no list of at most {_MAX_KEYS} keys")
        except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
            _log.warning("the keys of the OpenID Connect provider %s cannot be fetched: %s", self.issuer, error)
            return
        self._keys = tuple(key for key in keys if isinstance(key, dict))
        self._had_keys_at = time.monotonic()


class WebIdentities:
    """The providers of a server. `issuers` are as the setting `oidc_issuer` has them; `clock` gives milliseconds."""

    def __init__(self, issuers: Sequence[str], clock: Callable[[], int]) -> None:
        self._clock = clock
        self._providers: dict[str, Provider] = {}
        for text in issuers:
            issuer, audiences = parse_issuer(text)
            known = self._providers.get(issuer)
            audiences |= frozenset() if known is None else known.audiences
            self._providers[issuer] = Provider(issuer, audiences)

    def verify(self, token: str) -> WebIdentity:
        """Who a token says somebody is. Raises ServiceError."""
        if len(token) > MAX_TOKEN or not token.isascii():
            raise _invalid("The ID Token provided is not a valid JWT.")
        algorithm, key_id = _header_of(token)
        provider = self._provider_of(_claims_of(token))
        claims = None
        for key in provider.keys_for(algorithm, key_id):
            claims = claims or _verified(token, algorithm, key)
        if claims is None:
            raise _invalid("Couldn't retrieve verification key from your identity provider, or the signature is wrong.")
        self._check_times(claims)
        subject = claims.get("sub")
        # "It MUST NOT exceed 255 ASCII characters in length"; what is no text cannot be answered with.
        if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT or not subject.isprintable():
            raise _invalid("The ID Token has no sub claim.")
        return WebIdentity(provider.issuer, _audience_of(claims, provider), subject)

    def _provider_of(self, claims: Mapping[str, Any]) -> Provider:
        issuer = claims.get("iss")
        found = self._providers.get(issuer) if isinstance(issuer, str) else None
        if found is None:
            raise _invalid("No OpenIDConnect provider found in your account for the issuer of this token.")
        return found

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._clock() / 1000
        expires, issued, begins = claims.get("exp"), claims.get("iat"), claims.get("nbf", 0)
        if not (_is_time(expires) and _is_time(issued) and _is_time(begins)):
            raise _invalid("The ID Token needs the times exp and iat.")
        if expires <= now:
            raise ServiceError("ExpiredTokenException", "Token expired.")
        if max(issued, begins) > now + _SKEW_SECONDS:
            raise _invalid("The ID Token is not valid yet.")


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidIdentityToken", message)


def _is_time(value: object) -> TypeGuard[float]:
    """Whether it can be a time in seconds since the epoch."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MAX_TIME


def _header_of(token: str) -> tuple[str, str | None]:
    """(algorithm, id of the key)."""
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise _invalid("The ID Token provided is not a valid JWT.") from None
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS or "crit" in header:
        raise _invalid("The ID Token is signed by an algorithm that is not accepted.")
    if key_id is not None and (not isinstance(key_id, str) or len(key_id) > _MAX_KEY_ID):
        raise _invalid("The ID Token names no key.")
    return algorithm, key_id


def _claims_of(token: str) -> Mapping[str, Any]:
    """What a token says, before anything of it is believed."""
    try:
        claims: Mapping[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise _invalid("The ID Token provided is not a valid JWT.") from None
    return claims


_UNCHECKED = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}


def _verified(token: str, algorithm: str, key: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The claims, if this key has signed them."""
    try:
        loaded = jwt.PyJWK(dict(key), algorithm)
        if getattr(loaded.key, "key_size", _MIN_RSA_BITS) < _MIN_RSA_BITS and ALGORITHMS[algorithm][0] == "RSA":
            return None
        claims: Mapping[str, Any] = jwt.decode(token, loaded, algorithms=[algorithm], options=_UNCHECKED)  # type: ignore[arg-type]  # all are known
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return claims


def _audience_of(claims: Mapping[str, Any], provider: Provider) -> str:
    given = claims.get("aud")
    for one in given if isinstance(given, list) else [given]:
        if isinstance(one, str) and one in provider.audiences:
            return one
    raise _invalid("Incorrect token audience")
