"""Events by HTTP: each batch is one POST, which the receiver answers with a status of 2xx.

The body is Amazon's JSON with one of its `Records` for each event, in their order. With a secret, a header proves who
sent it and when:

    BleepStore-Signature: t=1700000000,v1=<HMAC-SHA256 of "1700000000." and the body, in hexadecimal>

The receiver computes the same, compares it in constant time, and refuses what is older than some minutes. The secret is
the `secret` of the URL's fragment (`https://example.com/hook#secret=...`), or what is in the file or the environment
variable that `secret_file` or `secret_env` name there. What is in the fragment is never sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import ipaddress
import json
import os
import selectors
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bleepstore.errors import StoreError
from bleepstore.senders.messages import Message
from bleepstore.senders.sender import SendError

SIGNATURE = "BleepStore-Signature"
#: Of each wait for the receiver, and of a whole request: one byte now and then is no answer.
_TIMEOUT_SECONDS = 10.0
_REQUEST_SECONDS = 30.0
#: What is read of an answer; a longer one is not waited for.
_MAX_ANSWER = 4096
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)
_OPTIONS = {"secret", "secret_file", "secret_env", "ca_file"}


class Webhook:
    """A sender to an `http` or `https` URL: see `bleepstore.senders.Sender`. A certificate is verified, by the system's
    authorities or those in `ca_file` of the fragment. A redirect is an error. Link-local addresses, where clouds keep
    the credentials of a machine, are refused.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        parts = urllib.parse.urlsplit(url)
        options = dict(urllib.parse.parse_qsl(parts.fragment, keep_blank_values=True))
        try:
            port = parts.port
        except ValueError as error:
            raise StoreError(f"a webhook has no such port: {error}") from None
        if not parts.hostname or parts.username is not None or options.keys() - _OPTIONS:
            raise StoreError(
                "a webhook is https://host/path, and behind a # one of secret_file, secret_env and secret, and ca_file"
            )
        if _is_link_local(parts.hostname):
            raise StoreError(f"{parts.hostname} is a link-local address, to which no events are sent")
        self._host, self._port = parts.hostname, port
        self._target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        self._secret = _secret_of(options)
        self._clock = clock
        self._tls = ssl.create_default_context(cafile=options.get("ca_file")) if parts.scheme == "https" else None
        self._connection: http.client.HTTPConnection | None = None

    def send(self, messages: Sequence[Message]) -> int:
        body = _joined(messages)
        headers = {"Content-Type": "application/json", "User-Agent": "BleepStore"}
        if self._secret is not None:
            headers[SIGNATURE] = sign(self._secret, body, int(self._clock()))
        if self._connection is not None and _has_ended(self._connection.sock):
            self.close()
        connection = self._connection or self._connect()
        limit = threading.Timer(_REQUEST_SECONDS, _cut_off, (connection.sock,))
        limit.daemon = True
        limit.start()
        try:
            connection.request("POST", self._target, body, headers)
            answer = connection.getresponse()
            rest = answer.read(_MAX_ANSWER + 1)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise SendError(f"{self._host}: {type(error).__name__}: {error}") from error
        finally:
            limit.cancel()
        if len(rest) > _MAX_ANSWER or answer.will_close:
            self.close()
        if not 200 <= answer.status < 300:
            raise SendError(f"{self._host} answered with the status {answer.status}")
        return len(messages)

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS)
        else:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=_TIMEOUT_SECONDS, context=self._tls
            )
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise SendError(f"{self._host} cannot be reached: {error}") from error
        self._connection = connection
        if _is_link_local(connection.sock.getpeername()[0]):  # whatever its name meant before
            self.close()
            raise SendError(f"{self._host} is a link-local address, to which no events are sent")
        return connection

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def sign(secret: bytes, body: bytes, seconds: int) -> str:
    """The value of the header, for a body that is sent at this time (seconds since the epoch)."""
    digest = hmac.new(secret, b"%d.%s" % (seconds, body), hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def _joined(messages: Sequence[Message]) -> bytes:
    """One document of several: all their records. A test message is sent alone."""
    if len(messages) == 1:
        return messages[0].body
    return b'{"Records":[%s]}' % b",".join(
        json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()
        for message in messages
        for record in json.loads(message.body)["Records"]
    )


def _secret_of(options: Mapping[str, str]) -> bytes | None:
    given = [name for name in ("secret", "secret_file", "secret_env") if name in options]
    if not given:
        return None
    if len(given) > 1:
        raise StoreError("a webhook has one secret: one of secret_file, secret_env and secret")
    value = options[given[0]]
    if given[0] == "secret_file":
        try:
            value = Path(value).read_text().strip()
        except OSError as error:
            raise StoreError(f"the secret of a webhook cannot be read: {error}") from error
    elif given[0] == "secret_env":
        value = os.environ.get(value, "")
    if not value:
        raise StoreError(f"the secret of a webhook is empty: {given[0]}")
    return value.encode()


def _has_ended(connected: socket.socket) -> bool:
    """Whether the receiver closed a connection that was kept: it has nothing to say before it is asked."""
    with _Selector() as selector:
        selector.register(connected, selectors.EVENT_READ)
        return bool(selector.select(0))


def _cut_off(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


def _is_link_local(text: str) -> bool:
    """Whether it is an address, and one of 169.254.169.254, fd00:ec2::254 and the like."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_link_local or address == ipaddress.ip_address("fd00:ec2::254")
