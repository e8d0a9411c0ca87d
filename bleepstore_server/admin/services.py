"""What the handlers of the admin address work with."""

from __future__ import annotations

import attrs

from bleepstore.store import Store
from bleepstore_server.admin.checks import HealthChecks
from bleepstore_server.config import ServerConfig


@attrs.frozen(kw_only=True)
class Services:
    """One for each process that serves."""

    store: Store
    config: ServerConfig
    checks: HealthChecks


def services_of(store: Store, config: ServerConfig) -> Services:
    return Services(store=store, config=config, checks=HealthChecks(store))
