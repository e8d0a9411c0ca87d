"""What a server has, beside the store and its settings, for those who watch it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import attrs

from bleepstore.errors import BleepStoreError
from bleepstore.store import Store
from bleepstore_server.response import Response
from bleepstore_server.wire.errors import RequestError

if TYPE_CHECKING:  # a program that is not watched needs none of it
    from _typeshed.wsgi import WSGIEnvironment

    from bleepstore_server.audit import AuditLog
    from bleepstore_server.metrics.counting import RequestCounts
    from bleepstore_server.traces.requests import RequestTraces

_log = logging.getLogger("bleepstore.server")


@attrs.frozen(kw_only=True)
class Monitoring:
    """`pages` answer unsigned GETs of exactly their path, without a query, by the environ and the id of the request.
    `counts` counts requests for metrics, `audit` is written who did what, `traces` makes spans of requests."""

    pages: Mapping[str, Callable[[WSGIEnvironment, str], Response]] = attrs.field(factory=dict)
    counts: RequestCounts | None = None
    audit: AuditLog | None = None
    traces: RequestTraces | None = None


UNWATCHED = Monitoring()


def is_ready(store: Store, audit: AuditLog | None) -> bool:
    """Whether a write can be expected to succeed."""
    try:
        store.ping()
        if audit is not None:
            audit.check()
    except (BleepStoreError, RequestError, OSError) as error:
        _log.warning("not ready: %s", error)
        return False
    except Exception:  # noqa: BLE001  # whatever is wrong, the answer is that we are not ready
        _log.exception("not ready")
        return False
    return True
