"""Whether the caller may do what is asked.

The store decides that once, within the operation and before anything else of it (`bleepstore.access`). It is asked here
only before a document is read, and when something else was wrong.
"""

from __future__ import annotations

from bleepstore.errors import AccessDenied, NoSuchBucket, S3Error
from bleepstore_server.exchange import Exchange
from bleepstore_server.response import Response
from bleepstore_server.router import Operation, Route
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.headers import has_condition, refuse_conditions

READ_ONLY = "This store is served read-only: nothing in it can be changed."

#: S3 has no x-amz-expected-bucket-owner there: all may ask, and whose a bucket is would be told to all who guess.
_WITHOUT_EXPECTED_OWNER = frozenset({"CreateBucket", "PostObject"})


def authorize(exchange: Exchange, route: Route) -> Operation:
    """The operation, if the caller may ask for it. Raises RequestError, and what the store raises."""
    if route.function is None:
        raise RequestError("NotImplemented", f"The operation {route.operation} is not implemented by this store.")
    request = exchange.request
    if not route.reads and exchange.store.read_only:
        raise RequestError("AccessDenied", READ_ONLY)
    if request.bucket is not None and route.operation not in _WITHOUT_EXPECTED_OWNER:
        exchange.check_bucket_owner(request.bucket, "x-amz-expected-bucket-owner")
    if not route.anonymous and exchange.caller.is_anonymous:
        raise RequestError("AccessDenied")
    if route.document:
        exchange.check_access()
    return route.function


def operate(exchange: Exchange, route: Route) -> Response:
    """Carry out an operation. Who may not do it is told that, and nothing else that is wrong."""
    operation = authorize(exchange, route)
    try:
        if not route.reads and not route.conditional and has_condition(exchange.request.headers):
            refuse_conditions(exchange.request.headers)
        return operation(exchange)
    except (AccessDenied, NoSuchBucket):
        raise  # decided; and a bucket that was made again since is another
    except (RequestError, S3Error):
        if not route.own_answer:
            exchange.check_access()
        raise
