"""The access log of a bucket: one line for each request, and the key of the object that has some of them ("Amazon S3
server access log format").

What comes from clients is percent-encoded where it could end a field or a line, so that each line has its fields
whatever was sent.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import attrs

#: Within the quotes of a field: all that is printed, but for quotes themselves.
_QUOTED = re.compile(r"[^ !#-~]")
_BARE = re.compile(r"[^!#-~]")


@attrs.frozen(kw_only=True)
class LogEntry:
    """A request, or something that the store did by itself. What is None was not there, or nobody knows.

    `operation` is as in the log: REST.GET.OBJECT. `principal_id` is the account that asked, or the ARN of its user or
    of a session of its role. Times are in milliseconds, sizes in bytes.
    """

    time_ms: int
    operation: str
    request_id: str | None = None
    remote: str | None = None
    principal_id: str | None = None
    key: str | None = None
    #: "GET /bucket/key?query HTTP/1.1", as it was sent.
    target: str | None = None
    status: int | None = None
    error_code: str | None = None
    bytes_sent: int = 0
    object_size: int | None = None
    total_ms: int | None = None
    turnaround_ms: int | None = None
    referer: str | None = None
    user_agent: str | None = None
    version_id: str | None = None
    signature: str | None = None
    cipher: str | None = None
    authentication: str | None = None
    host: str | None = None
    tls: str | None = None


@attrs.frozen(kw_only=True)
class LogTarget:
    """Where the log of a bucket goes: the parts of its logging configuration. `partition` is whose date the keys are
    partitioned by: EventTime, DeliveryTime; None: they are not."""

    bucket: str
    prefix: str
    partition: str | None
    #: As the document has them.
    grants: tuple[Mapping[str, Any], ...] = ()


@functools.lru_cache(256)
def parse_target(document: str) -> LogTarget:
    """Of a document as it is stored."""
    enabled = json.loads(document)["LoggingEnabled"]
    partitioned = enabled.get("TargetObjectKeyFormat", {}).get("PartitionedPrefix")
    return LogTarget(
        bucket=enabled["TargetBucket"],
        prefix=enabled["TargetPrefix"],
        # "PartitionedPrefix defaults to EventTime delivery when server access logs are delivered."
        partition=None if partitioned is None else partitioned.get("PartitionDateSource", "EventTime"),
        grants=tuple(enabled.get("TargetGrants", ())),
    )


def render_line(owner_id: str, bucket: str, entry: LogEntry) -> str:
    """The line of an entry, without its end."""
    fields = (
        _bare(owner_id),
        bucket,
        f"[{_at(entry.time_ms):%d/%b/%Y:%H:%M:%S} +0000]",
        _bare(entry.remote),
        _bare(entry.principal_id),
        entry.request_id,
        entry.operation,
        None if entry.key is None else quote(entry.key, safe="/-_.*~"),
        _quoted(entry.target),
        entry.status,
        entry.error_code,
        entry.bytes_sent or None,
        entry.object_size,
        entry.total_ms,
        entry.turnaround_ms,
        _quoted(entry.referer),
        _quoted(entry.user_agent),
        _bare(entry.version_id),
        entry.request_id,  # the host id
        entry.signature,
        entry.cipher,
        entry.authentication,
        _bare(entry.host),
        entry.tls,
        None,  # the ARN of an access point
        None,  # whether an ACL was needed
        None,  # the region that a request came from
    )
    return " ".join("-" if field is None or field == "" else str(field) for field in fields)


def key_of(target: LogTarget, bucket: str, owner_id: str, location: str, file: LogFileName) -> str:
    """The key of the object that has the lines of `file`. For the same lines it is the same, so that what is delivered
    again replaces itself."""
    time = _at(file.time_ms)
    unique = hashlib.sha256(f"{file.name} {bucket} {file.time_ms}".encode()).hexdigest()[:16].upper()
    if target.partition is None:
        return f"{target.prefix}{time:%Y-%m-%d-%H-%M-%S}-{unique}"
    if target.partition == "EventTime":  # "the hour, minutes and seconds are set to 00 in the key"
        time = time.replace(hour=0, minute=0, second=0)
    return f"{target.prefix}{owner_id}/{location}/{bucket}/{time:%Y/%m/%d/%Y-%m-%d-%H-%M-%S}-{unique}"


@attrs.frozen
class LogFileName:
    """What the key of an object of lines comes from: the name of what they were kept in, and the time of the last."""

    name: str
    time_ms: int


def _at(time_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(time_ms // 1000, dt.UTC)


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def _quoted(text: str | None) -> str:
    return '"-"' if not text else f'"{_QUOTED.sub(_escaped, text)}"'


def _bare(text: str | None) -> str | None:
    return text and _BARE.sub(_escaped, text)
