"""Texts of a policy that stand for many: wildcards, and variables that a request gives a value.

"You can use the wildcard characters (* and ?) ... An asterisk (*) represents any combination of characters, and a
question mark (?) represents any single character" ("IAM JSON policy elements: Resource"). A wildcard that a value of a
request has in it stands for itself.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence

import attrs

#: The pieces of a template that are wildcards.
ANY, ONE = object(), object()
#: `${aws:username}`, `${aws:username, 'nobody'}`, and `${*}`, `${?}`, `${$}` for the characters themselves.
_VARIABLE = re.compile(r"\$\{([^{}]+)\}")
_WITH_DEFAULT = re.compile(r"\s*([^,\s]+)\s*(?:,\s*'(.*)'\s*)?", re.DOTALL)


@attrs.frozen
class Variable:
    """The value that a request has under a condition key, as `in_lower_case` writes it; `default` if it has none."""

    key: str
    default: str | None


Piece = object  # a str, ANY, ONE or a Variable
#: The value of a condition key; None if the request has not exactly one.
ValueOf = Callable[[str], str | None]


def parse_template(text: str, *, variables: bool, wildcards: bool = True) -> tuple[Piece, ...]:
    """The pieces of a text. `variables`: the policy has the version that knows them."""
    pieces: list[Piece] = []
    end = 0
    for match in _VARIABLE.finditer(text) if variables else ():
        pieces += _characters(text[end : match.start()], wildcards)
        pieces.append(_variable(match[1]))
        end = match.end()
    return (*pieces, *_characters(text[end:], wildcards))


def _variable(content: str) -> Piece:
    if content in ("*", "?", "$"):
        return content
    match = _WITH_DEFAULT.fullmatch(content)
    key, default = (content, None) if match is None else (match[1], match[2])
    return Variable(in_lower_case(key), default)


def in_lower_case(key: str) -> str:
    """ "Condition key names are not case-sensitive." The tag at the end of some is."""
    name, separator, tag = key.partition("/")
    return name.lower() + separator + tag


def _characters(text: str, wildcards: bool) -> list[Piece]:
    if not wildcards:
        return [text] if text else []
    return [{"*": ANY, "?": ONE}.get(piece, piece) for piece in re.split(r"([*?])", text) if piece]


def has_variable(pieces: Iterable[Piece]) -> bool:
    return any(isinstance(piece, Variable) for piece in pieces)


def has_variables(wanted: Iterable[object]) -> bool:
    """Whether any of the values that an operator reads has a variable: templates, or tuples of them."""
    return any(isinstance(one, Variable) or (isinstance(one, tuple) and has_variables(one)) for one in wanted)


def has_wildcard(pieces: Iterable[Piece]) -> bool:
    return ANY in pieces or ONE in pieces


def with_values(pieces: Sequence[Piece], value_of: ValueOf) -> tuple[Piece, ...] | None:
    """The pieces with the values of their variables; None if one has neither a value nor a default."""
    found: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, Variable):
            value = value_of(piece.key)
            value = piece.default if value is None else value
            if value is None:
                return None
            found.append(value)
        else:
            found.append(piece)
    return tuple(found)


def expression(pieces: Sequence[Piece]) -> str:
    """A regular expression that a whole text matches if it is one of those that the pieces stand for.

    What is between two asterisks is looked for once, at its first occurrence, and never again (an atomic group), so
    that no text takes more than its length times that of the pattern.
    """
    parts = [""]
    for piece in pieces:
        if piece is ANY:
            parts.append("")
        else:
            parts[-1] += "." if piece is ONE else re.escape(str(piece))
    first, *between = parts
    if not between:
        return first
    *middle, last = between
    return first + "".join(f"(?>.*?{part})" for part in middle if part) + ".*" + last


@functools.lru_cache(maxsize=512)
def _compiled(pieces: tuple[Piece, ...]) -> re.Pattern[str] | None:
    """None: it depends on the request."""
    return None if has_variable(pieces) else re.compile(expression(pieces), re.DOTALL)


def matches(pieces: tuple[Piece, ...], text: str, value_of: ValueOf) -> bool:
    """Whether a whole text is one that the pieces stand for, in this request."""
    pattern = _compiled(pieces)
    if pattern is not None:
        return pattern.fullmatch(text) is not None
    known = with_values(pieces, value_of)
    return known is not None and _is_like(known, text)


def _is_like(pieces: Sequence[Piece], text: str) -> bool:
    """As the expression of the pieces, which would be compiled for each value that anybody sends, at a cost that
    they choose."""
    parts: list[list[Piece]] = [[]]
    for piece in pieces:
        if piece is ANY:
            parts.append([])
        else:
            parts[-1].append(piece)
    sizes = [sum(1 if piece is ONE else len(str(piece)) for piece in part) for part in parts]
    if sum(sizes) > len(text) or not _is_at(parts[0], text, 0):
        return False
    if len(parts) == 1:
        return sizes[0] == len(text)
    end = len(text) - sizes[-1]
    if not _is_at(parts[-1], text, end):
        return False
    position = sizes[0]
    for part, size in zip(parts[1:-1], sizes[1:-1], strict=True):
        if ONE in part:
            while position + size <= end and not _is_at(part, text, position):
                position += 1
        else:
            position = text.find("".join(map(str, part)), position, end)
            if position < 0:
                return False
        position += size
    return position <= end


def _is_at(part: Sequence[Piece], text: str, position: int) -> bool:
    for piece in part:
        if piece is ONE:
            position += 1
        elif text.startswith(str(piece), position):
            position += len(str(piece))
        else:
            return False
    return True


@attrs.frozen
class Patterns:
    """Several templates, of which one has to match. Those without a variable are one regular expression."""

    fixed: re.Pattern[str] | None
    variable: tuple[tuple[Piece, ...], ...]

    @classmethod
    @functools.lru_cache(maxsize=512)
    def of(cls, templates: tuple[tuple[Piece, ...], ...]) -> Patterns:
        """The same for the same templates: statements of one policy often have the resources of each other."""
        fixed = [expression(pieces) for pieces in templates if not has_variable(pieces)]
        return cls(
            re.compile("|".join(f"(?:{one})" for one in fixed), re.DOTALL) if fixed else None,
            tuple(pieces for pieces in templates if has_variable(pieces)),
        )

    def match(self, text: str, value_of: ValueOf) -> bool:
        if self.fixed is not None and self.fixed.fullmatch(text) is not None:
            return True
        return any(matches(pieces, text, value_of) for pieces in self.variable)
