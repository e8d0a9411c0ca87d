"""The checksum that a request or a form sends, and the algorithm that it names."""

from __future__ import annotations

from collections.abc import Mapping

from bleepstore.digests import Algorithm
from bleepstore.model import Checksum
from bleepstore_server.wire.errors import RequestError

_SDK = "x-amz-sdk-checksum-algorithm"

_NAMED = dict(Algorithm.__members__)
#: The field of each algorithm's value.
FIELDS = {f"x-amz-checksum-{algorithm.value.lower()}": algorithm for algorithm in Algorithm}


def sent_checksum(fields: Mapping[str, str]) -> Checksum | None:
    """The additional checksum among the fields, whose names are in lower case."""
    found = FIELDS.keys() & fields.keys()
    if not found:
        return None
    if len(found) > 1:
        raise RequestError(
            "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )
    (name,) = found
    return Checksum(FIELDS[name], fields[name])


def parse_algorithm(name: str) -> Algorithm:
    try:
        return Algorithm(name.upper())
    except ValueError:
        raise RequestError(
            "InvalidRequest",
            f"Checksum algorithm provided is unsupported. Please try again with any of "
            f"the valid types: [{', '.join(algorithm.value for algorithm in Algorithm)}]",
        ) from None


def sdk_algorithm(fields: Mapping[str, str], sent: Algorithm | None) -> Algorithm | None:
    """What x-amz-sdk-checksum-algorithm names. It must be the algorithm of the checksum that is sent, if one is."""
    name = fields.get(_SDK)
    if not name:
        return None
    algorithm = _NAMED.get(name.upper())
    if algorithm is None or sent not in (None, algorithm):
        raise RequestError("InvalidRequest", f"Value for {_SDK} header is invalid.")
    return algorithm
