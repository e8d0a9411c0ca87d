"""Nouns of encryption at rest: which key an object is encrypted with, and how large it is then.

Each object has a *data key* of its own, which encrypts its bytes, and which is stored with the object, encrypted
("wrapped") itself: by a *master key* that the store has, or by a key that the caller brings with every request and that
is stored nowhere. `bleepstore.sealing` does the work; this module needs no cryptography.
"""

from __future__ import annotations

import enum
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import attrs

from bleepstore.errors import InvalidArgument

#: Bytes of an object that are encrypted at a time: what a range reads too much of, and 1/4096 more to store.
CHUNK = 64 * 1024
#: Before the chunks of a part: a mark of the format, and 16 random bytes.
HEADER_SIZE = 20
#: Behind each chunk: what proves that it is as it was.
TAG_SIZE = 16
#: Behind the last one: the CRC64NVME of all before it, by which a scrub compares what it has no key for.
FOOTER_SIZE = 8

#: The master key of objects whose writer names none.
STORE_KEY = "store"
#: The named key that is meant where none is named.
DEFAULT_KEY = "aws/s3"
_CUSTOMER_KEY_SIZE = 32


#: "Length Constraints: Minimum length of 1. Maximum length of 2048" (KeyId of AWS KMS). It is shown in a header.
_KEY_ID = re.compile(r"[!-~]{1,2048}")


def _check_key_id(key_id: str | None) -> None:
    if key_id is not None and not _KEY_ID.fullmatch(key_id):
        raise InvalidArgument(
            "The id of an encryption key is 1 to 2048 printable characters of ASCII.", "encryption", key_id[:64]
        )


class EncryptionKind(enum.StrEnum):
    """Whose key it is: the store's (SSE-S3), one that has a name (SSE-KMS), or the caller's (SSE-C)."""

    STORE = "store"
    NAMED = "named"
    CUSTOMER = "customer"


@attrs.frozen
class StoreKey:
    """Asks for encryption by the store's own key: S3's "SSE-S3"."""


@attrs.frozen(kw_only=True)
class NamedKey:
    """Asks for encryption by a master key of this name, or of the name DEFAULT_KEY: S3's "SSE-KMS". The name may be an
    ARN, or begin with `alias/`. `context` must be the same when the key is used again, which the store sees to.
    `bucket_key` is kept and shown; None: as the bucket's default says."""

    key_id: str | None = None
    context: Mapping[str, str] = attrs.field(factory=dict)
    bucket_key: bool | None = None

    def __attrs_post_init__(self) -> None:
        _check_key_id(self.key_id)
        if not all(isinstance(text, str) for pair in self.context.items() for text in pair):
            raise TypeError("the context of a NamedKey is a mapping of str to str")
        try:
            "".join(itertools.chain(*self.context.items())).encode()
        except UnicodeEncodeError:
            raise InvalidArgument("The context of a key is text.", "encryption", None) from None


@attrs.frozen
class CustomerKey:
    """Encryption by this key of 32 bytes, which the caller has to bring again to read: S3's "SSE-C"."""

    key: bytes = attrs.field(repr=False)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.key, bytes):
            raise TypeError(f"a CustomerKey is made of bytes, not {type(self.key).__name__}")
        if len(self.key) != _CUSTOMER_KEY_SIZE:
            raise InvalidArgument("The secret key was invalid for the specified algorithm.", "encryption", None)


EncryptionRequest = StoreKey | NamedKey | CustomerKey


@attrs.frozen(kw_only=True)
class Encryption:
    """How the bytes of an object are encrypted: all that is needed to read them again, beside the master key.

    `wrapped_key` is the data key as base64, encrypted by `master_key` (its name and which of that name it is), or by
    the caller's. `part_numbers` are those of the parts under which they were uploaded, where they are not 1, 2, 3, ...
    """

    kind: EncryptionKind
    wrapped_key: str = attrs.field(repr=False)
    master_key: str | None = None
    key_id: str | None = None
    context: Mapping[str, str] = attrs.field(factory=dict)
    bucket_key: bool = False
    part_numbers: tuple[int, ...] = ()

    def with_part_numbers(self, numbers: Sequence[int]) -> Encryption:
        """The same, of an object that is put together from parts with these numbers."""
        is_usual = all(number == position for position, number in enumerate(numbers, start=1))
        return attrs.evolve(self, part_numbers=() if is_usual else tuple(numbers))


#: Of what is stored at a provider and not in the catalog, which alone had its data key.
UNKNOWN_ENCRYPTION = Encryption(kind=EncryptionKind.STORE, wrapped_key="")


@attrs.frozen(kw_only=True)
class BucketEncryption:
    """How objects of a bucket are encrypted whose writer does not say it. `refuses_customer_keys`: nothing may be
    written there with keys of callers."""

    kind: EncryptionKind = EncryptionKind.STORE
    key_id: str | None = None
    bucket_key: bool = False
    refuses_customer_keys: bool = False

    def __attrs_post_init__(self) -> None:
        if self.kind is EncryptionKind.CUSTOMER:
            raise InvalidArgument("A key of the caller's cannot be a bucket's default.", "encryption", self.kind)
        if self.kind is EncryptionKind.STORE and self.key_id is not None:
            raise InvalidArgument(
                "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
                "encryption",
                self.key_id,
            )
        _check_key_id(self.key_id)

    @property
    def request(self) -> EncryptionRequest:
        """What it asks for when a writer says nothing."""
        if self.kind is EncryptionKind.STORE:
            return StoreKey()
        return NamedKey(key_id=self.key_id, bucket_key=self.bucket_key)


def key_name(key_id: str | None) -> str:
    """The name of a master key, which may be given as `alias/NAME`, `arn:...:key/NAME` or `arn:...:alias/NAME`."""
    if key_id is None:
        return DEFAULT_KEY
    name = key_id
    if name.startswith("arn:"):
        name = name.rpartition(":")[2].removeprefix("key/")
    return name.removeprefix("alias/")


class SealedPart(NamedTuple):
    """A part of an encrypted object, by the number under which it was uploaded (0: it was not uploaded in parts), and
    its size in bytes before it was encrypted."""

    number: int
    size: int


Layout = tuple[SealedPart, ...]


def layout_of(encryption: Encryption, size: int, part_sizes: Iterable[int]) -> Layout:
    """The parts that an encrypted object of this size consists of."""
    sizes = tuple(part_sizes)
    if not sizes:
        return (SealedPart(encryption.part_numbers[0] if encryption.part_numbers else 0, size),)
    numbers = encryption.part_numbers or itertools.count(1)
    return tuple(map(SealedPart, numbers, sizes))


def sealed_size(size: int) -> int:
    """How many bytes `size` of them, encrypted in one part, are."""
    chunks = max(1, -(-size // CHUNK))
    return HEADER_SIZE + size + chunks * TAG_SIZE + FOOTER_SIZE


def plain_size(sealed: int) -> int:
    """The inverse of `sealed_size`; 0 for what is too short to be anything encrypted."""
    body = sealed - HEADER_SIZE - FOOTER_SIZE
    return max(0, body - -(-body // (CHUNK + TAG_SIZE)) * TAG_SIZE)


def sealed_size_of(layout: Layout) -> int:
    """How many bytes are stored of an object with these parts."""
    return sum(sealed_size(part.size) for part in layout)
