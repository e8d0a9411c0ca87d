"""What a document is made of: structures, lists, texts, whole numbers and booleans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from bleepstore.errors import MalformedConfiguration

_MAX_INTEGER = 2**31 - 1


@attrs.frozen
class Text:
    """A text: one of `choices`, if there are any; not empty, unless it `may_be_empty`."""

    choices: frozenset[str] = frozenset()
    may_be_empty: bool = False

    def check(self, value: Any, name: str) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{name} is a str, not {type(value).__name__}")
        if not value and not self.may_be_empty:
            raise MalformedConfiguration(f"{name} is empty.")
        if self.choices and value not in self.choices:
            raise MalformedConfiguration(f"{name} is one of {', '.join(sorted(self.choices))}.")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise MalformedConfiguration(f"{name} is no text that UTF-8 has.") from None
        return value


@attrs.frozen
class Integer:
    def check(self, value: Any, name: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} is a whole number, not {type(value).__name__}")
        if abs(value) > _MAX_INTEGER:
            raise MalformedConfiguration(f"{name} is too large a number.")
        return value


@attrs.frozen
class Boolean:
    def check(self, value: Any, name: str) -> bool:
        if not isinstance(value, bool):
            raise TypeError(f"{name} is True or False, not {type(value).__name__}")
        return value


@attrs.frozen
class ListOf:
    """A list of at least `at_least` values of one shape."""

    item: Shape
    at_least: int = 0

    def check(self, value: Any, name: str) -> list[Any]:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise TypeError(f"{name} is a list, not {type(value).__name__}")
        if len(value) < self.at_least:
            raise MalformedConfiguration(f"{name} has {self.at_least} or more values.")
        return [self.item.check(one, name) for one in value]


@attrs.frozen
class Structure:
    """A mapping of names to values, in which those that are `required` must be."""

    members: Mapping[str, Shape]
    required: frozenset[str] = frozenset()

    def check(self, value: Any, name: str) -> dict[str, Any]:
        """The value with its members in the order of the shape."""
        if not isinstance(value, Mapping):
            raise TypeError(f"{name} is a mapping, not {type(value).__name__}")
        for unknown in value.keys() - self.members.keys():
            raise MalformedConfiguration(f"{name} has no {unknown}.")
        for missing in sorted(self.required - value.keys()):
            raise MalformedConfiguration(f"{name} lacks {missing}.")
        return {
            member: shape.check(value[member], f"{name}.{member}")
            for member, shape in self.members.items()
            if member in value
        }


Shape = Text | Integer | Boolean | ListOf | Structure

TEXT = Text()
OPEN_TEXT = Text(may_be_empty=True)
INTEGER = Integer()
BOOLEAN = Boolean()


def choice(*values: str) -> Text:
    return Text(frozenset(values))


def structure(required: str = "", /, **members: Shape) -> Structure:
    """Of these members; `required` has the names of those that must be, with spaces between."""
    return Structure(members, frozenset(required.split()))
