"""The URL of a destination: `scheme://[user[:password]@]host[:port][,host[:port]...]/path?option=value`."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping, Set
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from bleepstore.errors import StoreError
from bleepstore.senders.sender import SendError

#: Options of every destination. `timeout` is in seconds, for one batch of messages.
_COMMON = frozenset({"timeout"})
#: Options of those that have a user and TLS: paths of files, and the name of an environment variable.
CREDENTIALS = frozenset({"password_file", "password_env", "ca_file", "cert_file", "key_file"})
_MAX_TIMEOUT = 300


@attrs.frozen
class Address:
    """The parts of a URL. `hosts` are with their ports if they are named; `path` has no slash in front."""

    scheme: str
    hosts: tuple[str, ...]
    user: str | None
    path: str
    options: Mapping[str, str]
    timeout: float
    _password: str | None = attrs.field(repr=False)

    def __str__(self) -> str:
        return f"{self.scheme}://{','.join(self.hosts)}/{self.path}"

    def host_and_port(self, default_port: int) -> tuple[str, int]:
        """Of the first host."""
        parts = urlsplit(f"//{self.hosts[0]}")
        return parts.hostname or "localhost", parts.port or default_port

    def password(self) -> str | None:
        """Of the URL, or of what it names, which is read for each connection. Raises SendError."""
        variable, file = self.options.get("password_env"), self.options.get("password_file")
        if variable is not None:
            return os.environ.get(variable)
        if file is None:
            return self._password
        try:
            return Path(file).read_text().strip()
        except OSError as error:
            raise SendError(f"the password of {self} cannot be read: {error}") from error

    def tls(self) -> ssl.SSLContext:
        """Verifies the host's name and its certificate, by `ca_file` or the system's. Raises SendError."""
        try:
            context = ssl.create_default_context(cafile=self.options.get("ca_file"))
            if "cert_file" in self.options:
                context.load_cert_chain(self.options["cert_file"], self.options.get("key_file"))
        except OSError as error:  # SSLError is one
            raise SendError(f"the certificates of {self} cannot be used: {error}") from error
        return context

    def number(self, option: str, default: int = 0) -> int:
        """Raises StoreError if the option is given and not a whole number."""
        given = self.options.get(option, str(default))
        if not given.isdecimal():
            raise StoreError(f"{option} of {self} is {given!r}, and not a number")
        return int(given)

    def need(self, option: str) -> str:
        """Raises StoreError if the option is not given."""
        if not self.options.get(option):
            raise StoreError(f"{self} needs the option {option}: {self}?{option}=...")
        return self.options[option]


def parse_address(url: str, options: Set[str]) -> Address:
    """Raises StoreError, which repeats neither the URL nor the value of an option: there may be a password in it."""
    try:
        parts = urlsplit(url)
        if "#" in url:  # what is behind it, of a password or a name, would be dropped
            raise ValueError(url)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise StoreError("the URL of a destination cannot be read: quote special characters with %") from None
    given = dict(query)
    userinfo, _, hosts = parts.netloc.rpartition("@")
    user, colon, password = userinfo.partition(":")
    address = Address(
        scheme=parts.scheme,
        hosts=tuple(hosts.split(",")),
        user=unquote(user) or None,
        password=unquote(password) if colon else None,
        path=unquote(parts.path.removeprefix("/")),
        options=given,
        timeout=_timeout(given.get("timeout", "10")),
    )
    if not all(address.hosts):
        raise StoreError(f"{address} names no host")
    known = options | _COMMON
    if unknown := given.keys() - known:
        raise StoreError(f"{address} has no option {min(unknown)!r}: there are {', '.join(sorted(known))}")
    if len(given) != len(query):
        raise StoreError(f"{address} has an option twice")
    try:
        address.host_and_port(0)
    except ValueError:
        raise StoreError(f"{address} has a port that is no number") from None
    return address


def _timeout(given: str) -> float:
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _MAX_TIMEOUT:
        raise StoreError(f"the timeout of a destination is {given!r}, and not up to {_MAX_TIMEOUT} seconds")
    return seconds
