"""The ids of clusters and nodes: UUIDs that are made here, so that none is ever used twice.

The core takes any text for one. What is checked is where an id begins: the log of a node, which is made with it (see
`sqlite_log.create_log`), and the membership, where another node enters (`cluster.Member.propose_change`).
"""

from __future__ import annotations

import re
import uuid

from bleepstore.raft.storage import LogMisuse

_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new_id() -> str:
    """A new id, in its canonical form (RFC 9562, section 4, in lower case)."""
    return str(uuid.uuid4())


def check_id(value: object) -> None:
    """Raises LogMisuse unless `value` is a canonical UUID: one id has one spelling."""
    if not isinstance(value, str) or _CANONICAL.fullmatch(value) is None:
        raise LogMisuse(
            f"{value!r} is no id of a node or cluster: those are UUIDs in lower case, made by create_member and never "
            "chosen, so that the id of a node that is lost is never given to another one"
        )
