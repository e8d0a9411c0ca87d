"""What a declaration of an XML document is made of, and how documents are parsed and rendered from it.

`document` makes a class one, with a field for each child: `element` (one text), `child` (one element with children of
its own), `elements` (repeated), `wrapped` (repeated within an element of its own), `one_of` (an element whose name says
something), `attribute` and `content` (of the element itself), `facts` (elements of any name).

A field without a default is required: a document that lacks it, or has it empty, is malformed. Elements are read in any
order and in any namespace, the first of a name counts, and those that are not declared are ignored. They are written in
the order of their fields; None is not written. defusedxml refuses entities and DTDs.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, cast, dataclass_transform
from xml.etree.ElementTree import Element, ParseError

import attrs
import defusedxml
from defusedxml.ElementTree import fromstring

from bleepstore_server.wire.documents.text import escape, iso_time, precise_time, read_time
from bleepstore_server.wire.errors import RequestError

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
XSI = "http://www.w3.org/2001/XMLSchema-instance"

#: A Complete of 10,000 parts has a tenth of a million. More, deep or wide, would take seconds of the processor.
_MAX_TAGS = 160_000
#: Operations on objects whose document S3 calls malformed if there is none.
_MALFORMED_IF_EMPTY = frozenset({"CompleteMultipartUpload", "LegalHold", "Retention"})

_Class = TypeVar("_Class")
_Children = dict[str, list[Element]]
#: What is written before a value, how the value is, and what is written after it.
Frame = tuple[str, Callable[[Any], str], str]
_NO_TEXTS: Mapping[str, str] = {}
_INTEGER = re.compile("-?[0-9]{1,18}")


# -- what texts mean


@attrs.frozen
class TextKind:
    """How a value is written, ready for XML, and read; `read` raises ValueError for what is not `noun`."""

    noun: str
    write: Callable[[Any], str]
    read: Callable[[str], Any] = str


def _read_number(text: str) -> int:
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 9:
        raise ValueError(text)
    return int(digits)


def _read_integer(text: str) -> int:
    found = _INTEGER.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    return int(found[0])


def _write_boolean(value: bool) -> str:
    return "true" if value else "false"


def _read_boolean(text: str) -> bool:
    return text.strip().lower() == "true"


def _write_etag(etag: str) -> str:
    return f"&quot;{etag}&quot;"


TEXT = TextKind("a text", escape)
#: A text that means the same with spaces around it.
TOKEN = TextKind("a text", escape, str.strip)
NUMBER = TextKind("a number", str, _read_number)
#: One that may be anything: what it should be is told by whoever refuses it.
INTEGER = TextKind("a number", str, _read_integer)
BOOLEAN = TextKind("true or false", _write_boolean, _read_boolean)
#: Milliseconds since the epoch.
TIME = TextKind("a time", iso_time, read_time)
#: The same, shown to the millisecond.
PRECISE_TIME = TextKind("a time", precise_time, read_time)
#: A bare ETag, in quotes in the document.
ETAG = TextKind("an ETag", _write_etag, lambda text: text.strip('"'))
#: A key or a part of one, which `text.encoder` has written ready for XML.
ENCODED = TextKind("a text", str)


def choice(values: type[enum.Enum]) -> TextKind:
    """One of the values of an enumeration."""
    return TextKind(
        f"one of {', '.join(str(one.value) for one in values)}", _value_of, lambda text: values(text.strip())
    )


def _value_of(one: enum.Enum) -> str:
    return str(one.value)


# -- fields


@attrs.frozen
class Markup:
    """The elements of a list, written already: listings write a page of a thousand of them faster. The pieces follow
    each other without anything between them, as many as there are: the document is the first to join them."""

    pieces: Sequence[str]


class DocumentField(Protocol):
    """What a field of a document is in XML."""

    def names(self) -> Sequence[str]:
        """The elements among the children that are this field's."""
        ...

    def frame(self) -> Frame: ...

    def read(self, children: _Children, parent: str) -> Any:
        """The value, or NOTHING where there is none."""
        ...


@attrs.frozen
class Scalar:
    """<Name>text</Name>"""

    name: str
    kind: TextKind
    required: bool

    def names(self) -> Sequence[str]:
        return (self.name,)

    def frame(self) -> Frame:
        return f"<{self.name}>", self.kind.write, f"</{self.name}>"

    def read(self, children: _Children, parent: str) -> Any:
        found = children.get(self.name)
        text = "" if found is None else text_of(found[0])
        if self.required and not text:
            raise malformed(f"The element {parent} lacks {self.name}.")
        return attrs.NOTHING if found is None else _read_text(self.name, self.kind, text)


@attrs.frozen
class Child:
    """<Name>...</Name>"""

    name: str
    cls: type
    required: bool

    def names(self) -> Sequence[str]:
        return (self.name,)

    def frame(self) -> Frame:
        return "", functools.partial(declaration_of(self.cls).write, self.name), ""

    def read(self, children: _Children, parent: str) -> Any:
        found = children.get(self.name)
        if found is None and self.required:
            raise malformed(f"The element {parent} lacks {self.name}.")
        return attrs.NOTHING if found is None else declaration_of(self.cls).read(found[0])


@attrs.frozen
class Repeated:
    """<Name>...</Name><Name>...</Name>, flattened or in an element `wrapper` of its own."""

    name: str
    item: TextKind | type
    at_least: int
    at_most: int | None
    wrapper: str | None = None
    required: bool = False

    def names(self) -> Sequence[str]:
        return (self.wrapper or self.name,)

    def frame(self) -> Frame:
        return (
            ("", self._write, "") if self.wrapper is None else (f"<{self.wrapper}>", self._write, f"</{self.wrapper}>")
        )

    def _write(self, value: Any) -> str:
        if isinstance(self.item, TextKind):
            write = self.item.write
            return "".join([f"<{self.name}>{write(one)}</{self.name}>" for one in value])
        declaration = declaration_of(self.item)
        return "".join([declaration.write(self.name, one) for one in value])

    def read(self, children: _Children, parent: str) -> Any:
        if self.wrapper is not None:
            found = children.get(self.wrapper)
            if found is None:
                if self.required:
                    raise malformed(f"The element {parent} lacks {self.wrapper}.")
                return attrs.NOTHING
            parent, children = self.wrapper, _children_of(found[0])
        items = children.get(self.name, [])
        if len(items) < self.at_least or (self.at_most is not None and len(items) > self.at_most):
            most = "" if self.at_most is None else f" to {self.at_most}"
            raise malformed(f"The element {parent} has {self.at_least}{most} elements {self.name}.")
        if isinstance(self.item, TextKind):
            return tuple(_read_text(self.name, self.item, text_of(item)) for item in items)
        return tuple(map(declaration_of(self.item).read, items))


@attrs.frozen
class Variant:
    """An element whose name is one of a few: the value is (name, text). An empty one is none; the last one counts."""

    choices: tuple[str, ...]
    kind: TextKind

    def names(self) -> Sequence[str]:
        return self.choices

    def frame(self) -> Frame:
        return "", self._write, ""

    def _write(self, value: tuple[str, Any]) -> str:
        return f"<{value[0]}>{self.kind.write(value[1])}</{value[0]}>"

    def read(self, children: _Children, parent: str) -> Any:
        last: Any = attrs.NOTHING
        for name in self.choices:
            text = text_of(children[name][0]) if name in children else ""
            if text:
                last = name, _read_text(name, self.kind, text)
        return last


@attrs.frozen
class Facts:
    """Elements of any name: a mapping of names to texts. They are written only."""

    def names(self) -> Sequence[str]:
        return ()

    def frame(self) -> Frame:
        return "", self._write, ""

    def _write(self, value: Mapping[str, str]) -> str:
        return "".join([f"<{name}>{escape(text)}</{name}>" for name, text in value.items()])

    def read(self, children: _Children, parent: str) -> Any:
        return attrs.NOTHING


_MEMBER, _ATTRIBUTE, _CONTENT = "member", "attribute", "content"


def _field(member: DocumentField, default: Any) -> Any:
    return attrs.field(default=default, metadata={_MEMBER: member})


def element(name: str, kind: TextKind = TEXT, *, default: Any = attrs.NOTHING) -> Any:
    return _field(Scalar(name, kind, default is attrs.NOTHING), default)


def child(name: str, cls: type, *, default: Any = attrs.NOTHING) -> Any:
    return _field(Child(name, cls, default is attrs.NOTHING), default)


def elements(
    name: str, item: TextKind | type, *, at_least: int = 0, at_most: int | None = None, default: Any = attrs.NOTHING
) -> Any:
    """A list without an element around it ("flattened"); None is none."""
    return _field(Repeated(name, item, at_least, at_most), default)


def wrapped(
    wrapper: str, name: str, item: TextKind | type, *, at_most: int | None = None, default: Any = attrs.NOTHING
) -> Any:
    """A list in an element of its own."""
    return _field(Repeated(name, item, 0, at_most, wrapper, default is attrs.NOTHING), default)


def one_of(names: Sequence[str], kind: TextKind = TEXT, *, default: Any = attrs.NOTHING) -> Any:
    return _field(Variant(tuple(names), kind), default)


def facts() -> Any:
    return _field(Facts(), attrs.NOTHING)


def attribute(name: str) -> Any:
    """The attribute `name` of the namespace xsi of the element itself."""
    return attrs.field(metadata={_ATTRIBUTE: name})


def content(kind: TextKind = TEXT) -> Any:
    """The text of the element itself."""
    return attrs.field(metadata={_CONTENT: kind})


# -- documents


@attrs.frozen
class Declaration:
    """The declaration of a class. `root` is the name of its element where it is a whole document."""

    cls: type
    root: str | None
    namespace: bool
    refuses: Mapping[str, str]
    members: tuple[tuple[str, DocumentField], ...]
    attributes: tuple[tuple[str, str], ...]
    contents: tuple[tuple[str, TextKind], ...]
    _frames: tuple[tuple[str, Frame], ...] = attrs.field(init=False)

    @_frames.default
    def _make_frames(self) -> tuple[tuple[str, Frame], ...]:
        return tuple((field, member.frame()) for field, member in self.members)

    def write(self, name: str, value: Any, more: str = "", prolog: str = "") -> str:
        """The element, with more attributes, and what stands before it."""
        for field, attribute_name in self.attributes:
            more += f' xmlns:xsi="{XSI}" xsi:{attribute_name}="{getattr(value, field)}"'
        parts = [f"{prolog}<{name}{more}>"]
        for field, kind in self.contents:
            parts.append(kind.write(getattr(value, field)))
        for field, (before, write, after) in self._frames:
            found = getattr(value, field)
            if type(found) is Markup:
                parts += (before, *found.pieces, after)
            elif found is not None:
                parts += (before, write(found), after)
        parts.append(f"</{name}>")
        return "".join(parts)

    def read(self, found: Element) -> Any:
        children, name = _children_of(found), local_name(found)
        for refused, message in self.refuses.items():
            if refused in children:
                raise RequestError("NotImplemented", message)
        values = {}
        for field, member in self.members:
            value = member.read(children, name)
            if value is not attrs.NOTHING:
                values[field] = value
        for field, attribute_name in self.attributes:
            values[field] = (found.get(f"{{{XSI}}}{attribute_name}") or "").rpartition(":")[2]
        for field, kind in self.contents:
            values[field] = _read_text(name, kind, text_of(found))
        return self.cls(**values)


_declarations: dict[type, Declaration] = {}


def declaration_of(cls: type) -> Declaration:
    return _declarations[cls]


def declared() -> frozenset[type]:
    """Every class that is a document or a part of one."""
    return frozenset(_declarations)


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    field_specifiers=(element, child, elements, wrapped, one_of, facts, attribute, content),
)
def document(
    root: str | None = None, *, namespace: bool = True, refuses: Mapping[str, str] = _NO_TEXTS
) -> Callable[[type[_Class]], type[_Class]]:
    """A class decorator. `root` is the name of a whole document; an element within others is named there.

    `refuses` are elements that would mean something that this server does not do, and what is answered to them.
    """

    def declare(cls: type[_Class]) -> type[_Class]:
        made = attrs.frozen(kw_only=True)(cls)
        fields = attrs.fields(cast("Any", made))

        def of(kind: str) -> tuple[tuple[str, Any], ...]:
            return tuple((field.name, field.metadata[kind]) for field in fields if kind in field.metadata)

        _declarations[made] = Declaration(made, root, namespace, refuses, of(_MEMBER), of(_ATTRIBUTE), of(_CONTENT))
        return made

    return declare


def render(value: Any) -> bytes:
    """A whole document as bytes."""
    declaration = _declarations[type(value)]
    assert declaration.root is not None, f"{declaration.cls.__name__} is no document but a part of one"
    more = f' xmlns="{NAMESPACE}"' if declaration.namespace else ""
    return declaration.write(declaration.root, value, more, DECLARATION).encode()


def parse(cls: type[_Class], body: bytes) -> _Class:
    """A whole document that a client sent. Raises as `parse_root`, and RequestError: NotImplemented for what the
    document refuses."""
    declaration = _declarations[cls]
    assert declaration.root is not None, f"{cls.__name__} is no document but a part of one"
    return cast("_Class", declaration.read(parse_root(declaration.root, body)))


def parse_root(root: str, body: bytes) -> Element:
    """The element that a whole document of this name is. Raises RequestError: MissingRequestBodyError for no bytes,
    MalformedXML."""
    if not body and root not in _MALFORMED_IF_EMPTY:
        raise RequestError("MissingRequestBodyError")
    if body.count(b"<") > _MAX_TAGS:
        raise malformed(f"The document has more than {_MAX_TAGS} tags.")
    try:
        found: Element = fromstring(body, forbid_dtd=True)
    except (ParseError, defusedxml.DefusedXmlException, ValueError, LookupError):
        raise RequestError("MalformedXML") from None
    if local_name(found) != root:
        raise malformed(f"The document must be a {root}.")
    return found


def malformed(detail: str) -> RequestError:
    return RequestError("MalformedXML", detail)


def local_name(found: Element) -> str:
    """The name of an element, whatever its namespace."""
    return found.tag.rpartition("}")[2]


def _children_of(found: Element) -> _Children:
    children: _Children = {}
    for one in found:
        children.setdefault(one.tag.rpartition("}")[2], []).append(one)
    return children


def text_of(found: Element) -> str:
    """The text of an element. One that holds an element too is refused: the text around that is another text."""
    if len(found):
        raise malformed(f"The element {local_name(found)} holds text alone.")
    return found.text or ""


def _read_text(name: str, kind: TextKind, text: str) -> Any:
    try:
        return kind.read(text)
    except ValueError:
        raise malformed(f"{name} is not {kind.noun}.") from None
