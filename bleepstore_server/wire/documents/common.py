"""Parts of many documents: owners, checksums."""

from __future__ import annotations

from bleepstore.digests import Algorithm
from bleepstore.model import Checksum, Owner
from bleepstore_server.wire.documents.declare import document, element

#: The element of each algorithm's value.
CHECKSUMS = tuple(f"Checksum{algorithm}" for algorithm in Algorithm)


@document()
class Account:
    """An Owner or an Initiator."""

    id: str = element("ID")
    display_name: str | None = element("DisplayName", default=None)


def account(owner: Owner) -> Account:
    return Account(id=owner.id, display_name=owner.display_name)


def checksum_value(checksum: Checksum, parts_count: int | None) -> str:
    """The value as answers show it: a composite one says of how many parts."""
    return f"{checksum.value}-{parts_count}" if checksum.type.value == "COMPOSITE" and parts_count else checksum.value


def checksum_element(checksum: Checksum | None, parts_count: int | None = None) -> tuple[str, str] | None:
    """(name, text) of the element of a checksum."""
    return None if checksum is None else (f"Checksum{checksum.algorithm}", checksum_value(checksum, parts_count))


def checksum_type(checksum: Checksum | None) -> str | None:
    return None if checksum is None else checksum.type.value


def checksum_of(found: tuple[str, str] | None) -> Checksum | None:
    """The checksum of an element that was read."""
    return None if found is None else Checksum(Algorithm(found[0].removeprefix("Checksum")), found[1])
