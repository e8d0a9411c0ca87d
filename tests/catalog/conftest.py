"""A catalog alone, and commands made with few words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from bleepstore import commands as c
from bleepstore.catalog.sqlite import Catalog
from bleepstore.commands import Command, Result
from bleepstore.model import Acl, BlobRef, Inline, Owner

ALICE, BOB = Owner("alice", "Alice"), Owner("bob", "Bob")


def apply_all(catalog: Catalog, commands: Sequence[Command]) -> list[Result]:
    """Apply `commands` as a log does, which remembers their results."""
    with catalog.read() as reader:
        before: int = reader.connection.execute("SELECT applied_index FROM state").get
    through = before + len(commands)
    return catalog.apply_log([(index, through, one) for index, one in enumerate(commands, before + 1)], through)


class Applier:
    """Applies commands to a catalog, stamping them from a counter."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._numbers = itertools.count(1)

    def stamp(self) -> dict[str, Any]:
        number = next(self._numbers)
        return {"request_id": f"{number:012x}-test", "time_ms": 1_000_000 + number}

    def __call__(self, command: Command) -> Result:
        (result,) = apply_all(self.catalog, [command])
        return result

    def create_bucket(self, bucket: str, owner: Owner = ALICE) -> Result:
        acl = Acl.private(owner.id)
        return self(c.CreateBucket(**self.stamp(), bucket=bucket, owner=owner, location="", acl=acl))

    def put(self, bucket: str, key: str, data: bytes | str = b"", **fields: Any) -> Result:
        """Put an object: inline bytes, or a blob if `data` is its handle."""
        where = Inline(data) if isinstance(data, bytes) else BlobRef(data)
        fields = {"owner": ALICE, "size": len(data), "etag": f"etag-{len(data)}", **fields}
        return self(c.PutObject(**self.stamp(), bucket=bucket, key=key, data=where, **fields))

    def delete(self, bucket: str, key: str, **fields: Any) -> Result:
        return self(c.DeleteObject(**self.stamp(), bucket=bucket, key=key, **fields))

    def create_upload(self, bucket: str, key: str, upload_id: str, **fields: Any) -> Result:
        fields = {"owner": ALICE, "initiator": ALICE, **fields}
        return self(c.CreateUpload(**self.stamp(), bucket=bucket, key=key, upload_id=upload_id, **fields))

    def register(self, bucket: str, key: str, upload_id: str, number: int, handle: str, **fields: Any) -> Result:
        fields = {"size": 5, "etag": "e", "stored_ms": 1_000_000, **fields}
        return self(
            c.RegisterPart(
                **self.stamp(), bucket=bucket, key=key, upload_id=upload_id, number=number, handle=handle, **fields
            )
        )

    def complete(
        self, bucket: str, key: str, upload_id: str, parts: dict[int, str], handle: str, **fields: Any
    ) -> Result:
        assembled = tuple(c.AssembledPart(number=number, handle=part) for number, part in parts.items())
        fields = {"parts": (), "size": 5, "etag": "multi-1", "stored_ms": 1_000_000, **fields}
        return self(
            c.CompleteUpload(
                **self.stamp(),
                bucket=bucket,
                key=key,
                upload_id=upload_id,
                assembled=assembled,
                handle=handle,
                **fields,
            )
        )

    def garbage(self) -> list[tuple[str, str | None]]:
        """(handle, token) of what may be removed."""
        return [(row[0], row[1]) for row in self.rows("SELECT handle, token FROM garbage ORDER BY garbage_id")]

    def rows(self, sql: str, *bindings: Any) -> list[tuple[Any, ...]]:
        with self.catalog.read() as reader:
            return list(reader.connection.execute(sql, bindings))


def content(connection: apsw.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    return {table: sorted(connection.execute(f'SELECT * FROM "{table}"'), key=repr) for table in tables}


@pytest.fixture(params=["memory", "file"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog(None if request.param == "memory" else tmp_path / "catalog.db")
    yield made
    made.close()


@pytest.fixture
def apply(catalog: Catalog) -> Applier:
    applier = Applier(catalog)
    applier.create_bucket("photos")
    return applier
