"""How a form is written and read: kinds of fields, structures of fields, and the records of a union of classes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from bleepstore.errors import NotUnderstood, StoreError

#: The raw bytes behind the JSON of a record: none, or one item.
Tail = list[bytes]
Fields = dict[str, Any]
#: From the fields of an older form to those of the one that succeeded it.
Upcast = Callable[[Fields], Fields]


_to_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode


class UnknownTag(NotUnderstood):
    """The bytes hold a command or result that this version does not know; upgrade it."""


class MalformedRecord(StoreError):
    """The bytes are not a record of this codec."""


@attrs.frozen
class Kind:
    """How a field is written: `json` is the type that JSON has to hold, `write` and `read` are None if it holds the
    value itself. Only what is `optional` may be None, which is null."""

    json: type
    write: Callable[[Any, Tail], Any] | None = None
    read: Callable[[Any, Tail], Any] | None = None
    optional: bool = False
    struct: Struct | None = None

    def read_value(self, value: object, tail: Tail) -> Any:
        if value is None and self.optional:
            return None
        if type(value) is not self.json:
            raise _wrong_type(value, self)
        return value if self.read is None else self.read(value, tail)


def _wrong_type(value: object, kind: Kind) -> MalformedRecord:
    return MalformedRecord(f"a record holds {type(value).__name__} instead of {kind.json.__name__}")


@attrs.frozen
class Struct:
    """The fields of a class, in the order in which they are written."""

    cls: type
    fields: Mapping[str, Kind]

    def write(self, value: object, tail: Tail) -> Fields:
        record: Fields = {}
        self.write_into(record, value, tail)
        return record

    def write_into(self, record: Fields, value: object, tail: Tail) -> None:
        for name, kind in self.fields.items():
            found = getattr(value, name)
            if found is None:
                if not kind.optional:
                    raise TypeError(f"{name} of {self.cls.__name__} is None")
            elif kind.write is not None:
                found = kind.write(found, tail)
            record[name] = found

    def read(self, record: Fields, tail: Tail) -> Any:
        if record.keys() != self.fields.keys():
            wrong = sorted(record.keys() ^ self.fields.keys())
            raise MalformedRecord(f"a record of {self.cls.__name__} lacks or should not have {wrong}")
        given: Fields = {}
        for name, kind in self.fields.items():
            value = record[name]
            if value is not None or not kind.optional:
                if type(value) is not kind.json:
                    raise _wrong_type(value, kind)
                if kind.read is not None:
                    value = kind.read(value, tail)
            given[name] = value
        return self.cls(**given)

    def write_row(self, value: object, tail: Tail) -> list[Any]:
        return list(self.write(value, tail).values())

    def read_row(self, row: list[Any], tail: Tail) -> Any:
        if len(row) != len(self.fields):
            raise MalformedRecord(f"a row of {self.cls.__name__} has {len(self.fields)} values, not {len(row)}")
        return self.read(dict(zip(self.fields, row, strict=True)), tail)


def optional(kind: Kind) -> Kind:
    """The same, or None."""
    return attrs.evolve(kind, optional=True)


def struct(cls: type, **fields: Kind) -> Kind:
    """An instance of `cls`, as an object of JSON."""
    made = Struct(cls, fields)
    return Kind(dict, made.write, made.read, struct=made)


def row(cls: type, **fields: Kind) -> Kind:
    """An instance of `cls`, as a list of its values: for what may come thousands of times."""
    made = Struct(cls, fields)
    return Kind(list, made.write_row, made.read_row, struct=made)


def tuple_of(kind: Kind) -> Kind:
    """Any number of a kind."""
    write = kind.write

    def write_all(values: Iterable[Any], tail: Tail) -> list[Any]:
        return list(values) if write is None else [write(value, tail) for value in values]

    def read_all(values: list[Any], tail: Tail) -> tuple[Any, ...]:
        return tuple([kind.read_value(value, tail) for value in values])

    return Kind(list, write_all, read_all, struct=kind.struct)


@attrs.frozen
class RecordForm:
    """How a class is written under a tag."""

    tag: str
    struct: Struct


def form(tag: str, cls: type, **fields: Kind) -> RecordForm:
    return RecordForm(tag, Struct(cls, fields))


class Records:
    """The records of the classes of a union.

    `forms` holds the present one of each class. `successors` holds, by the tag of an older form, the tag of the next
    one and what makes the fields of that from the fields of the older, as JSON has them.
    """

    def __init__(self, forms: Iterable[RecordForm], successors: Mapping[str, tuple[str, Upcast]]) -> None:
        self.forms = tuple(forms)
        self.successors = dict(successors)
        self._by_class = {one.struct.cls: one for one in self.forms}
        self._by_tag = {one.tag: one for one in self.forms}

    def encode(self, value: object) -> bytes:
        tail: Tail = []
        record = self.write(value, tail)
        text = _to_json(record).encode()
        return b"\n".join((text, *tail)) if tail else text

    def write(self, value: object, tail: Tail) -> Fields:
        """The JSON of a record, tagged; raw bytes are added to `tail`."""
        found = self._by_class[type(value)]
        record: Fields = {"type": found.tag}
        found.struct.write_into(record, value, tail)
        return record

    def decode(self, data: bytes) -> Any:
        text, newline, raw = data.partition(b"\n")
        tail = [raw] if newline else []
        try:
            value = self.read(json.loads(text), tail)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise MalformedRecord(f"not a well-formed record: {error!r}") from error
        if tail:
            raise MalformedRecord("a record goes on after its end")
        return value

    def read(self, record: object, tail: Tail) -> Any:
        if not isinstance(record, dict) or not isinstance(record.get("type"), str):
            raise MalformedRecord("a record is a JSON object with a 'type'")
        fields = dict(record)
        tag = fields.pop("type")
        while (successor := self.successors.get(tag)) is not None:
            tag, upcast = successor
            fields = upcast(fields)
        found = self._by_tag.get(tag)
        if found is None:
            raise UnknownTag(
                f"unknown record type {tag!r}: it was written by a newer version of BleepStore; upgrade this one"
            )
        return found.struct.read(fields, tail)
