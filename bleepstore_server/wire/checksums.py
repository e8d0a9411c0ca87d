"""The checksum that a request or a form sends, and the algorithm that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bleepstore.digests import Algorithm, decode_value
from bleepstore.model import Checksum
from bleepstore_server.wire.errors import RequestError

_SDK = "x-amz-sdk-checksum-algorithm"

_NAMED = dict(Algorithm.__members__)
#: The field of each algorithm's value.
FIELDS = {f"x-amz-checksum-{algorithm.value.lower()}": algorithm for algorithm in Algorithm}
#: Fields whose names begin like those, and that have no value of a checksum.
_OTHER = frozenset({"x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"})


def sent_checksum(fields: Mapping[str, str]) -> Checksum | None:
    """The additional checksum among the fields, whose names are in lower case. Its value can be one."""
    found = []
    for name, value in fields.items():
        if name.startswith("x-amz-checksum-") and name not in _OTHER:
            algorithm = FIELDS.get(name)
            if algorithm is None:
                raise RequestError(
                    "InvalidRequest", "The algorithm type you specified in x-amz-checksum- header is invalid."
                )
            found.append(Checksum(algorithm, value))
    if len(found) > 1:
        raise RequestError(
            "InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )
    return check_value(found[0]) if found else None


def check_value(checksum: Checksum, where: str = "header") -> Checksum:
    """The checksum, if its value is one of its algorithm. A composite one may end in its number of parts."""
    if decode_value(checksum.algorithm, checksum.value.partition("-")[0]) is None:
        name = f"x-amz-checksum-{checksum.algorithm.value.lower()}"
        raise RequestError("InvalidRequest", f"Value for {name} {where} is invalid.")
    return checksum


def announced_algorithm(fields: Mapping[str, str], trailers: Sequence[str], sent: Checksum | None) -> Algorithm | None:
    """The algorithm of the checksum in the trailers, of which the first counts. `sent` is the one among the fields."""
    trailing = None
    if trailers:
        trailing = FIELDS.get(trailers[0])
        if trailing is None:
            message = f"The value specified in x-amz-trailer is not supported: {trailers[0]}"
            raise RequestError("InvalidRequest", message)
    if _SDK in fields:
        named = sdk_algorithm(fields, trailing or (sent.algorithm if sent else None))
        if named is not None and trailing is None and sent is None:
            raise RequestError(
                "InvalidRequest",
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer "
                "headers were found.",
            )
    return trailing


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
