"""A TCP proxy that cuts, stalls, truncates and damages connections on purpose, between a gateway and its provider."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Iterator

import attrs

_PIECE = 64 * 1024
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


@attrs.define
class Fault:
    """What happens to the next `times` connections once the given bytes have passed: the connection is reset (`cut`),
    ended in order (`truncate`), or kept open with nothing more passing (`stall`); no byte beyond passes. Or one bit of
    what comes there is another (`damage`), and all goes on."""

    kind: str
    times: int = 1
    sent: int | None = None  # bytes from the client
    received: int | None = None  # bytes from the server

    def reached(self, sent: int, received: int) -> bool:
        return (self.sent is not None and sent >= self.sent) or (
            self.received is not None and received >= self.received
        )


class FaultProxy:
    """Passes connections on to `port` of this machine. `faults` hit the connections to come, in their order."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self.connections = 0
        self.hits = 0
        self._accepting = threading.Thread(target=self._accept, name="fault-proxy")
        self._accepting.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def inject(self, kind: str, *, times: int = 1, sent: int | None = None, received: int | None = None) -> None:
        with self._lock:
            self._faults.append(Fault(kind, times, sent, received))

    def heal(self) -> None:
        with self._lock:
            self._faults.clear()

    def close(self) -> None:
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._pass, args=(client,), name="fault-proxy-connection")
            self._threads.append(thread)
            thread.start()

    def _take(self, sent: int, received: int) -> Fault | None:
        """The first fault, if this connection has come to it."""
        with self._lock:
            if not self._faults or not self._faults[0].reached(sent, received):
                return None
            fault = self._faults[0]
            fault.times -= 1
            if fault.times == 0:
                self._faults.pop(0)
            self.hits += 1
            return fault

    def _pass(self, client: socket.socket) -> None:
        with (
            client,
            socket.create_connection(("127.0.0.1", self._target)) as server,
            selectors.DefaultSelector() as both,
        ):
            both.register(client, selectors.EVENT_READ, server)
            both.register(server, selectors.EVENT_READ, client)
            passed = {client: 0, server: 0}
            while not self._stopped.is_set():
                for key, _ in both.select(0.1):
                    source, target = key.fileobj, key.data
                    assert isinstance(source, socket.socket)
                    try:
                        data = source.recv(_PIECE)
                        passed[source] += len(data)
                        fault = self._take(passed[client], passed[server]) if data else None
                        if fault is not None and fault.kind == "damage":
                            data, fault = bytes([data[0] ^ 1]) + data[1:], None
                        if fault is not None:
                            limit = fault.sent if source is client else fault.received
                            beyond = passed[source] - (limit or 0)
                            data = data[: max(0, len(data) - beyond)]
                        target.sendall(data)
                    except OSError:
                        return
                    if fault is not None:
                        self._harm(fault, client, server)
                    if fault is not None or not data:
                        return

    def _harm(self, fault: Fault, client: socket.socket, server: socket.socket) -> None:
        if fault.kind == "stall":
            self._stopped.wait()
        elif fault.kind == "cut":
            for end in (client, server):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        else:
            assert fault.kind == "truncate", fault.kind


@contextlib.contextmanager
def fault_proxy(port: int) -> Iterator[FaultProxy]:
    proxy = FaultProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
