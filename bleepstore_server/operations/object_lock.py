"""Operations on object lock."""

from __future__ import annotations

from bleepstore.access import Action
from bleepstore.model import ObjectAttributes, ObjectVersion
from bleepstore_server.exchange import Exchange
from bleepstore_server.response import Headers, Response, xml
from bleepstore_server.wire.documents.object_lock import (
    HoldStatus,
    LegalHoldDocument,
    RetentionDocument,
    lock_document,
    parse_legal_hold,
    parse_lock,
    parse_retention,
)
from bleepstore_server.wire.object_lock import (
    bypasses_governance,
    legal_hold_headers,
    missing_digest,
    retention_headers,
)


def get_object_lock_configuration(exchange: Exchange) -> Response:
    return xml(lock_document(exchange.store.get_bucket_object_lock(exchange.bucket, caller=exchange.caller)))


def put_object_lock_configuration(exchange: Exchange) -> Response:
    exchange.store.put_bucket_object_lock(exchange.bucket, parse_lock(exchange.document()), caller=exchange.caller)
    return Response()


def get_object_retention(exchange: Exchange) -> Response:
    found = exchange.store.get_object_retention(
        exchange.bucket, exchange.key, version_id=exchange.version_id, caller=exchange.caller
    )
    return xml(RetentionDocument(mode=found.mode, until_ms=found.until_ms))


def put_object_retention(exchange: Exchange) -> Response:
    exchange.store.put_object_retention(
        exchange.bucket,
        exchange.key,
        parse_retention(exchange.document()),
        version_id=exchange.version_id,
        bypass_governance=bypasses_governance(exchange.request.headers),
        caller=exchange.caller,
    )
    return Response()


def get_object_legal_hold(exchange: Exchange) -> Response:
    is_held = exchange.store.get_object_legal_hold(
        exchange.bucket, exchange.key, version_id=exchange.version_id, caller=exchange.caller
    )
    return xml(LegalHoldDocument(status=HoldStatus.ON if is_held else HoldStatus.OFF))


def put_object_legal_hold(exchange: Exchange) -> Response:
    exchange.store.put_object_legal_hold(
        exchange.bucket,
        exchange.key,
        parse_legal_hold(exchange.document()),
        version_id=exchange.version_id,
        caller=exchange.caller,
    )
    return Response()


def lock_headers(exchange: Exchange, version: ObjectVersion) -> Headers:
    """What a read shows of the locks of a version: each is returned only to whom may ask for it alone."""
    headers: Headers = []
    if version.attributes.retention is not None and exchange.allows(Action.GET_OBJECT_RETENTION):
        headers += retention_headers(version)
    if version.attributes.legal_hold is not None and exchange.allows(Action.GET_OBJECT_LEGAL_HOLD):
        headers += legal_hold_headers(version)
    return headers


def check_digest(exchange: Exchange, what: str, attributes: ObjectAttributes) -> None:
    """Refuse a body without any digest that its own locks, or the default retention of its bucket, will protect."""
    if attributes.retention is None and attributes.legal_hold is None:
        lock = exchange.store.engine.find_bucket(exchange.bucket).settings.object_lock
        if lock is None or lock.default is None:
            return
    raise missing_digest(what)
