"""What a worker allows its clients."""

from __future__ import annotations

import attrs

from bleepstore_server.http1.heads import Limits


@attrs.frozen(kw_only=True)
class Settings:
    """Seconds, and bytes a second."""

    limits: Limits = Limits()
    #: For a TLS handshake, for the head of a request from its first byte on, and for what nobody knows to be wanted.
    header_seconds: float = 5.0
    #: How long a client may send or read nothing while it is its turn.
    stall_seconds: float = 30.0
    #: How fast a body or an answer has to move, beyond the first `stall_seconds`.
    min_rate: float = 1024.0
    #: Between requests.
    keepalive_seconds: float = 75.0
    max_connections: int = 10_000
