"""Commands and results as bytes, and back: the only cattrs converter.

A record is one JSON object whose `type` names its class and the version of its form, such as `put-object/1`. Forms are
frozen: a change of a class gets a new tag and the old one stays readable. An unknown tag stops the reader
(`UnknownTag`): skipping a command would make this catalog differ from every other.
"""

from __future__ import annotations

import base64
import json
from types import UnionType
from typing import Any, cast, get_args

import attrs
from cattrs import Converter
from cattrs.errors import ForbiddenExtraKeysError
from cattrs.gen import make_dict_unstructure_fn, override
from cattrs.strategies import configure_tagged_union

from bleepstore import commands, errors
from bleepstore.commands import Command, Result
from bleepstore.errors import S3Error, StoreError
from bleepstore.model import BlobRef, Data, Group, Inline


class UnknownTag(StoreError):
    """The bytes hold a command or result that this version does not know; upgrade it."""


class MalformedRecord(StoreError):
    """The bytes are not a record of this codec."""


def _kebab(name: str) -> str:
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")


def _members(union: object) -> tuple[type, ...]:
    return get_args(union) if isinstance(union, UnionType) else (cast("type", union),)


COMMAND_TAGS: dict[type, str] = {cls: f"{_kebab(cls.__name__)}/1" for cls in _members(Command)}


def _error_classes() -> list[type[S3Error]]:
    found = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, S3Error)]
    return sorted(found, key=lambda cls: cls.__name__)


RESULT_TAGS: dict[type, str] = {
    **{cls: f"{_kebab(cls.__name__)}/1" for cls in (commands.Done, commands.Written, commands.Removed)},
    commands.RemovedMany: "removed-many/1",
    **{cls: f"error:{cls.__name__}/1" for cls in _error_classes()},
}


def _make_converter() -> Converter:
    # Without detailed validation an unknown tag deep in a record arrives as itself, not in a group of errors.
    converter = Converter(forbid_extra_keys=True, omit_if_default=True, detailed_validation=False)
    converter.register_unstructure_hook(bytes, lambda data: base64.b64encode(data).decode("ascii"))
    converter.register_structure_hook(bytes, lambda text, _: base64.b64decode(text, validate=True))
    configure_tagged_union(
        Data, converter, tag_generator=lambda cls: {Inline: "inline", BlobRef: "blob"}[cls], tag_name="type"
    )

    def read_grantee(text: str, _: object) -> str | Group:
        kind, _colon, value = text.partition(":")
        return Group(value) if kind == "group" else value

    def write_grantee(grantee: str | Group) -> str:
        return f"group:{grantee.value}" if isinstance(grantee, Group) else f"id:{grantee}"

    converter.register_structure_hook(str | Group, read_grantee)
    converter.register_unstructure_hook(str | Group, write_grantee)
    for cls in _error_classes():
        # The attributes of an exception that belong to the class (code, summary) are not fields, so attrs is enough.
        converter.register_unstructure_hook(
            cls, make_dict_unstructure_fn(cls, converter, _cattrs_omit_if_default=True, **_no_overrides(cls))
        )
    converter.register_unstructure_hook(commands.Removed | S3Error, lambda value: _to_record(value, RESULT_TAGS))
    converter.register_structure_hook(commands.Removed | S3Error, lambda value, _: _from_record(value, RESULT_TAGS))
    return converter


def _no_overrides(cls: type) -> dict[str, Any]:
    return {a.name: override() for a in attrs.fields(cls)}


def _to_record(value: object, tags: dict[type, str]) -> dict[str, Any]:
    return {"type": tags[type(value)], **_converter.unstructure(value, type(value))}


def _from_record(record: object, tags: dict[type, str]) -> Any:
    if not isinstance(record, dict) or not isinstance(record.get("type"), str):
        raise MalformedRecord("a record is a JSON object with a 'type'")
    fields = dict(record)
    tag = fields.pop("type")
    cls = next((cls for cls, name in tags.items() if name == tag), None)
    if cls is None:
        raise UnknownTag(
            f"unknown record type {tag!r}: it was written by a newer version of BleepStore; upgrade this one"
        )
    return _converter.structure(fields, cls)


_converter = _make_converter()


def _encode(value: object, tags: dict[type, str]) -> bytes:
    return json.dumps(_to_record(value, tags), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _decode(data: bytes, tags: dict[type, str]) -> Any:
    try:
        return _from_record(json.loads(data), tags)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ForbiddenExtraKeysError) as error:
        raise MalformedRecord(f"not a well-formed record: {error!r}") from error


def encode_command(command: Command) -> bytes:
    """The command as canonical JSON (sorted keys, no spaces, UTF-8): equal commands give equal bytes."""
    return _encode(command, COMMAND_TAGS)


def decode_command(data: bytes) -> Command:
    """The command that `data` holds. Raises UnknownTag or MalformedRecord."""
    return cast("Command", _decode(data, COMMAND_TAGS))


def encode_result(result: Result) -> bytes:
    return _encode(result, RESULT_TAGS)


def decode_result(data: bytes) -> Result:
    return cast("Result", _decode(data, RESULT_TAGS))
