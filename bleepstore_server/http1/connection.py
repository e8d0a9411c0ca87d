"""One client: its phases, its deadlines, its requests.

    handshake -> head -> request -> head -> ... -> lingering -> closed

The loop calls `on_ready` when the socket is ready for what the phase waits for; between requests a connection is this
object and nothing else. A request is a task: in the loop's thread, if the app says that it is quick, else in a thread
of the pool. While it lasts the socket is its own: it reads and writes as if it could block, and pauses instead.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from bleepstore_server.http1.bodies import RequestBody
from bleepstore_server.http1.heads import END, Head, Refusal, RefusedHead, parse_head, refuse_unfinished
from bleepstore_server.http1.settings import Settings
from bleepstore_server.http1.tasks import PoolThread, Task, current_task

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_PIECE = 64 * 1024
#: A client that reads what was said last, or may, has so long, and may send so much more.
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 4 * 1024 * 1024
#: Of a body that the app did not read, so much is read for the sake of the connection.
_DROPPED = 64 * 1024
#: A thread of the pool waits so many milliseconds for a client that has just moved so many bytes at once: the way
#: through the loop and back costs more.
_FAST_BYTES, _FAST_MS = 64 * 1024, 5
_LOW_WATER = 16 * 1024
_NOTHING = memoryview(b"")

_BLOCKED_READ = (BlockingIOError, ssl.SSLWantReadError)
_BLOCKED_WRITE = (BlockingIOError, ssl.SSLWantWriteError)


class Patience:
    """How long a client is waited for: `stall` seconds at a time, and in all only as long as it moves `rate` bytes a
    second, but for the first `stall` seconds. It has `moved` so many bytes, and was `waited` for so many seconds: time
    in which nobody waits for it does not count. Each request begins both anew."""

    __slots__ = ("_rate", "_stall", "moved", "waited")

    def __init__(self, stall: float, rate: float) -> None:
        self._stall = stall
        self._rate = rate
        self.waited = 0.0
        self.moved = 0

    def left(self) -> float:
        """Seconds for which to wait now."""
        if not self._rate:
            return self._stall
        return min(self._stall, self._stall + self.moved / self._rate - self.waited)


class Poller(Protocol):
    """What a connection asks of its loop (`bleepstore_server.http1.loop`)."""

    settings: Settings
    #: How long a connection may be idle from now on.
    idle_seconds: float
    leader: PoolThread | None
    refuse: Callable[[Connection, Refusal], None]

    def begin_request(self, connection: Connection, head: Head, body: RequestBody) -> None: ...

    def watch(self, connection: Connection, events: int) -> None: ...

    def forget(self, connection: Connection) -> None: ...

    def soon(self, call: Callable[[], object]) -> None: ...

    def post(self, call: Callable[[], object]) -> None: ...

    def switch(self, task: Task, outcome: object = None) -> None: ...


class Connection:
    """One accepted socket. All but `receive` and what sends belongs to the loop's thread."""

    __slots__ = (
        "_lingered",
        "_low_water",
        "_moved_last",
        "_reading",
        "_rest",
        "_task",
        "_tls",
        "_waits_since",
        "_writing",
        "buffer",
        "deadline",
        "events",
        "hurried_until",
        "loop",
        "on_ready",
        "peer",
        "server",
        "sock",
    )

    def __init__(self, loop: Poller, sock: socket.socket, peer: Any, server: Any) -> None:
        self.loop = loop
        self.sock = sock
        self.peer = peer
        self.server = server
        #: Bytes that came and nobody took.
        self.buffer = bytearray()
        #: What the loop watches the socket for, and until when (time.monotonic).
        self.events = 0
        self.deadline: float | None = None
        #: Until when the body of a request may come that nobody knows to be wanted.
        self.hurried_until: float | None = None
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._task: Task | None = None
        self._moved_last = 0
        #: What is left of an answer that the loop sends, and since when the socket takes no more.
        self._rest = _NOTHING
        self._waits_since = 0.0
        self._lingered = 0
        self._low_water = 1
        settings = loop.settings
        self._reading = Patience(settings.stall_seconds, settings.min_rate)
        self._writing = Patience(settings.stall_seconds, settings.min_rate)
        self.on_ready: Callable[[], object] = self._handshake if self._tls else self._read_head

    @property
    def is_idle(self) -> bool:
        """Whether it waits for the first byte of a request."""
        return not self.buffer and self.on_ready == self._read_head

    @property
    def is_busy(self) -> bool:
        """Whether a request is under way."""
        return self.on_ready in (self._ignore, self._wake, self._gather, self._send_more)

    # -- phases, in the loop's thread

    def begin(self) -> None:
        """Called once, when the connection is new."""
        limits = self.loop.settings
        self.deadline = time.monotonic() + (limits.header_seconds if self._tls else limits.stall_seconds)
        self.on_ready()

    def _handshake(self) -> None:
        try:
            self.sock.do_handshake()  # type: ignore[attr-defined]  # it is an SSLSocket
        except ssl.SSLWantReadError:
            self.loop.watch(self, READ)
        except ssl.SSLWantWriteError:
            self.loop.watch(self, WRITE)
        except OSError:
            self.linger()  # what it said is not read to the end, and it may want to see our alert
        else:
            self.deadline = time.monotonic() + min(self.loop.settings.stall_seconds, self.loop.idle_seconds)
            self.on_ready = self._read_head
            self._read_head()

    def _read_head(self) -> None:
        try:
            data = self.sock.recv(_PIECE)
        except _BLOCKED_READ:
            self.loop.watch(self, READ)
        except OSError:
            self.close()
        else:
            if not data:
                self.close()
                return
            seen = len(self.buffer)
            self.buffer += data
            self._parse(seen)

    def _parse(self, seen: int = 0) -> None:
        """Begin the request that is in the buffer, if its head is there: it does not end in what was `seen` before."""
        # "A server that is expecting to receive and parse a request-line SHOULD ignore at least one empty line (CRLF)
        # received prior to the request-line" (RFC 9112 section 2.2). It stays in the buffer until the head is there:
        # the time of a head begins once.
        start = 2 if self.buffer.startswith(b"\r\n") else 0
        end = self.buffer.find(END, max(start, seen - len(END)))
        limits = self.loop.settings.limits
        try:
            if end < 0:
                refuse_unfinished(self.buffer, limits)
                if not seen:
                    self.deadline = time.monotonic() + self.loop.settings.header_seconds
                self.loop.watch(self, READ)
                return
            head = parse_head(self.buffer[start:end], limits)
        except RefusedHead as refused:
            self.loop.refuse(self, refused.refusal)
            return
        del self.buffer[: end + len(END)]
        self._begin_request(head)

    def _go_on(self) -> None:
        """More has come already than was wanted before."""
        if self.on_ready != self._read_head:
            return  # it was seen meanwhile
        if self.buffer:
            self._parse()
        else:
            self._read_head()

    def _begin_request(self, head: Head) -> None:
        self.deadline = self.hurried_until = None
        self.on_ready = self._ignore
        reading, writing = self._reading, self._writing
        reading.moved = writing.moved = 0
        reading.waited = writing.waited = 0.0
        # "A server MAY omit sending a 100 (Continue) response if it has already received some or all of the content."
        ask = self._ask if head.length != 0 and head.awaits_continue and not self.buffer else None
        self.loop.begin_request(self, head, RequestBody(self, head.length, ask))

    def end_request(self) -> None:
        """A request has its answer, and the next one may come."""
        if self.on_ready is _nothing:
            return  # the loop has ended meanwhile
        self.on_ready = self._read_head
        if self._low_water != 1:
            self._set_low_water(1)
        self.deadline = time.monotonic() + self.loop.idle_seconds
        if self.buffer or (self._tls and self.sock.pending()):  # type: ignore[attr-defined]  # it is an SSLSocket
            self.loop.soon(self._go_on)
        elif self.events != READ:
            self.loop.watch(self, READ)

    def send_rest(self, rest: memoryview) -> None:
        """Send the rest of an answer as the socket takes it, without a task, and end the request."""
        self._rest = rest
        self._waits_since = time.monotonic()
        self.deadline = self._waits_since + self._writing.left()
        self.on_ready = self._send_more
        self.loop.watch(self, WRITE)

    def _send_more(self) -> None:
        now = time.monotonic()
        self._writing.waited += now - self._waits_since
        self._waits_since = now
        try:
            self._rest = self._rest[self.send_now((self._rest,)) :]
        except OSError:
            self.close()
            return
        if self._rest:
            self.deadline = now + self._writing.left()  # if that is over, the next tick closes it
            return
        self._rest = _NOTHING
        self.deadline = None
        self.on_ready = self._ignore
        self.loop.post(self.end_request)  # once the round looks at no more sockets, as after each answer

    def linger(self) -> None:
        """Close once the client has had time to read what was said last: to close a socket that has unread bytes
        would take it away from the client (RFC 9112 section 9.6)."""
        with contextlib.suppress(OSError, ValueError):
            if self._tls:
                self.sock.unwrap()  # type: ignore[attr-defined]  # it is an SSLSocket
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self.buffer.clear()
        self._lingered = 0
        self._set_low_water(1)
        self.deadline = time.monotonic() + _LINGER_SECONDS
        self.on_ready = self._drop
        self.loop.watch(self, READ)

    def _drop(self) -> None:
        try:
            while data := socket.socket.recv(self.sock, _PIECE):  # of TLS nothing is read any more
                self._lingered += len(data)
                if self._lingered > _LINGER_BYTES:
                    break
        except BlockingIOError:
            return
        except OSError:
            pass
        self.close()

    def _ignore(self) -> None:
        """The socket is ready for something, and its request does not wait for that."""
        self.loop.watch(self, 0)

    def _wake(self) -> None:
        """The socket is ready for what the request waits for."""
        task, self._task = self._task, None
        self.on_ready = self._ignore
        self.deadline = None
        assert task is not None
        self.loop.switch(task)

    def _gather(self) -> None:
        """Take what has come of a body over TLS, and wake the request when that is as much as it waits for."""
        while len(self.buffer) < self._low_water:
            try:
                data = self.sock.recv(_LOW_WATER)
            except _BLOCKED_READ:
                return
            except OSError:
                break  # the request meets it itself, as it does the end
            if not data:
                break
            self.buffer += data
        self._wake()

    def expire(self) -> None:
        """The deadline has passed."""
        task, self._task = self._task, None
        self.deadline = None
        if task is None:
            self.close()
            return
        self.on_ready = self._ignore
        self.loop.switch(task, TimeoutError("the client is too slow"))

    def close(self) -> None:
        self.loop.forget(self)
        self.sock.close()
        self.on_ready = _nothing  # and not a method, which would keep this alive

    # -- what a request does, in the thread of its task

    def hurry(self, hurried: bool = True) -> None:
        """From now on the body has to come as quickly as a head, or no more so."""
        self.hurried_until = time.monotonic() + self.loop.settings.header_seconds if hurried else None

    def receive(self, size: int, expected: int = 1) -> bytes:
        """Up to `size` bytes, once there are some; b"" when the client has ended. So many are `expected` to come."""
        late: TimeoutError | None = None
        while True:
            if self.hurried_until is not None and time.monotonic() > self.hurried_until:
                raise TimeoutError("the body comes too slowly")
            try:
                gathered = self._take_gathered(size) if expected > 1 else b""
                data = gathered or self.sock.recv(size)
            except _BLOCKED_READ:
                if late is not None:
                    raise late from None
                self._sleep_through_drops(expected)
                try:
                    self._wait(READ, self._reading)
                except TimeoutError as error:
                    late = error  # unless there is something after all
            else:
                if self._tls:
                    data = self._read_records(data, size)
                self._reading.moved += len(data)
                self._moved_last = len(data)
                return data

    def _take_gathered(self, size: int) -> bytes:
        """Nothing is in the buffer before a wait for more than a byte."""
        if not self.buffer:
            return b""
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def _read_records(self, data: bytes, size: int) -> bytes:
        """What TLS has beside the data of its first record, which are few."""
        pieces, left = [data], size - len(data)
        while data and left:
            try:
                data = self.sock.recv(left)
            except _BLOCKED_READ:
                break
            pieces.append(data)
            left -= len(data)
        return b"".join(pieces)

    def _sleep_through_drops(self, expected: int) -> None:
        """Where so many bytes have to come, a byte now and then wakes nobody: the socket counts as ready once
        there is more, or its end. Whoever is as fast as they have to be is noticed in half of the time that they have.
        Of TLS nobody knows how many bytes of the socket that is: there the loop gathers them."""
        settings = self.loop.settings
        wanted = 1
        if self.hurried_until is None:
            wanted = max(1, min(expected, _LOW_WATER, int(settings.min_rate * settings.stall_seconds / 2)))
        self._set_low_water(wanted)

    def _set_low_water(self, size: int) -> None:
        if size == self._low_water:
            return
        self._low_water = size
        if not self._tls and sys.platform == "linux":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size)

    def send_now(self, pieces: Sequence[bytes | memoryview]) -> int:
        """Send what the socket takes at once, and return how many bytes that is."""
        try:
            if len(pieces) == 1:
                sent = self.sock.send(pieces[0])
            else:
                sent = self.sock.send(b"".join(pieces)) if self._tls else self.sock.sendmsg(pieces)
        except _BLOCKED_WRITE:
            return 0
        self._writing.moved += sent
        return sent

    def send(self, *pieces: bytes | memoryview) -> int:
        """Send all of it, and return how many bytes that is."""
        size = sum(map(len, pieces))
        sent = self.send_now(pieces)
        if sent == size:
            return size
        self._moved_last = sent
        data = memoryview(pieces[0] if len(pieces) == 1 else b"".join(pieces))[sent:]
        while data:
            sent = self.send_now((data,))
            if sent:
                self._moved_last = sent
                data = data[sent:]
            else:
                self._wait(WRITE, self._writing)
        return size

    def send_file(self, descriptor: int, offset: int, size: int) -> int:
        """Send up to `size` bytes of a file, as many as the socket takes at once; 0 at the end of the file."""
        while True:
            try:
                sent = os.sendfile(self.sock.fileno(), descriptor, offset, size)
            except BlockingIOError:
                self._wait(WRITE, self._writing)
                continue
            self._writing.moved += sent
            self._moved_last = sent
            return sent

    def _ask(self) -> None:
        self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def drop_body(self, body: RequestBody) -> bool:
        """Read what is left of a body that nobody wants, if it is little; whether that was all."""
        if body.is_awaited():
            return False
        self.hurry()
        try:
            return body.drop(_DROPPED)
        except (OSError, ValueError):
            return False

    def _wait(self, events: int, patience: Patience) -> None:
        """Pause until the socket is ready. Raises TimeoutError."""
        now = time.monotonic()
        deadline = now + patience.left()
        if events == READ and self.hurried_until is not None:
            deadline = min(deadline, self.hurried_until)
        if deadline <= now:
            raise TimeoutError("the client is too slow")
        try:
            self._pause(events, deadline)
        finally:
            patience.waited += time.monotonic() - now
            self._moved_last = 0

    def _pause(self, events: int, deadline: float) -> None:
        task = current_task()
        if task is None:  # a thread of the app's own
            if not _poll(self.sock, events, deadline - time.monotonic()):
                raise TimeoutError("the client is too slow")
        elif (
            self._moved_last < _FAST_BYTES
            or task.hub is self.loop.leader
            or not _poll(self.sock, events, _FAST_MS / 1000)
        ):
            self.loop.post(partial(self._watch_for, task, events, deadline))
            task.pause()

    def _watch_for(self, task: Task, events: int, deadline: float) -> None:
        self._task = task
        self.deadline = deadline
        self.on_ready = self._gather if self._tls and events == READ and self._low_water > 1 else self._wake
        self.loop.watch(self, events)


def _poll(sock: socket.socket, events: int, seconds: float) -> bool:
    poller = select.poll()
    poller.register(sock, select.POLLIN if events == READ else select.POLLOUT)
    return bool(poller.poll(1000 * seconds))


def _nothing() -> None:
    pass
