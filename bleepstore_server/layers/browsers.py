"""Browsers that open the address of S3 itself: they are sent to the console."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from bleepstore_server.exchange import UNPARSED, Exchange
from bleepstore_server.response import Response


def send_to_console(exchange: Exchange) -> Response | None:
    """Where a request that was refused is one of a browser for the address as such, and there is a console that it can
    reach; None otherwise. S3's clients sign, and do not ask for HTML."""
    url, request = exchange.config.console_url, exchange.request
    if url is None or request is UNPARSED or request.method not in ("GET", "HEAD") or request.raw_path != "/":
        return None
    headers = request.headers
    if (
        request.raw_query
        or request.bucket
        or "authorization" in headers
        or "text/html" not in headers.get("accept", "")
    ):
        return None
    if _is_loopback(url) and not _is_loopback(f"//{request.host}"):
        return None  # the browser is on another machine
    exchange.error_code = None
    return Response(302, [("Location", url), ("Cache-Control", "no-store")])


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
