"""User metadata and what we note of an object, as the native metadata of a provider.

What a provider can hold as it is, is stored under its own name, where the provider's own tools find it. The rest, in
one item, is base64 of JSON. The items of our own begin with a mark:

    etag    S3's ETag, where the provider's is another
    write   a number of this one write: two writes of the same bytes are two blobs
    crc32c  base64 of the CRC32C of all bytes (big-endian)
    size    how many bytes
    kept    1, if nothing that was written later replaced it: its bucket kept versions
    of      the provider's own ETags of these bytes, with a space between them, where they are known
    key     base64 of the key of what is not stored under it; the longest key makes 1,368 bytes, whatever is in it
    sealed  1, of what is encrypted: only the catalog knows how, so that nobody reads it without that
    more    base64 of JSON: the metadata and the system metadata that the provider would refuse, and the tags

Whoever writes other bytes under the name may keep the metadata, so what is noted of the bytes counts only as long as it
agrees with what the provider says of them.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from bleepstore.backends.base import BlobSpec
from bleepstore.encryption import UNKNOWN_ENCRYPTION
from bleepstore.model import STANDARD, ObjectAttributes, SystemMetadata

#: HTTP clients, Python's own among them, take at most 100 headers, of which an answer has some anyway.
_MAX_PLAIN = 50
_PLAIN_MD5 = re.compile("[0-9a-f]{32}")
_PLAIN_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_SYSTEM_FIELDS = tuple(field.name for field in attrs.fields(SystemMetadata))


@attrs.frozen(kw_only=True)
class Notes:
    """What native metadata say of an object."""

    etag: str | None = None
    write: str | None = None
    crc32c: str | None = None
    size: int | None = None
    of: tuple[str, ...] = ()
    key: str | None = None
    keeps_versions: bool = False
    sealed: bool = False
    system: Mapping[str, str] = attrs.field(factory=dict)
    metadata: Mapping[str, str] = attrs.field(factory=dict)
    tags: Mapping[str, str] = attrs.field(factory=dict)

    def about(self, size: int, md5: str | None) -> Notes:
        """Without what is noted of other bytes than these, whose MD5 (in hex) the provider knows unless they were
        put together from parts; then the ETag is none either."""
        expected = self.etag if self.etag is not None and _PLAIN_MD5.fullmatch(self.etag) else None
        other = self.etag is not None and md5 != expected
        return self.without_bytes() if other or self.size not in (None, size) else self

    def attributes(self, native: Mapping[str, str], storage_class: str = STANDARD) -> ObjectAttributes:
        """What goes with the object; `native` are the system metadata that the provider itself keeps."""
        system = SystemMetadata(**{**native, **self.system})
        return ObjectAttributes(
            system=system,
            metadata=self.metadata,
            storage_class=storage_class,
            tags=self.tags,
            encryption=UNKNOWN_ENCRYPTION if self.sealed else None,
        )

    def without_bytes(self) -> Notes:
        return attrs.evolve(self, etag=None, crc32c=None, size=None, of=())


def _pack(value: object) -> str:
    return base64.b64encode(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()).decode()


def _unpack(text: str) -> Any:
    """The value, or None: what others wrote there is not an error of ours."""
    try:
        return json.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return None


def _read_key(text: str) -> str | None:
    """As `_unpack`, of what is not JSON."""
    try:
        return base64.b64decode(text, validate=True).decode() or None
    except (binascii.Error, ValueError):
        return None


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {name: text for name, text in value.items() if isinstance(text, str)}


@attrs.frozen(kw_only=True)
class MetadataCodec:
    """`mark` begins our own names, `plain_name` is what the provider accepts as a name and gives back as it was, and
    `budget` how many bytes of names and values it takes. `native_system` are the fields of SystemMetadata that it has
    a field of its own for."""

    mark: str
    plain_name: re.Pattern[str]
    budget: int
    native_system: frozenset[str]

    def encode(
        self,
        spec: BlobSpec,
        *,
        write: str | None = None,
        etag: str | None = None,
        crc32c: str | None = None,
        size: int | None = None,
        of: Sequence[str] = (),
        with_key: bool = False,
        with_tags: bool = True,
    ) -> dict[str, str]:
        """The native metadata. `with_key` adds the key, `with_tags` the tags, where the provider has none of its own.

        What exceeds the budget is left out, and is then known to the catalog alone: first what had to be packed, then
        the largest of the others. The notes of our own fit into every provider's budget.
        """
        notes = {
            "write": write,
            "etag": etag,
            "crc32c": crc32c,
            "size": None if size is None else str(size),
            "kept": "1" if spec.keeps_versions else None,
            "of": " ".join(of) or None,
            "key": base64.b64encode(spec.key.encode()).decode() if with_key else None,
            "sealed": None if spec.attributes.encryption is None else "1",
        }
        made = {self.mark + name: text for name, text in notes.items() if text is not None}
        able = [(name, text) for name, text in spec.attributes.metadata.items() if self._is_plain(name, text)]
        plain = dict(sorted(able, key=lambda item: len(item[0]) + len(item[1]))[:_MAX_PLAIN])
        system = {
            name: text
            for name in _SYSTEM_FIELDS
            if (text := getattr(spec.attributes.system, name)) is not None
            and not (name in self.native_system and _PLAIN_VALUE.fullmatch(text))
        }
        packed = {name: text for name, text in spec.attributes.metadata.items() if name not in plain}
        left = self.budget - _length(made)
        for name, text in plain.items():
            left -= len(name) + len(text)
            if left >= 0:
                made[name] = text
        tags = dict(spec.attributes.tags) if with_tags else {}
        if packed or system or tags:
            more = _pack_more(packed, system, tags)
            if len(self.mark) + len("more") + len(more) <= self.budget - _length(made):
                made[f"{self.mark}more"] = more
        return made

    def with_tags(self, native: Mapping[str, str] | None, tags: Mapping[str, str]) -> dict[str, str]:
        """The native metadata of an object that gets other tags. What exceeds the budget is left out, as by encode."""
        notes, name = self.decode(native), f"{self.mark}more"
        made = {key: text for key, text in (native or {}).items() if key.lower() != name}
        packed = {key: text for key, text in notes.metadata.items() if key not in {one.lower() for one in made}}
        if packed or notes.system or tags:
            more = _pack_more(packed, notes.system, tags)
            if len(name) + len(more) <= self.budget - _length(made):
                made[name] = more
        return made

    def _is_plain(self, name: str, text: str) -> bool:
        return (
            not name.startswith(self.mark)
            and self.plain_name.fullmatch(name) is not None
            and _PLAIN_VALUE.fullmatch(text) is not None
        )

    def native(self, system: SystemMetadata) -> dict[str, str]:
        """The fields for which the provider has fields of its own, by their names in SystemMetadata."""
        return {
            name: text
            for name in _SYSTEM_FIELDS
            if name in self.native_system
            and (text := getattr(system, name)) is not None
            and _PLAIN_VALUE.fullmatch(text)
        }

    def decode(self, native: Mapping[str, str] | None) -> Notes:
        """What `encode` made, or what somebody else wrote. Names come back in lower case, as S3 gives them."""
        given = {name.lower(): text for name, text in (native or {}).items()}
        ours = {name.removeprefix(self.mark): text for name, text in given.items() if name.startswith(self.mark)}
        more = _unpack(ours.get("more", ""))
        more = more if isinstance(more, dict) else {}
        plain = {name: text for name, text in given.items() if not name.startswith(self.mark)}
        system = _texts(more.get("system"))
        return Notes(
            etag=ours.get("etag"),
            write=ours.get("write"),
            crc32c=ours.get("crc32c"),
            size=int(text) if len(text := ours.get("size", "")) < 20 and text.isdecimal() else None,
            of=tuple(ours.get("of", "").split()),
            key=_read_key(ours.get("key", "")),
            keeps_versions="kept" in ours,
            sealed="sealed" in ours,
            system={name: text for name, text in system.items() if name in _SYSTEM_FIELDS},
            metadata=plain | _texts(more.get("metadata")),
            tags=_texts(more.get("tags")),
        )


def _pack_more(metadata: Mapping[str, str], system: Mapping[str, str], tags: Mapping[str, str]) -> str:
    parts = {"metadata": dict(metadata), "system": dict(system)}
    return _pack({**parts, "tags": dict(tags)} if tags else parts)


def _length(items: Mapping[str, str]) -> int:
    return sum(len(name) + len(text) for name, text in items.items())
