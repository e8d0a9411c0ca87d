"""Whether the caller may do what is asked.

The store decides that once, within the operation and before anything else of it (`bleepstore.access`). It is asked here
only before a document is read, and when something else was wrong.
"""

from __future__ import annotations

from bleepstore.errors import AccessDenied, NoSuchBucket, NoSuchKey, S3Error
from bleepstore_server.exchange import PAYER, REQUESTER, Exchange
from bleepstore_server.response import Response
from bleepstore_server.router import Route
from bleepstore_server.wire.errors import RequestError
from bleepstore_server.wire.headers import refuse_conditions

READ_ONLY = "This store is served read-only: nothing in it can be changed."

_EXPECTED_OWNER = "x-amz-expected-bucket-owner"
#: S3 has no x-amz-expected-bucket-owner there: all may ask, and whose a bucket is would be told to all who guess.
_WITHOUT_EXPECTED_OWNER = frozenset({"CreateBucket", "PostObject"})


def operate(exchange: Exchange, route: Route) -> Response:
    """Carry out an operation. Who may not do it is told that, and nothing else that is wrong."""
    function, request = route.function, exchange.request
    if function is None:
        raise RequestError("NotImplemented", f"The operation {route.operation} is not implemented by this store.")
    if not route.reads and exchange.store.read_only:
        raise RequestError("AccessDenied", READ_ONLY)
    if _EXPECTED_OWNER in request.headers and request.bucket and route.operation not in _WITHOUT_EXPECTED_OWNER:
        exchange.check_bucket_owner(request.bucket, _EXPECTED_OWNER)
    if not route.anonymous and exchange.caller.is_anonymous:
        raise RequestError("AccessDenied")
    if route.document:
        exchange.check_access(is_preliminary=True)
    try:
        if not route.reads and not route.conditional:
            refuse_conditions(request.headers)
        response = function(exchange)
    except (AccessDenied, NoSuchBucket):
        raise  # decided; and a bucket that was made again since is another
    except (RequestError, S3Error) as error:
        # That the object of a read is not there is found out, or told, to those alone who may know.
        if not (route.own_answer or (route.reads and isinstance(error, NoSuchKey))):
            exchange.check_access(is_preliminary=True)
        raise
    if PAYER in request.headers and exchange.is_charged():
        response.headers.append(("x-amz-request-charged", REQUESTER))
    return response
