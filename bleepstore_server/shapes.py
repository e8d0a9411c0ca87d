"""Values of JSON and TOML as frozen classes: nothing is converted that was not meant, and nothing unknown passes."""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import attrs
from cattrs import Converter, transform_error
from cattrs.errors import (
    BaseValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

_Shape = TypeVar("_Shape")
_EXACT = {str: "a text", int: "a whole number", bool: "true or false"}


class WrongShape(ValueError):
    """What was given does not have the shape that is asked for. The message names each field."""


def structured(value: object, shape: type[_Shape]) -> _Shape:
    """A value of an attrs class, made of dicts, lists and plain values. Raises WrongShape."""
    try:
        return converter.structure(value, shape)
    except BaseValidationError as error:
        raise WrongShape("; ".join(transform_error(error, path="$", format_exception=_told))) from None
    except (ValueError, TypeError) as error:
        raise WrongShape(str(error)) from None


def _told(error: BaseException, _kind: type | None) -> str:
    if isinstance(error, ForbiddenExtraKeysError):
        unknown = ", ".join(sorted(map(repr, error.extra_fields)))
        return f"there is no {unknown}; known are {', '.join(field.name for field in attrs.fields(error.cl))}"
    if isinstance(error, KeyError):
        return "it is missing"
    return str(error) or type(error).__name__


def _exact(value: object, kind: Any) -> object:
    if isinstance(kind, enum.EnumMeta):  # of texts
        return _choice(value, kind)
    if type(value) is not kind:
        raise ValueError(f"{value!r} is not {_EXACT[kind]}")
    return value


def _choice(value: object, kind: Any) -> enum.Enum:
    choices: list[enum.Enum] = list(kind)
    for choice in choices:
        if choice.value == value:
            return choice
    raise ValueError(f"{value!r} is not one of {', '.join(str(choice.value) for choice in choices)}")


def _items(value: object, kind: Any) -> Any:
    """A list or a tuple of values of one kind."""
    if not isinstance(value, list):
        raise ValueError(f"{value!r} is not a list")
    return typing.get_origin(kind)(_each(enumerate(value), typing.get_args(kind)[0], kind).values())


def _object(value: object, kind: Any) -> dict[Any, Any]:
    """A dict of values of one kind; those of `Any` are left as they are."""
    inner = typing.get_args(kind)[1]
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is not an object")
    return value if inner is Any else _each(value.items(), inner, kind)


def _each(items: typing.Iterable[tuple[Any, Any]], inner: Any, kind: Any) -> dict[Any, Any]:
    found, errors = {}, []
    for name, item in items:
        try:
            found[name] = converter.structure(item, inner)
        except (BaseValidationError, ValueError, TypeError) as error:
            error.add_note(IterableValidationNote("", name, inner))
            errors.append(error)
    if errors:
        raise IterableValidationError("", errors, kind)
    return found


def _origin(kind: Any) -> Any:
    return typing.get_origin(kind)


def _fields(kind: type, made_for: Converter) -> Callable[[object, Any], Any]:
    """What makes a value of an attrs class."""
    make: Callable[[Any, Any], Any] = make_dict_structure_fn(kind, made_for, _cattrs_forbid_extra_keys=True)

    def structure(value: object, given_kind: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"{value!r} is not an object")
        return make(value, given_kind)

    return structure


converter = Converter()
for exact in _EXACT:
    converter.register_structure_hook(exact, _exact)
converter.register_structure_hook(enum.Enum, _choice)
converter.register_structure_hook_func(lambda kind: _origin(kind) in (list, tuple), _items)
converter.register_structure_hook_func(lambda kind: _origin(kind) is dict, _object)
converter.register_structure_hook_factory(attrs.has, _fields)
