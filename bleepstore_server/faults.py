"""Faults on purpose, for whoever tests code that must survive a bad hour of S3.

    faults = Faults(seed=1)
    with in_process(faults=faults) as store:
        with faults.inject(SlowDown(), operations="PutObject", times=1):
            client.put_object(...)      # botocore meets 503 SlowDown once, waits and tries again

Faults are between the client and the store: a WSGI wrapper around the app, that the in-process transport, the live
server and `bleepstore serve --faults` share. There are none unless they are asked for.

`SlowDown`, `InternalError` and `Refuse` answer with an error, `Slow` waits, `Reset` ends the connection, `Truncate` and
`Corrupt` spoil the body of an answer, `WrongChecksum` its digests. A rule says which requests meet it (operations,
bucket, key prefix) and how often (the first `times`, after `after`, with `probability`). Chance comes from a generator
with a seed, in the order of the requests, so a run with one thread can be repeated.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fnmatch
import math
import random
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, assert_never, get_args

import attrs
from attrs import validators

from bleepstore.digests import Algorithm
from bleepstore.errors import BleepStoreError
from bleepstore_server.extras import needing

with needing("server"):
    from bleepstore_server.exchange import parse_request
    from bleepstore_server.router import ROUTES, find_route
    from bleepstore_server.wire.documents.errors import error_document
    from bleepstore_server.wire.errors import RequestError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_PIECE = 64 * 1024
_MAX_DRAIN = 1024 * 1024
_OPERATIONS = frozenset(route.operation for route in ROUTES)
_CHECKSUMS = frozenset(f"x-amz-checksum-{algorithm.lower()}" for algorithm in Algorithm)
_NO_ETAG = f'"{"0" * 32}"'


class FaultError(BleepStoreError):
    """A rule that is not well described; the message says what is possible."""


# -- what can happen

_DAY = 24 * 3600.0


def _number(kind: type, least: float, most: float) -> Any:
    """A validator. What is not possible is refused where it is made, not where a request meets it."""

    def check(_: object, field: attrs.Attribute[Any], value: Any) -> None:
        number = isinstance(value, int | kind) and not isinstance(value, bool)
        if not number or not least <= value <= most:
            span = f"from {least:g} on" if most == math.inf else f"from {least:g} to {most:g}"
            raise FaultError(f"{field.name} is {'a whole number' if kind is int else 'a number'} {span}, not {value!r}")

    return check


def _of(kind: type, what: str) -> Any:
    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, kind):
            raise FaultError(f"{field.name} is {what}, not {value!r}")

    return check


_TEXT, _SWITCH = _of(str, "a str"), _of(bool, "True or False")


@attrs.frozen
class Refuse:
    """An S3 error instead of an answer; nothing is carried out."""

    status: int = attrs.field(default=503, validator=_number(int, 400, 599))
    code: str = attrs.field(default="SlowDown", validator=_TEXT)
    message: str = attrs.field(default="Reduce your request rate.", validator=_TEXT)


@attrs.frozen
class SlowDown(Refuse):
    """503 SlowDown, by which S3 asks for fewer requests."""


@attrs.frozen
class InternalError(Refuse):
    """500 InternalError."""

    status: int = attrs.field(default=500, validator=_number(int, 400, 599))
    code: str = attrs.field(default="InternalError", validator=_TEXT)
    message: str = attrs.field(default="We encountered an internal error. Please try again.", validator=_TEXT)


@attrs.frozen
class Slow:
    """The request waits before it is carried out."""

    seconds: float = attrs.field(default=1.0, validator=_number(float, 0, _DAY))


@attrs.frozen
class Reset:
    """The connection is reset: before the request is carried out or, `late`, after it was, when only the answer is
    lost. A client cannot tell one from the other, which is why writes are retried under conditions."""

    late: bool = attrs.field(default=False, validator=_SWITCH)


@attrs.frozen
class Truncate:
    """The body of the answer breaks off after the fraction `keep` of it."""

    keep: float = attrs.field(default=0.5, validator=_number(float, 0, 1))


@attrs.frozen
class Corrupt:
    """One bit of the answer's body is flipped; its checksum headers still say what it should have been."""


@attrs.frozen
class WrongChecksum:
    """The ETag and the checksum headers of the answer are those of other bytes."""


Fault = Refuse | Slow | Reset | Truncate | Corrupt | WrongChecksum


def _names() -> list[str]:
    return sorted(kind.__name__ for kind in (SlowDown, InternalError, *get_args(Fault)))


# -- when it happens


@attrs.define(eq=False, kw_only=True)
class Rule:
    """A fault and the requests that meet it. `hits` counts them; None as `times` is without end.

    `operations` are names of S3 operations, in which `*` stands for anything: "PutObject", "Get*".
    """

    fault: Fault = attrs.field()
    operations: tuple[str, ...] = attrs.field(default=("*",))
    bucket: str | None = attrs.field(default=None, validator=validators.optional(_TEXT))
    prefix: str = attrs.field(default="", validator=_TEXT)
    times: int | None = attrs.field(default=None, validator=validators.optional(_number(int, 0, math.inf)))
    after: int = attrs.field(default=0, validator=_number(int, 0, math.inf))
    probability: float = attrs.field(default=1.0, validator=_number(float, 0, 1))
    hits: int = attrs.field(default=0, init=False)
    _seen: int = attrs.field(default=0, init=False)

    @fault.validator
    def _check_fault(self, _: object, fault: object) -> None:
        if not isinstance(fault, Fault):
            raise FaultError(f"{fault!r} is no fault: give one of {', '.join(_names())}, such as SlowDown()")

    @operations.validator
    def _check_operations(self, _: object, operations: tuple[str, ...]) -> None:
        if not operations:
            raise FaultError("no operations are named: a rule without any never strikes")
        for pattern in operations:
            if not isinstance(pattern, str) or not fnmatch.filter(_OPERATIONS, pattern):
                raise FaultError(
                    f"{pattern!r} is no S3 operation, such as GetObject, nor a pattern of some, such as Get*"
                )

    def matches(self, operation: str, bucket: str | None, key: str | None) -> bool:
        """Whether this is a request that the rule is about."""
        return (
            any(fnmatch.fnmatchcase(operation, pattern) for pattern in self.operations)
            and self.bucket in (None, bucket)
            and (key or "").startswith(self.prefix)
        )

    def strikes(self, chance: random.Random) -> bool:
        """Whether this request, which matches, meets the fault; counts it."""
        self._seen += 1
        if self._seen <= self.after or (self.times is not None and self.hits >= self.times):
            return False
        if self.probability < 1.0 and chance.random() >= self.probability:
            return False
        self.hits += 1
        return True


class Faults:
    """A set of rules, and the wrapper that obeys them. Rules may come and go while requests are under way.

    `seed` makes chance repeatable; the one that was used is the attribute `seed`. All rules that strike a request
    take effect: the slow ones first, then one of the others, the rule that was added last.
    """

    def __init__(self, rules: Sequence[Rule] = (), *, seed: int | None = None) -> None:
        self.seed = secrets.randbits(32) if seed is None else seed
        self._chance = random.Random(self.seed)
        self._rules = list(rules)
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def inject(
        self,
        fault: Fault,
        *,
        operations: str | Sequence[str] = "*",
        bucket: str | None = None,
        prefix: str = "",
        times: int | None = None,
        after: int = 0,
        probability: float = 1.0,
    ) -> Iterator[Rule]:
        """Have `fault` for the length of a `with` block; gives the rule, whose `hits` tells how often it happened."""
        rule = self.add(
            fault,
            operations=operations,
            bucket=bucket,
            prefix=prefix,
            times=times,
            after=after,
            probability=probability,
        )
        try:
            yield rule
        finally:
            self.remove(rule)

    def add(self, fault: Fault, *, operations: str | Sequence[str] = "*", **when: Any) -> Rule:
        """Have `fault` until it is removed. For the options see `inject`."""
        names = (operations,) if isinstance(operations, str) else tuple(operations)
        rule = Rule(fault=fault, operations=names, **when)
        with self._lock:
            self._rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Take a rule out; one that is not there is passed over."""
        with self._lock:
            self._rules = [known for known in self._rules if known is not rule]

    def clear(self) -> None:
        """Take all rules out."""
        with self._lock:
            self._rules = []

    def wrap(self, app: WSGIApplication, domains: Sequence[str] = ()) -> WSGIApplication:
        """The app with these faults. `domains` are those of its configuration."""

        def faulty(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if not self._rules:
                return app(environ, start_response)
            return _carry_out(self._choose(environ, domains), app, environ, start_response)

        return faulty

    def _choose(self, environ: WSGIEnvironment, domains: Sequence[str]) -> list[Fault]:
        try:
            request = parse_request(environ, domains)
            operation = find_route(request).operation
        except RequestError:
            return []  # the app has an error for it
        with self._lock:
            struck = [
                rule.fault
                for rule in self._rules
                if rule.matches(operation, request.bucket, request.key) and rule.strikes(self._chance)
            ]
        slow: list[Fault] = [fault for fault in struck if isinstance(fault, Slow)]
        others = [fault for fault in struck if not isinstance(fault, Slow)]
        return slow + others[-1:]


# -- how it happens


def _carry_out(
    faults: list[Fault], app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    for fault in faults:
        match fault:
            case Slow(seconds):
                time.sleep(seconds)
            case Refuse():
                return _refuse(fault, environ, start_response)
            case Reset(late):
                if late:
                    _close(_exhausted(app(environ, _ignore)))
                _reset(environ)
            case WrongChecksum():
                return app(environ, _with_other_checksums(start_response))
            case Truncate() | Corrupt():
                sizes: list[int] = []
                chunks = app(environ, _with_size(start_response, sizes))
                return _Spoiled(fault, chunks, sizes[0] if sizes else 0, environ)
            case _:
                assert_never(fault)
    return app(environ, start_response)


def _refuse(fault: Refuse, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    _drain(environ)
    request_id = secrets.token_hex(8).upper()
    body = error_document(fault.code, fault.message, str(environ.get("PATH_INFO", "")), request_id, {})
    headers = [
        ("Content-Type", "application/xml"),
        ("Content-Length", str(len(body))),
        ("x-amz-request-id", request_id),
    ]
    start_response(f"{fault.status} {fault.code}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _drain(environ: WSGIEnvironment) -> None:
    """Read a moderate body, so that the client gets to see the answer."""
    length = str(environ.get("CONTENT_LENGTH") or "0")
    left = _MAX_DRAIN if environ.get("wsgi.input_terminated") else min(int(length), _MAX_DRAIN)
    while left > 0 and (data := environ["wsgi.input"].read(min(left, _PIECE))):
        left -= len(data)


def _reset(environ: WSGIEnvironment) -> None:
    abort = environ.get("bleepstore.abort")
    if abort is not None:
        abort()
    connection = environ.get("gunicorn.socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise ConnectionResetError(errno.ECONNRESET, "a fault resets the connection")


def _ignore(_status: str, _headers: list[tuple[str, str]], _error: object = None) -> Callable[[bytes], object]:
    return len


def _exhausted(chunks: Iterable[bytes]) -> Iterable[bytes]:
    for _ in chunks:
        pass
    return chunks


def _close(chunks: Iterable[bytes]) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        close()


def _with_size(start_response: StartResponse, sizes: list[int]) -> Any:
    def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
        sizes[:] = [int(value) for name, value in headers if name.lower() == "content-length"]
        return start_response(status, headers, *error)

    return start


def _with_other_checksums(start_response: StartResponse) -> Any:
    def other(name: str, value: str) -> str:
        if name.lower() == "etag":
            return _NO_ETAG
        if name.lower() in _CHECKSUMS:
            digest, dash, parts = value.partition("-")
            return base64.b64encode(bytes(len(base64.b64decode(digest)))).decode() + dash + parts
        return value

    def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
        return start_response(status, [(name, other(name, value)) for name, value in headers], *error)

    return start


class _Spoiled:
    """A body that breaks off, or has a bit that is not as it was."""

    def __init__(self, fault: Truncate | Corrupt, chunks: Iterable[bytes], size: int, environ: WSGIEnvironment) -> None:
        self._fault = fault
        self._chunks = chunks
        self._size = size
        self._keeps_alive = "gunicorn.socket" in environ

    def __iter__(self) -> Iterator[bytes]:
        return self._corrupted() if isinstance(self._fault, Corrupt) else self._truncated(self._fault.keep)

    def _corrupted(self) -> Iterator[bytes]:
        sound = True
        for chunk in self._chunks:
            if sound and chunk:
                sound = False
                yield bytes([chunk[0] ^ 1])
                yield chunk[1:]
            else:
                yield chunk

    def _truncated(self, keep: float) -> Iterator[bytes]:
        left = int(self._size * keep)
        for chunk in self._chunks:
            if len(chunk) > left:
                yield chunk[:left]
                if self._keeps_alive:
                    raise ConnectionResetError(errno.ECONNRESET, "a fault cuts the body short")
                return
            left -= len(chunk)
            yield chunk

    def close(self) -> None:
        _close(self._chunks)


# -- the server's option


_KINDS: dict[str, type[Fault]] = {
    "slow": Slow,
    "slowdown": SlowDown,
    "internal-error": InternalError,
    "reset": Reset,
    "truncate": Truncate,
    "corrupt": Corrupt,
    "wrong-checksum": WrongChecksum,
}
_WHEN: dict[str, Callable[[str], Any]] = {
    "times": int,
    "after": int,
    "probability": float,
    "bucket": str,
    "prefix": str,
}


def parse_rule(text: str) -> Rule:
    """A rule as `bleepstore serve --faults` takes it: `OPERATIONS=FAULT` and options, joined by `;`.

        PutObject=slowdown;times=1    Get*=truncate;probability=0.1    *=slow;seconds=0.5    PutObject=reset;late=1

    Faults: slow (seconds), slowdown, internal-error, reset (late=1), truncate (keep), corrupt, wrong-checksum.
    Options: times, after, probability, bucket, prefix. Several operations are joined by `+`. Raises FaultError.
    """
    head, *options = [part.strip() for part in text.split(";")]
    operations, equals, kind = head.partition("=")
    if not equals or kind not in _KINDS:
        raise FaultError(f"{text!r} is not OPERATIONS=FAULT; faults are {', '.join(_KINDS)}")
    of_fault: dict[str, Any] = {}
    when: dict[str, Any] = {}
    names = {field.name for field in attrs.fields(_KINDS[kind])} & {"seconds", "keep", "late"}
    for option in options:
        name, _, value = option.partition("=")
        try:
            if name in names:
                of_fault[name] = float(value) if name != "late" else {"1": True, "0": False}[value]
            else:
                when[name] = _WHEN[name](value)
        except (KeyError, ValueError):
            known = ", ".join([*_WHEN, *sorted(names)])
            raise FaultError(f"{text!r}: {option!r} is not an option of {kind}; options are {known}") from None
    try:
        return Rule(fault=_KINDS[kind](**of_fault), operations=tuple(operations.split("+")), **when)
    except FaultError as error:
        raise FaultError(f"{text!r}: {error}") from None
