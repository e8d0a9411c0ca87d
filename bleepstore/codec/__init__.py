"""Commands, results and events as bytes, and back.

A record is one JSON object, whose `type` is the tag of its form, such as `put-object/1`. Bytes of an object follow it
as they are, behind a newline, which JSON never holds; the object says how many. Every field is written out, so what a
record means does not depend on what is a default today; but of an object's attributes, whose absence has a meaning that
never changes, only those that are there.

A form is frozen. `bleepstore.codec.forms` lists each by hand, apart from the classes, and `bleepstore.codec.kinds` has
how the values of its fields are written: a class that changes gets a new form with a new tag, and an up-caster from the
old one. An unknown tag stops the reader (`UnknownTag`): skipping a command would make this catalog differ from every
other.
"""

from __future__ import annotations

from bleepstore.codec.forms import COMMANDS, EVENTS, RESULTS
from bleepstore.codec.records import MalformedRecord, UnknownTag
from bleepstore.commands import Command, Result
from bleepstore.events import Event

__all__ = [
    "MalformedRecord",
    "UnknownTag",
    "decode_command",
    "decode_event",
    "decode_result",
    "encode_command",
    "encode_event",
    "encode_result",
]


def encode_command(command: Command) -> bytes:
    """The record of a command; equal commands give equal bytes."""
    return COMMANDS.encode(command)


def decode_command(data: bytes) -> Command:
    """The command that `data` holds. Raises UnknownTag or MalformedRecord."""
    command: Command = COMMANDS.decode(data)
    return command


def encode_result(result: Result) -> bytes:
    """The record of a result, which is JSON alone."""
    return RESULTS.encode(result)


def decode_result(data: bytes) -> Result:
    """The result that `data` holds, in its present form. Raises UnknownTag or MalformedRecord."""
    result: Result = RESULTS.decode(data)
    return result


def encode_event(event: Event) -> bytes:
    """The record of an event, which is JSON alone."""
    return EVENTS.encode(event)


def decode_event(data: bytes) -> Event:
    """The event that `data` holds, in its present form. Raises UnknownTag or MalformedRecord."""
    event: Event = EVENTS.decode(data)
    return event
