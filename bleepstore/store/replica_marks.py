"""Copies that another store writes here, as an object with a mark in its metadata."""

from __future__ import annotations

import attrs

from bleepstore.access import Action, Caller, is_allowed
from bleepstore.model import Bucket, ObjectAttributes
from bleepstore.remotes import MARK
from bleepstore.replication import REPLICA_STATE


def as_replica(attributes: ObjectAttributes, bucket: Bucket, key: str, caller: Caller | None) -> ObjectAttributes:
    """The attributes of a new object, which is a copy if it has the mark of one, and if `caller` may write copies: with
    the right to write objects alone nobody keeps one from being copied on."""
    if MARK not in attributes.metadata or not is_allowed(Action.REPLICATE_OBJECT, caller, bucket, key=key):
        return attributes
    return attrs.evolve(attributes, replication=REPLICA_STATE)
