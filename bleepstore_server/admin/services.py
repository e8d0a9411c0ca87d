"""What the handlers of the admin address work with."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from bleepstore.store import Store
from bleepstore_server.admin.checks import HealthChecks
from bleepstore_server.admin.control import LogLevel
from bleepstore_server.audit import AuditLog, open_audit_log
from bleepstore_server.config import ServerConfig
from bleepstore_server.extras import needing
from bleepstore_server.metrics.exposition import Metrics
from bleepstore_server.metrics.page import Page

if TYPE_CHECKING:
    from bleepstore_server.traces.requests import RequestTraces


@attrs.frozen(kw_only=True)
class Services:
    """One for each process that serves."""

    store: Store
    config: ServerConfig
    checks: HealthChecks
    metrics: Metrics
    audit: AuditLog | None
    log_level: LogLevel
    traces: RequestTraces | None


def services_of(
    store: Store, config: ServerConfig, page: Page | None = None, log_level: LogLevel | None = None
) -> Services:
    """`page` and `log_level` are what the processes of a server share, made before the fork."""
    metrics = Metrics(store, page)
    audit = open_audit_log(config, metrics.audit_failed)
    if audit is not None:
        atexit.register(audit.close)
    return Services(
        store=store,
        config=config,
        checks=HealthChecks(store, audit),
        metrics=metrics,
        audit=audit,
        log_level=log_level or LogLevel(),
        traces=start_traces(store, config, metrics.spans_told) if config.traces else None,
    )


def check_traces() -> None:
    """Raises StoreError without the extra `traces`."""
    with needing("server,traces"):
        import bleepstore_server.traces.exporting  # noqa: F401  # whether it can be


def start_traces(store: Store, config: ServerConfig, told: Callable[[int, int], object]) -> RequestTraces:
    """Have a store and its requests make spans, which are sent by this process. Raises StoreError without the extra
    `traces`."""
    with needing("server,traces"):
        from bleepstore.traces import trace
        from bleepstore_server.traces.exporting import close_provider, open_provider
        from bleepstore_server.traces.requests import RequestTraces
    provider = open_provider(told)
    atexit.register(close_provider, provider)
    trace(store, provider)
    return RequestTraces(provider, shows_keys=config.traces_keys)
