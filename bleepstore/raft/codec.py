"""Messages as bytes, and back.

A frame is self-contained and verified before anything of it is believed:

    "BRF1"  crc32 of all that follows (4 bytes)  length of the header (4 bytes)  header  data

The header is a JSON array: the name of the message's class, then its fields in order. Bytes (commands) follow it as
they are, in the order in which the header tells their lengths. From the first release on names and the order of fields
are frozen: a new form of a message is a new class. What does not fit is refused with a reason (MalformedFrame),
whatever sent it.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any, cast, get_args

import attrs

from bleepstore.raft.messages import (
    MAX_NUMBER,
    Configuration,
    Entry,
    EntryKind,
    MalformedValue,
    Message,
    Refusal,
    SnapshotMeta,
    is_text,
)

MAGIC = b"BRF1"
#: Larger frames are refused before they are read.
MAX_FRAME_BYTES = 64 << 20
_HEAD = struct.Struct(">4sII")


class MalformedFrame(MalformedValue):
    """The bytes are not a message of this version; the text says why."""


_CLASSES: dict[str, type] = {cls.__name__: cls for cls in get_args(Message)}
#: class -> (field, kind); the kind is the text of the annotation.
_FIELDS: dict[type, tuple[tuple[str, str], ...]] = {
    cls: tuple((field.name, str(field.type)) for field in attrs.fields(cls)) for cls in _CLASSES.values()
}


def encode_message(message: Message) -> bytes:
    """One frame."""
    blobs: list[bytes] = []
    header: list[Any] = [type(message).__name__]
    for name, kind in _FIELDS[type(message)]:
        value = getattr(message, name)
        if kind == "bytes":
            blobs.append(value)
            header.append(len(value))
        elif kind == "tuple[Entry, ...]":
            blobs += [entry.data for entry in value]
            header.append([[e.index, e.term, int(e.kind), e.request_id, len(e.data)] for e in value])
        elif kind == "SnapshotMeta":
            header.append([value.index, value.term, value.configuration.encode().decode(), value.name])
        elif kind == "Refusal":
            header.append(value.name)
        else:
            header.append(value)
    text = json.dumps(header, separators=(",", ":")).encode()
    body = b"".join((text, *blobs))
    length = struct.pack(">I", len(text))
    return b"".join((MAGIC, struct.pack(">I", zlib.crc32(body, zlib.crc32(length))), length, body))


def decode_message(frame: bytes) -> Message:
    """The message of one frame. Raises MalformedFrame."""
    if len(frame) < _HEAD.size:
        raise MalformedFrame("the frame is too short")
    if len(frame) > MAX_FRAME_BYTES:
        raise MalformedFrame("the frame is too long")
    magic, crc, length = _HEAD.unpack_from(frame)
    if magic != MAGIC:
        raise MalformedFrame("the frame is of another protocol or version")
    if zlib.crc32(frame[8:]) != crc:
        raise MalformedFrame("the checksum of the frame does not match")
    text, data = frame[_HEAD.size : _HEAD.size + length], frame[_HEAD.size + length :]
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedFrame("the header of the frame is not JSON") from error
    if not isinstance(header, list) or not header:
        raise MalformedFrame("the header of the frame is not a list")
    cls = _CLASSES.get(header[0]) if isinstance(header[0], str) else None
    if cls is None:
        raise MalformedFrame("the message is of no known kind")
    fields = _FIELDS[cls]
    if len(header) != len(fields) + 1:
        raise MalformedFrame(f"a {cls.__name__} has {len(fields)} fields")
    reader = _Data(data)
    values = {name: _read(kind, value, reader) for (name, kind), value in zip(fields, header[1:], strict=True)}
    reader.check_end()
    message: Message = cls(**values)
    return message


class _Data:
    """The bytes after the header, taken piece by piece."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, length: object) -> bytes:
        end = self._position + _int(length)
        if end > len(self._data):
            raise MalformedFrame("the frame ends before its data")
        piece = self._data[self._position : end]
        self._position = end
        return piece

    def check_end(self) -> None:
        if self._position != len(self._data):
            raise MalformedFrame("the frame goes on after its data")


def _int(value: object) -> int:
    if type(value) is not int or not 0 <= value < MAX_NUMBER:
        raise MalformedFrame("a number of the header is none, or out of range")
    return value


def _text(value: object) -> str:
    if not is_text(value):
        raise MalformedFrame("a text of the header is none")
    return cast("str", value)


def _list(value: object, length: int | None = None) -> list[Any]:
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise MalformedFrame("a list of the header is none, or of another length")
    return value


def _read(kind: str, value: object, data: _Data) -> object:
    if kind == "int":
        return _int(value)
    if kind in ("str", "NodeId"):
        return _text(value)
    if kind == "bool":
        if not isinstance(value, bool):
            raise MalformedFrame("a truth value of the header is none")
        return value
    if kind == "bytes":
        return data.take(value)
    if kind == "Refusal":
        return _read_refusal(_text(value))
    if kind == "SnapshotMeta":
        return _read_meta(_list(value, 4))
    assert kind == "tuple[Entry, ...]", kind
    return tuple(_read_entry(_list(one, 5), data) for one in _list(value))


def _read_refusal(name: str) -> Refusal:
    try:
        return Refusal[name]
    except KeyError as error:
        raise MalformedFrame("a refusal is of no known kind") from error


def _read_meta(value: list[Any]) -> SnapshotMeta:
    index, term, configuration, name = value
    try:
        members = Configuration.decode(_text(configuration).encode())
    except MalformedFrame:
        raise
    except (MalformedValue, UnicodeError) as error:
        raise MalformedFrame("the configuration of a snapshot is none") from error
    return SnapshotMeta(_int(index), _int(term), members, _text(name))


def _read_entry(value: list[Any], data: _Data) -> Entry:
    index, term, kind, request_id, length = value
    try:
        known = EntryKind(_int(kind))
    except ValueError as error:
        raise MalformedFrame("an entry is of no known kind") from error
    return Entry(_int(index), _int(term), known, data.take(length), _text(request_id))
