"""What proxies in front of the server say of the request that they pass on."""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bleepstore_server.exchange import set_host

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_log = logging.getLogger("bleepstore.server")

#: What proxies add to requests.
_PROXY_FIELDS = (
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_FORWARDED",
    "HTTP_VIA",
)
#: Anybody can send wrong signatures, and so fill a log.
_WARNING_SECONDS = 60.0


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Proxies:
    """The networks whose word counts."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(text) for text in networks]
        self._next_warning = 0.0

    def apply_forwarded(self, environ: WSGIEnvironment) -> None:
        """Believe a trusted proxy about the scheme and host that the client used, and the client's address."""
        if not self._is_trusted(_address(environ.get("REMOTE_ADDR", ""))):
            return
        client = self._client(environ.get("HTTP_X_FORWARDED_FOR", ""))
        if client is not None:
            environ["REMOTE_ADDR"] = str(client)
        scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").split(",")[-1].strip()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        host = environ.get("HTTP_X_FORWARDED_HOST", "").split(",")[-1].strip()
        if host and environ.get("HTTP_HOST"):
            set_host(environ, host)

    def _is_trusted(self, address: _Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)

    def _client(self, forwarded_for: str) -> _Address | None:
        """Each proxy adds the address that it saw at the right, so the first from there that is none of ours is the
        client's: whatever is left of it anybody can have written. What is no address is where trust ends."""
        found = None
        for text in reversed(forwarded_for.split(",")):
            address = _address(text)
            if address is None:
                break
            found = address
            if not self._is_trusted(address):
                break
        return found

    def seen_host(self, environ: WSGIEnvironment) -> str:
        """The Host that the signature was verified with; the log says so where a proxy may have changed it."""
        host = str(environ.get("HTTP_HOST", ""))
        forwarded = {name: environ[name] for name in _PROXY_FIELDS if name in environ}
        now = time.monotonic()
        if forwarded and now >= self._next_warning:
            self._next_warning = now + _WARNING_SECONDS
            told = ", ".join(f"{name[5:].replace('_', '-').title()} {value!r}" for name, value in forwarded.items())
            _log.warning(
                "a signature does not match; the request came with Host %r and %s. If the proxy changed Host, let it "
                "pass it on as it came, or name the proxy in trusted_proxies (docs/howto/deploy.md).",
                host,
                told,
            )
        return host


def _address(text: str) -> _Address | None:
    """An IP address as proxies write it: some add the port, and IPv6 addresses may have brackets."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
