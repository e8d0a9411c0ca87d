"""Why requests were denied, for whom it may concern: the logger `bleepstore.denied`, at the level DEBUG.

An explanation is made only if somebody listens, since it costs more than the decision.
"""

from __future__ import annotations

import logging

from bleepstore.errors import BleepStoreError
from bleepstore_server.exchange import Exchange

denied_log = logging.getLogger("bleepstore.denied")


def explain_denied(exchange: Exchange) -> None:
    """Log why the caller was refused what the request asks for."""
    if exchange.action is None or not exchange.bucket or not denied_log.isEnabledFor(logging.DEBUG):
        return
    try:
        explanation = exchange.store.explain_access(
            exchange.action,
            exchange.bucket,
            exchange.key,
            version_id=exchange.version_id,
            caller=exchange.caller,
        )
    except BleepStoreError as error:
        denied_log.debug("%s was denied, and it cannot be said why: %s", exchange.operation, error)
        return
    further = "\n  The request asks for more than that, which is denied." if explanation.allowed else ""
    denied_log.debug("%s was denied.\n%s%s", exchange.operation, explanation, further)
