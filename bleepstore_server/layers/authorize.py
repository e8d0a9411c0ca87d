"""Whether the caller may do what is asked. Nothing of a write is looked at before this is settled; of a read the store
finds its subject and settles it at once."""

from __future__ import annotations

from bleepstore.model import ANONYMOUS
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
    if not route.anonymous and exchange.caller is ANONYMOUS:
        raise RequestError("AccessDenied")
    if not route.reads:
        if route.permission is not None:
            exchange.check_permission(route.permission, route.subject)
        if not route.conditional and has_condition(request.headers):
            if route.permission is None and route.method == "DELETE":
                exchange.store.get_bucket(exchange.bucket, caller=exchange.caller)  # it is the owner's alone
            refuse_conditions(request.headers)
    return route.function


def operate(exchange: Exchange, route: Route) -> Response:
    """Carry out an operation. What is wrong with a read is told only to those who may read."""
    operation = authorize(exchange, route)
    if route.permission is None or not route.reads:
        return operation(exchange)
    try:
        return operation(exchange)
    except RequestError:
        exchange.check_permission(route.permission, route.subject)
        raise
