"""The target of a request that is a whole URL, and the host that it names (RFC 9112 section 3.2.2)."""

from __future__ import annotations

import functools
import re

import attrs

#: RFC 9112 section 3.2 and RFC 3986 section 3.2: a name, an IPv4 address or a bracketed IPv6 one, and perhaps a port.
#: It is no "host" with user information: "a recipient SHOULD parse for userinfo and treat its presence as an error"
#: (RFC 9110 section 4.2.4).
_HOST = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+;=%]+|\[[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9\-._~]+)?\])(?::[0-9]*)?")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?]*)(.*)", re.DOTALL)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@functools.lru_cache(maxsize=128)  # a server has few names
def is_host(text: str) -> bool:
    """Whether a Host field may say this."""
    return _HOST.fullmatch(text) is not None


@attrs.frozen
class UrlTarget:
    """A target such as `http://host:9000/path?query`. `host` is with its port, and `path` with the query."""

    scheme: str
    host: str
    path: str

    def host_that_counts(self, sent: str | None, minor: int) -> str | None:
        """The Host by which the request is answered, if `sent` is the one that came with it, by HTTP/1.`minor`: "the
        origin server MUST ignore the received Host header field (if any) and instead use the host information of the
        request-target".

        So that is also the one that a signature covers: were it the one that was sent, whoever sees a signed request
        could send it again with the name of another bucket in its target. Where both name one host, what was sent
        counts, for clients sign that, and some write a port or capitals in one of them alone. So it does where it is
        missing in HTTP/1.1 or invalid: "a server MUST respond with a 400".
        """
        if sent is None:
            return self.host if minor == 0 else None
        if not is_host(sent) or self._normal(sent) == self._normal(self.host):
            return sent
        return self.host

    def _normal(self, host: str) -> str:
        return host.lower().removesuffix(_DEFAULT_PORTS.get(self.scheme, "")).removesuffix(":")


def parse_url(target: str) -> UrlTarget | None:
    """A target that is a URL; None for any other. Whether its host is one `is_host` says."""
    found = _URL.fullmatch(target)
    if found is None:
        return None
    scheme, host, path = found.groups()
    return UrlTarget(scheme.lower(), host, path if path.startswith("/") else f"/{path}")
