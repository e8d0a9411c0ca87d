"""Operations on the lifecycles of buckets, and what answers say of them."""

from __future__ import annotations

from bleepstore.lifecycle import Lifecycle, TransitionMinimum
from bleepstore_server.exchange import Exchange
from bleepstore_server.response import Headers, Response, xml
from bleepstore_server.wire.documents.lifecycle import lifecycle_of, parse_lifecycle
from bleepstore_server.wire.errors import RequestError

_MINIMUM = "x-amz-transition-default-minimum-object-size"


def put_bucket_lifecycle(exchange: Exchange) -> Response:
    lifecycle = exchange.store.put_bucket_lifecycle(
        exchange.bucket,
        parse_lifecycle(exchange.document(needs_digest=True)),
        transition_minimum=_transition_minimum(exchange),
        caller=exchange.caller,
    )
    return Response(headers=_minimum_header(lifecycle))


def _transition_minimum(exchange: Exchange) -> TransitionMinimum:
    value = exchange.request.headers.get(_MINIMUM)
    if value is None:
        return TransitionMinimum.ALL_STORAGE_CLASSES_128K
    try:
        return TransitionMinimum(value)
    except ValueError:
        raise RequestError(
            "InvalidArgument",
            f"{_MINIMUM} is one of {', '.join(TransitionMinimum)}",
            fields={"ArgumentName": _MINIMUM, "ArgumentValue": value},
        ) from None


def _minimum_header(lifecycle: Lifecycle) -> Headers:
    return [(_MINIMUM, lifecycle.transition_minimum.value)]


def get_bucket_lifecycle(exchange: Exchange) -> Response:
    lifecycle = exchange.store.get_bucket_lifecycle(exchange.bucket, caller=exchange.caller)
    response = xml(lifecycle_of(lifecycle))
    response.headers.extend(_minimum_header(lifecycle))
    return response


def delete_bucket_lifecycle(exchange: Exchange) -> Response:
    """S3 answers 204 whether or not there was one."""
    exchange.store.delete_bucket_lifecycle(exchange.bucket, caller=exchange.caller)
    return Response(204)
