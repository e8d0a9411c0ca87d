"""An S3 endpoint in a thread of this process, for tests: it accepts requests when it is returned.

    with live_server() as server:
        s3fs.S3FileSystem(endpoint_url=server.url, key=server.access_key, secret=server.secret_key)

It is werkzeug's server, which needs nothing beyond what the app needs, with the header fields and the request target
as they were sent. It ends each connection with its answer and is made to be correct, not fast: `bleepstore serve` is
the server for anything but tests.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs

import bleepstore
from bleepstore import Store
from bleepstore.errors import StoreError
from bleepstore.threads import Background
from bleepstore_server.app_config import WELL_KNOWN, AppConfig
from bleepstore_server.awaited_body import AwaitedBody
from bleepstore_server.clients import client_environ, test_config
from bleepstore_server.extras import needing
from bleepstore_server.transport import check_store, live_urls

with needing("server"):
    from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

    from bleepstore_server.app import create_app
    from bleepstore_server.exchange import join_fields

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from mypy_boto3_s3 import S3Client

    from bleepstore_server.faults import Faults
    from bleepstore_server.layers.record import Recorder

_log = logging.getLogger("bleepstore.live_server")

#: A client that sends nothing for so long is disconnected.
_STALL_SECONDS = 60
_POLL_SECONDS = 0.02


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "BleepStore"
    timeout = _STALL_SECONDS

    def handle_expect_100(self) -> bool:
        """http.server and werkzeug would each ask for the body at once; we do when the app begins to read it."""
        return True

    def run_wsgi(self) -> None:
        self._sent = join_fields(self.headers.items())
        expected = (self.headers.get("Expect") or "").strip(" \t").lower()
        self._awaits_continue = expected == "100-continue" and self.request_version != "HTTP/1.0"
        del self.headers["Expect"]
        super().run_wsgi()

    def make_environ(self) -> WSGIEnvironment:
        environ = super().make_environ()
        if self._awaits_continue:
            body = AwaitedBody(environ["wsgi.input"], self.wfile.write)
            environ["wsgi.input"] = body
            environ["bleepstore.awaits_continue"] = body.is_awaited
        # http.server shortens a target that begins with "//", and WSGI blurs "_" and "-": the signature has both.
        environ["RAW_URI"] = self.requestline.split(" ")[1]
        environ["bleepstore.headers"] = self._sent
        environ["bleepstore.signing_time"] = int(time.time())
        environ["bleepstore.abort"] = self._abort
        return environ

    def _abort(self) -> None:
        """End the connection by a reset: what is unsent is dropped (SO_LINGER of zero seconds)."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.server.reset.add(self.connection)  # type: ignore[attr-defined]  # it is a _Server
        raise ConnectionResetError("a fault resets the connection")

    def log(self, type: str, message: str, *args: Any) -> None:
        """To our logger: nobody wants a test's requests on standard error."""
        _log.debug(message, *args)


class _Server(ThreadedWSGIServer):
    """Waits for its threads at the end, having ended their connections."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, *args: Any, **options: Any) -> None:
        self.open: set[socket.socket] = set()
        self.reset: set[socket.socket] = set()
        super().__init__(*args, **options)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        if request in self.reset:
            self.reset.discard(request)
            self.close_request(request)  # without the shutdown, which would end it in order
        else:
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("the connection of %s failed", client_address, exc_info=True)

    def end_connections(self) -> None:
        for connection in list(self.open):
            with contextlib.suppress(OSError):  # it has ended by itself
                connection.shutdown(socket.SHUT_RDWR)


def forget_file_systems() -> None:
    """Have fsspec make its S3 file systems anew: it hands out a known one for the same options, and these need not name
    the endpoint, which the environment gives."""
    spec: Any = sys.modules.get("fsspec.spec")
    kinds: list[Any] = [] if spec is None else [spec.AbstractFileSystem]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
        protocols = (kind.protocol,) if isinstance(kind.protocol, str) else kind.protocol
        if "s3" in protocols:
            kind.clear_instance_cache()


@attrs.frozen
class LiveServer:
    """A server that accepts requests, and an access key for it."""

    store: Store
    url: str
    access_key: str
    secret_key: str = attrs.field(repr=False)
    region: str = "us-east-1"

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables by which AWS SDKs and tools in other processes find this server."""
        return client_environ(self.access_key, self.secret_key, self.region, self.url)

    def client(self, **options: Any) -> S3Client:
        """A boto3 client; `options` are those of `boto3.client`. Close it after use."""
        with needing("server,aws"):
            import boto3

        given = {
            "endpoint_url": self.url,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "region_name": self.region,
        }
        client: S3Client = boto3.client("s3", **(given | options))
        return client


@contextlib.contextmanager
def live_server(
    store: Store | None = None,
    *,
    config: AppConfig | None = None,
    faults: Faults | None = None,
    record: Recorder | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> Iterator[LiveServer]:
    """A server over HTTP for `store`, or for a new one in memory; port 0 is a free one.

    It is ready when the block begins and gone, with its threads, when it ends; a store that was passed in stays open.
    The S3 file systems that fsspec remembers (s3fs) are forgotten at both ends.
    `record` is that of `create_app`. Without a `config` the well-known access key signs for the store's owner. Raises
    OSError if the address is taken.
    """
    config = config or test_config()
    pair = WELL_KNOWN
    if config.access_key is not None and config.secret_key is not None:
        pair = (config.access_key, config.secret_key)
    elif not config.allow_well_known_key:
        raise StoreError("This configuration has no access key: set access_key and secret_key or allow_well_known_key.")
    with contextlib.ExitStack() as stack:
        if store is None:
            store = stack.enter_context(bleepstore.open())
        check_store(store)
        app = create_app(store, config, record=record)
        if faults is not None:
            app = faults.wrap(app, config.domains)
        with socket.create_server((host, port), backlog=_Server.request_queue_size) as listener:
            httpd = _Server(host, port, app, _Handler, fd=listener.fileno())
        thread = Background("bleepstore-live-server")
        url = f"http://{host}:{httpd.socket.getsockname()[1]}"
        try:
            thread.start(functools.partial(httpd.serve_forever, _POLL_SECONDS))
            live_urls.add(url)
            forget_file_systems()
            yield LiveServer(store, url, *pair, config.region)
        finally:
            live_urls.discard(url)
            forget_file_systems()
            if thread.is_started:
                httpd.shutdown()
            httpd.end_connections()
            thread.join()
            httpd.server_close()
