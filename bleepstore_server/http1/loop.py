"""The poller of a worker: who is ready, who is too slow, and who may come in.

One thread of the pool leads: it carries out the rounds, and the quick requests as tasks. What they and other threads
want of the loop they `post`.

A quick request may find a disk that hangs. So whenever the leader switches to a task it offers the lead. If it does not
come back in time, somebody else takes the lead and has another thread go on: the old one ends its own tasks, those that
are paused and the one that hangs, and touches nothing of the loop any more.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import selectors
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence, Sized
from functools import partial
from typing import Any

from bleepstore_server.http1.bodies import RequestBody
from bleepstore_server.http1.connection import Connection
from bleepstore_server.http1.heads import Head, Refusal
from bleepstore_server.http1.settings import Settings
from bleepstore_server.http1.tasks import Pool, PoolThread, Task

_log = logging.getLogger("bleepstore.server")

#: How often deadlines are looked at.
_TICK_SECONDS = 0.25
#: For so long after a task that hung the loop is careful with others.
_CAREFUL_SECONDS = 1.0
#: A disk that is slow all the time is told of no more often.
_WARNING_SECONDS = 60.0
#: Connections that are accepted in one go, before those that are there get their turn.
_ACCEPTED = 64
#: So many connections may the one listener have that those of others leave no space for.
_SPARE = 16
#: Looks at the sockets beyond the first, in one round, as long as each brings more that waits for its end.
_MAX_LOOKS = 4
#: An answer waits no longer for those of other requests, but for the one that is being computed.
_MAX_SECONDS = 0.005
#: A worker that ends lets idle connections go on for so long: a request may be on its way on each.
_LAST_SECONDS = 2.0
#: Addresses of clients within this machine: programs beside the server, and the proxy in front of it.
_LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
#: No descriptor is left: that of the system, or of the process.
_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: application/xml\r\n"
    b"Content-Length: %d\r\n\r\n%s"
)


class SupersededError(BaseException):
    """Another thread leads the loop now. Ends the rounds of the thread that did."""


class Loop:
    """The event loop of one worker. `pool` has the thread that leads it."""

    #: The address of a listener that may have some connections beyond the bound of all: there it is asked what goes on.
    spare_address: Any = None

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        listeners: Sequence[Any],
        tls: ssl.SSLContext | None,
        answer: Callable[[Connection, Head, RequestBody], None],
        refuse: Callable[[Connection, Refusal], None],
        others: Sequence[Any] = (),
    ) -> None:
        """`answer` is called in a task for each request, `refuse` for what is none. `others` are listeners of other
        workers: who waits there although they are served is taken in, too."""
        self.settings = settings
        self.refuse = refuse
        #: Called after each round, one after the other.
        self.after_round: list[Callable[[], object]] = []
        #: Called by the leader when the answers that have gathered are to leave.
        self.send_answers: Callable[[], object] = _nothing
        #: What waits for the end of the round, since it costs less together: commands, answers.
        self.gathered: list[Sized] = []
        #: Called several times a second.
        self.on_tick: Callable[[], object] = _nothing
        #: How long a connection may be idle from now on.
        self.idle_seconds = settings.keepalive_seconds
        self.connections: set[Connection] = set()
        self.leader: PoolThread | None = None
        #: 1: a task hangs, or did a moment ago: no file of a blob is to be read in the leader's thread. 2: so does one
        #: that began since then: nothing that needs a disk at all is to begin there.
        self.careful = 0
        #: Whether nobody comes in any more.
        self.is_ending = False
        #: Whether the loop has ended, as it should or by a fault of ours.
        self.has_ended = False
        #: Connections for which there was no space.
        self.turned_away = 0
        self._answer = answer
        #: Requests of this round that have not begun.
        self._requests: deque[tuple[Connection, Head, RequestBody]] = deque()
        self._pool = pool
        #: The thread that leads, while it offers the lead, and how often it did.
        self._offers: dict[PoolThread, bool] = {}
        self._offer_count = 0
        self._count_seen = 0
        #: Threads with a task that hangs, and how careful that makes the loop.
        self._hanging: dict[PoolThread, int] = {}
        self._careful_until = {1: 0.0, 2: 0.0}
        #: How many times something hung that no warning told of, and when the last warning was.
        self._untold, self._warned = 0, -math.inf
        self._listeners = listeners
        self._others = others
        self._tls = tls
        self._poller = selectors.DefaultSelector()
        self._posted: deque[Callable[[], object]] = deque()
        self._soon: deque[Callable[[], object]] = deque()
        self._sleeps = False
        self._accepts = False
        self._next_tick = self._due = 0.0
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self._poller.register(self._wake_reader, selectors.EVENT_READ, self._woken)

    # -- who leads

    def start(self) -> None:
        """Have a thread of the pool lead the loop, until `end`."""
        self._pool.run_beside(self._lead)

    def _lead(self, thread: PoolThread) -> None:
        self.leader = thread
        try:
            while not self.has_ended:
                self._run_round()
        except SupersededError:
            self._hanging.pop(thread, None)
        except BaseException:
            self.has_ended = True
            raise

    def offer(self, call: Callable[[], object]) -> None:
        """Carry out what may hang, in the leader's thread. Raises SupersededError if it did."""
        self._offer(call, False)

    def switch(self, task: Task, outcome: object = None) -> None:
        """Begin a task, or have it go on. Called by the leader; raises SupersededError."""
        if task.hub is self.leader:
            self._offer(partial(task.switch, outcome), True)
        else:
            task.resume(outcome)

    def begin(self, call: Callable[[], object]) -> None:
        """Run `call` as a task in the leader's thread. Called by the leader; raises SupersededError."""
        assert self.leader is not None
        self._offer(self.leader.make_task(call).switch, True)

    def _offer(self, call: Callable[[], object], is_task: bool) -> None:
        leader = self.leader
        assert leader is not None
        self._offer_count += 1
        self._offers[leader] = is_task
        try:
            call()
        finally:
            if self._offers.pop(leader, None) is None:
                raise SupersededError

    def relieve(self) -> None:
        """Have another thread lead, if the leader has hung since the last call. Called several times a second, by a
        thread that nothing holds."""
        leader, count = self.leader, self._offer_count
        now = time.monotonic()
        hangs = False
        if leader is not None and leader in self._offers and count == self._count_seen:
            self._hanging[leader] = min(self.careful + 1, 2)  # before it may come back, and take itself out
            is_task = self._offers.pop(leader, None)
            if not is_task:
                self._hanging.pop(leader, None)
            hangs = is_task is not None
        for level in list(self._hanging.values()):
            self._careful_until[level] = now + _CAREFUL_SECONDS
        self.careful = max((level for level, until in self._careful_until.items() if now < until), default=0)
        if hangs:
            self._untold += 1
            self.leader = None
            self.post(_nothing)  # what it leaves behind is carried out at once
            self.start()
        self._count_seen = count
        if self._untold and now - self._warned >= _WARNING_SECONDS:
            _log.warning(
                "a request hangs, as on a disk that does not answer: others go on in another thread "
                "(times since the last warning: %d)",
                self._untold,
            )
            self._untold, self._warned = 0, now

    # -- the rounds

    def post(self, call: Callable[[], object]) -> None:
        """Have the loop call this in its next round. Any thread may post."""
        self._posted.append(call)
        if self._sleeps:
            with contextlib.suppress(OSError):  # it has enough to wake up for, or has ended
                os.write(self._wake_writer, b"1")

    def soon(self, call: Callable[[], object]) -> None:
        """The same, from the loop's own thread: after the others that are ready."""
        self._soon.append(call)

    def _run_round(self) -> None:
        """Wait until something is ready, or for a moment, and carry it out."""
        posted, soon = self._posted, self._soon
        self._sleeps = True
        events = self._poller.select(0 if posted or soon or self._requests else _TICK_SECONDS)
        self._sleeps = False
        now = time.monotonic()
        self._due = now + _MAX_SECONDS
        _carry_out(soon, len(soon))
        self._take(events)
        self._gather()
        if now >= self._next_tick:  # before the answers leave: who is too slow may be told so
            self._next_tick = now + _TICK_SECONDS
            self._tick(now)
        while posted:
            _carry_out(posted, len(posted))
        self.send_answers()
        for call in self.after_round:
            call()
        self.send_answers()
        while posted:
            _carry_out(posted, len(posted))

    def _take(self, events: Sequence[tuple[selectors.SelectorKey, int]]) -> None:
        """Carry out what is ready."""
        for key, _mask in events:
            data = key.data
            if type(data) is Connection:
                try:
                    data.on_ready()
                except Exception:  # noqa: BLE001  # a fault of ours ends one connection, and no other
                    _log.exception("a connection failed")
                    data.close()
            else:
                data()
        while self._requests:
            self.begin(self._answer_requests)
            if time.monotonic() >= self._due:
                self.send_answers()
                self._due = time.monotonic() + _MAX_SECONDS

    def _gather(self) -> None:
        """Look again, if anything waits for the end of the round: there may be more that goes with it."""
        count = 0
        for _ in range(_MAX_LOOKS):
            waiting = sum(map(len, self.gathered))
            if not count < waiting < len(self.connections):
                break
            count = waiting
            self._take(self._poller.select(0))

    def begin_request(self, connection: Connection, head: Head, body: RequestBody) -> None:
        """Have a request answered in this round. Called by the leader."""
        self._requests.append((connection, head, body))

    def _answer_requests(self) -> None:
        """Answer the requests that have come. Runs as a task, which they share, since to begin one costs as much as to
        parse a head: if one of them pauses, the next task goes on with the others, and if it hangs, the next leader."""
        requests, thread = self._requests, self.leader
        while requests and self.leader is thread:
            self._offer_count += 1
            connection, head, body = requests.popleft()
            try:
                self._answer(connection, head, body)
            except Exception:  # noqa: BLE001  # as for a connection
                _log.exception("a connection failed")
                self.post(connection.close)
            if time.monotonic() >= self._due:
                break

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_reader, 4096)

    def _tick(self, now: float) -> None:
        late = [one for one in self.connections if one.deadline is not None and one.deadline < now]
        for connection in late:
            connection.expire()
        self._accept_if(not self.is_ending)
        if self._accepts:
            for listener in self._others:
                self._accept(listener)
        self.on_tick()

    # -- connections

    def watch(self, connection: Connection, events: int) -> None:
        """Call the connection's `on_ready` when its socket is ready for `events`; 0 is none."""
        known = connection.events
        if events == known:
            return
        connection.events = events
        if not known:
            self._poller.register(connection.sock, events, connection)
        elif events:
            self._poller.modify(connection.sock, events, connection)
        else:
            self._poller.unregister(connection.sock)

    def forget(self, connection: Connection) -> None:
        self.watch(connection, 0)
        self.connections.discard(connection)

    def _accept_if(self, wanted: bool) -> None:
        if wanted == self._accepts:
            return
        self._accepts = wanted
        for listener in self._listeners:
            if wanted:
                self._poller.register(
                    listener, selectors.EVENT_READ, lambda accepting=listener: self._accept(accepting)
                )
            else:
                self._poller.unregister(listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTED):
            try:
                sock, peer = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_DESCRIPTOR:
                    self._accept_if(False)  # until the next tick
                    return
                continue  # that client is gone
            sock.setblocking(False)
            if self._has_space(listener):
                self._begin(sock, peer, listener)
            else:
                self._turn_away(sock)

    def _has_space(self, listener: socket.socket) -> bool:
        count, bound = len(self.connections), self.settings.max_connections
        return count < bound or (count < bound + _SPARE and listener.getsockname() == self.spare_address)

    def _begin(self, sock: socket.socket, peer: Any, listener: socket.socket) -> None:
        try:
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if peer[0] in _LOOPBACK and sys.platform == "linux":
                    _send_at_once(sock)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            connection = Connection(self, sock, peer, listener.getsockname())
        except OSError:
            sock.close()  # it is gone already
            return
        self.connections.add(connection)
        connection.begin()

    def _turn_away(self, sock: socket.socket) -> None:
        """Say that there is no space for another connection. To speak TLS for that would cost more than it is worth."""
        self.turned_away += 1
        body = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
        with contextlib.suppress(OSError):
            if self._tls is None:
                sock.send(_BUSY % (len(body), body))
                sock.shutdown(socket.SHUT_WR)
                sock.recv(65536)  # what is unread when it is closed would take the answer away
        sock.close()

    # -- the end

    def stop_accepting(self) -> None:
        """From now on nobody comes in, and idle connections have little time left."""
        if self.is_ending:
            return
        for listener in self._listeners:
            self._accept(listener)  # who is in its queue already
        self._accept_if(False)
        self.is_ending = True
        self.idle_seconds = _LAST_SECONDS
        for listener in (*self._listeners, *self._others):
            listener.close()
        last = time.monotonic() + _LAST_SECONDS
        for connection in self.connections:
            if connection.deadline is not None and connection.is_idle:
                connection.deadline = min(connection.deadline, last)

    def end(self) -> None:
        """Close all connections, and have the leader go on with something else. Called by the leader."""
        self.has_ended = True
        for connection in list(self.connections):
            connection.close()
        self._poller.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)


def _send_at_once(sock: socket.socket) -> None:
    """Send within the machine without pacing. BBR, where it is the system's default, estimates a bandwidth and has
    timers send at that rate, which doubles the processor time of a large body. Every Linux has Reno, and that waits
    for nothing while nothing is lost."""
    with contextlib.suppress(OSError):  # the system's administrator may have left it out
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")


def _carry_out(calls: deque[Callable[[], object]], count: int) -> None:
    """The first of them, so many."""
    for _ in range(count):
        call = calls.popleft()
        try:
            call()
        except Exception:  # noqa: BLE001  # as above
            _log.exception("a connection failed")


def _nothing() -> None:
    pass
