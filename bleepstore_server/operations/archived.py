"""Operations on archived objects."""

from __future__ import annotations

from bleepstore.errors import InvalidArgument
from bleepstore.model import RestoreTier
from bleepstore_server.exchange import Exchange
from bleepstore_server.response import Response
from bleepstore_server.wire.documents.declare import malformed, parse
from bleepstore_server.wire.documents.objects import RestoreRequest
from bleepstore_server.wire.errors import RequestError

_NOTHING_ASKED = RestoreRequest()


def restore_object(exchange: Exchange) -> Response:
    """ "If the object is not previously restored, then Amazon S3 returns 202 Accepted in the response. If the object is
    previously restored, Amazon S3 returns 200 OK in the response." """
    body = exchange.document()
    asked = parse(RestoreRequest, body) if body.strip() else _NOTHING_ASKED
    tier = asked.tier or (asked.job.tier if asked.job is not None else RestoreTier.STANDARD)
    try:
        restored = exchange.store.restore_object(
            exchange.bucket,
            exchange.key,
            days=asked.days or 0,
            tier=tier,
            version_id=exchange.version_id,
            caller=exchange.caller,
        )
    except InvalidArgument:
        if asked.days is None:  # which only an object that is archived needs
            raise malformed("The element RestoreRequest lacks Days.") from None
        raise
    return Response(200 if restored.is_extended else 202)


def get_object_torrent(exchange: Exchange) -> Response:
    """S3 does not make torrents any more, and says so of every object."""
    exchange.check_access()
    raise RequestError("MethodNotAllowed", fields={"Method": exchange.request.method, "ResourceType": "TORRENT"})
