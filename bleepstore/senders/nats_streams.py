"""Messages to a subject that a stream of NATS JetStream keeps: `nats://[user:password@]host[:4222]/SUBJECT`.

The server acknowledges a message when its stream has it, and drops one whose id it has seen within the stream's
duplicate window. https://docs.nats.io/using-nats/developer/develop_jetstream/model_deep_dive
With TLS: `natss://`. Option: `stream`, which must be the one that takes the subject.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import nats.errors
import nats.js.errors
from nats.aio.client import Client

from bleepstore.errors import StoreError
from bleepstore.senders.address import CREDENTIALS, Address, parse_address
from bleepstore.senders.connected import Batch, ConnectedSender, ConnectionLost, Numbered
from bleepstore.senders.sender import SendError

_ROUND = 256  # messages that are not yet acknowledged, at most
_CLOSING = 1.0  # seconds


class NatsStream(ConnectedSender):
    """Raises StoreError for a URL that is wrong."""

    def __init__(self, url: str) -> None:
        address = parse_address(url, CREDENTIALS | {"stream"})
        if not address.path or any(character in " *>" for character in address.path):
            raise StoreError(f"{address} needs a subject without wildcards: {address.scheme}://HOST/SUBJECT")
        super().__init__(address.timeout, lambda seconds: _Connection(address, seconds))


class _Connection:
    """A connection with an event loop of its own, which runs while a call waits."""

    def __init__(self, address: Address, seconds: float) -> None:
        self._address = address
        self._loop = asyncio.new_event_loop()
        self._closed = asyncio.Event()
        self._noted: Exception | None = None
        self._client = Client()
        try:
            with self._errors():
                self._loop.run_until_complete(asyncio.wait_for(self._connect(seconds), seconds))
        except BaseException:
            self.close()
            raise
        self._stream = self._client.jetstream()

    async def _connect(self, seconds: float) -> None:
        address = self._address
        options: dict[str, Any] = {"connect_timeout": seconds}
        if address.user is not None:
            options |= {"user": address.user, "password": self._password}
        if address.scheme == "natss":
            options["tls"] = address.tls()
        await self._client.connect(
            f"{'tls' if address.scheme == 'natss' else 'nats'}://{address.hosts[0]}",
            error_cb=self._note_error,
            closed_cb=self._note_closed,
            name="bleepstore",
            allow_reconnect=False,
            max_reconnect_attempts=1,  # who refuses connections is not tried until the time is up
            reconnect_time_wait=0,
            **options,
        )
        self._need_tls()

    def _password(self) -> str:
        """The client asks for it when it would send it."""
        self._need_tls()
        return self._address.password() or ""

    def _need_tls(self) -> None:
        """The client uses TLS only where a server says that it must."""
        if self._address.scheme == "natss" and not self._client._server_info.get("tls_required"):
            raise SendError(f"{self._address} does not require TLS, so it would not be used")

    async def _note_error(self, error: Exception) -> None:
        """The call that it concerns raises an error too, which may say less."""
        self._noted = error

    async def _note_closed(self) -> None:
        self._closed.set()

    def send(self, batch: Batch) -> None:
        for part in batch.rounds(_ROUND):
            with self._errors():
                publishing = asyncio.wait_for(self._publish_all(part, batch), batch.seconds_left)
                self._loop.run_until_complete(publishing)

    async def _publish_all(self, part: Sequence[Numbered], batch: Batch) -> None:
        """The client goes on to wait for acknowledgements after it was disconnected: that ends all of them here."""
        closed: asyncio.Future[Any] = asyncio.ensure_future(self._closed.wait())
        publishing = [asyncio.ensure_future(self._publish(numbered, batch)) for numbered in part]
        finished: asyncio.Future[Any] = asyncio.gather(*publishing, return_exceptions=True)
        try:
            await asyncio.wait([finished, closed], return_when=asyncio.FIRST_COMPLETED)
            if not finished.done():
                raise ConnectionLost(f"{self._address} closed the connection")
        finally:
            closed.cancel()
            finished.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await finished  # what is cancelled ends while its loop runs
        for failure in finished.result():
            if failure is not None:
                raise failure

    async def _publish(self, numbered: Numbered, batch: Batch) -> None:
        message = numbered.message
        await self._stream.publish(
            self._address.path,
            message.body,
            timeout=batch.seconds_left,
            stream=self._address.options.get("stream"),
            headers={"Nats-Msg-Id": hashlib.sha256(message.body).hexdigest()},
        )
        batch.acknowledge(numbered.index)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except nats.js.errors.NoStreamResponseError as error:
            raise SendError(f"{self._address}: no stream takes this subject") from error
        except nats.js.errors.Error as error:
            raise SendError(f"{self._address}: {error}") from error
        except TimeoutError as error:
            raise ConnectionLost(f"{self._address} did not answer in time") from error
        except (nats.errors.Error, OSError) as error:
            raise ConnectionLost(f"{self._address}: {self._noted or error}") from error

    def close(self) -> None:
        # Of a lost connection the client raises errors of its own, of asyncio and of the system. There is nothing to be
        # done about any: what was not confirmed is sent again.
        with contextlib.suppress(Exception):
            self._loop.run_until_complete(asyncio.wait_for(self._client.close(), _CLOSING))
        self._loop.close()
