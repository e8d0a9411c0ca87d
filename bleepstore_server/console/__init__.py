"""The console: a store in a browser.

`Console` is a WSGI app of its own. It works through the Python API of the store, as the caller whose access key signed
in: what the store refuses to that caller over S3, it refuses here. Pages are rendered on the server; the little script
that there is moves files, and the rest works without it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bleepstore_server.admin.services import Services
from bleepstore_server.console.shared import Shared
from bleepstore_server.rates import RateMeter

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def console_on_demand(
    services: Services, *, meter: RateMeter | None = None, shared: Shared | None = None
) -> WSGIApplication:
    """The console, which is loaded with the first request to it: most workers never show it."""
    made: list[WSGIApplication] = []
    lock = threading.Lock()

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with lock:
            if not made:
                from bleepstore_server.console.app import Console

                config = services.config
                made.append(
                    Console(
                        services.store,
                        config,
                        port=config.port,
                        meter=meter,
                        shared=shared,
                        audit=services.audit,
                        metrics=services.metrics,
                    )
                )
        return made[0](environ, start_response)

    return app
