"""Cross-origin requests of browsers: what they ask before a request, and what they need to see of its answer.

Neither depends on who asks, for a browser signs nothing of the former and a page may not read a refusal without the
latter. The rules are those of the bucket. Where it has none, those that the server was told to have
(`--cors-allow-origin`), which hold for requests without a bucket too.
"""

from __future__ import annotations

from collections.abc import Sequence

from bleepstore.cors import METHODS, CorsRule, find_rule
from bleepstore.errors import BleepStoreError, NoSuchBucket
from bleepstore.store import Store
from bleepstore_server.exchange import Request
from bleepstore_server.response import Headers, Response
from bleepstore_server.router import resource_of
from bleepstore_server.wire.errors import RequestError

_VARY = ("Vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method")
#: What scripts see of answers by the rules of the server: scripts of web applications look at these.
_EXPOSED = (
    "ETag", "Content-Range", "Accept-Ranges", "x-amz-request-id", "x-amz-version-id", "x-amz-delete-marker",
    "x-amz-checksum-crc32", "x-amz-checksum-crc32c", "x-amz-checksum-crc64nvme", "x-amz-checksum-sha1",
    "x-amz-checksum-sha256", "x-amz-checksum-type", "x-amz-mp-parts-count", "x-amz-storage-class",
)  # fmt: skip
_DEFAULT_MAX_AGE = 3600
_NOT_ALLOWED = (
    "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / "
    "Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec."
)


class CrossOriginAnswers:
    """`allow_origins` are those that the server's own rule allows; without any it has none."""

    def __init__(self, store: Store, allow_origins: Sequence[str]) -> None:
        self._store = store
        self._default: tuple[CorsRule, ...] | None = None
        if allow_origins:
            rule = CorsRule(
                allowed_origins=tuple(allow_origins),
                allowed_methods=("GET", "PUT", "POST", "DELETE", "HEAD"),
                allowed_headers=("*",),
                expose_headers=_EXPOSED,
                max_age_seconds=_DEFAULT_MAX_AGE,
            )
            self._default = (rule,)

    def preflight(self, request: Request) -> Response:
        """The answer to an OPTIONS request. Raises RequestError: BadRequest; AccessForbidden unless a rule allows what
        it asks for."""
        origin = request.headers.get("origin")
        if origin is None:
            raise RequestError("BadRequest", "Insufficient information. Origin request header needed.")
        method = request.headers.get("access-control-request-method")
        if method not in METHODS:
            raise RequestError("BadRequest", f"Invalid Access-Control-Request-Method: {method or 'null'}")
        fields = {"Method": method, "ResourceType": resource_of(request).name}
        try:
            rules = self._rules(request)
        except NoSuchBucket:
            raise RequestError("AccessForbidden", "CORSResponse: Bucket not found", fields=fields) from None
        if rules is None:
            raise RequestError("AccessForbidden", fields=fields)
        asked = request.headers.get("access-control-request-headers", "")
        names = [name.strip().lower() for name in asked.split(",") if name.strip()]
        rule = find_rule(rules, origin, method, names)
        if rule is None:
            raise RequestError("AccessForbidden", _NOT_ALLOWED, fields=fields)
        allowed = [("Access-Control-Allow-Headers", ", ".join(names))] if names else []
        return Response(headers=[*_headers(rule, origin), *allowed])

    def add_headers(self, request: Request, response: Response) -> None:
        """Say in the answer to a request whether a page of its origin may read it, whatever the answer is."""
        origin, method = request.headers.get("origin"), request.method
        if origin is None or method == "OPTIONS":
            return
        try:
            rules = self._rules(request)
        except BleepStoreError:  # the answer says more of it
            return
        if rules is not None:
            rule = find_rule(rules, origin, method)
            response.headers += [_VARY] if rule is None else _headers(rule, origin)

    def _rules(self, request: Request) -> tuple[CorsRule, ...] | None:
        """None: there are none. Raises NoSuchBucket, if it would have had to have some."""
        if request.bucket is None:
            return self._default
        try:
            return self._store.get_bucket(request.bucket).settings.cors or self._default
        except NoSuchBucket:
            if self._default is None:
                raise
            return self._default


def _headers(rule: CorsRule, origin: str) -> Headers:
    """Credentials are allowed unless all origins are: browsers refuse that."""
    pattern = rule.pattern_for(origin)
    headers = [
        ("Access-Control-Allow-Origin", "*" if pattern == "*" else origin),
        ("Access-Control-Allow-Methods", ", ".join(rule.allowed_methods)),
    ]
    if rule.expose_headers:
        headers.append(("Access-Control-Expose-Headers", ", ".join(rule.expose_headers)))
    if rule.max_age_seconds is not None:
        headers.append(("Access-Control-Max-Age", str(rule.max_age_seconds)))
    if pattern != "*":
        headers.append(("Access-Control-Allow-Credentials", "true"))
    return [*headers, _VARY]
