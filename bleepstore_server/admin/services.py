"""What the handlers of the admin address work with."""

from __future__ import annotations

import atexit

import attrs

from bleepstore.store import Store
from bleepstore_server.admin.checks import HealthChecks
from bleepstore_server.admin.control import LogLevel
from bleepstore_server.audit import AuditLog, open_audit_log
from bleepstore_server.config import ServerConfig
from bleepstore_server.metrics.exposition import Metrics
from bleepstore_server.metrics.page import Page


@attrs.frozen(kw_only=True)
class Services:
    """One for each process that serves."""

    store: Store
    config: ServerConfig
    checks: HealthChecks
    metrics: Metrics
    audit: AuditLog | None
    log_level: LogLevel


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
    )
