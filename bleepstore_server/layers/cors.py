"""Cross-origin requests: no bucket here has a CORS configuration yet, so every preflight is refused."""

from __future__ import annotations

from bleepstore_server.request import Request
from bleepstore_server.router import resource_of
from bleepstore_server.wire.errors import RequestError


def preflight_refusal(request: Request) -> RequestError:
    """What to raise for an OPTIONS request."""
    if "origin" not in request.headers:
        return RequestError("BadRequest", "Insufficient information. Origin request header needed.")
    method = request.headers.get("access-control-request-method")
    if method not in ("GET", "PUT", "POST", "DELETE", "HEAD"):
        return RequestError("BadRequest", f"Invalid Access-Control-Request-Method: {method or 'null'}")
    return RequestError("AccessForbidden", fields={"Method": method, "ResourceType": resource_of(request).name})
