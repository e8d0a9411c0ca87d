"""The rows of the outbox: equal commands leave equal rows, whoever listens."""

from __future__ import annotations

from bleepstore import commands as c
from bleepstore.catalog.records import RecordedEvent
from bleepstore.catalog.sqlite import Catalog
from bleepstore.configurations import ConfigurationKind
from bleepstore.events import EventRule, Origin
from bleepstore.model import BucketSetting, Versioning
from bleepstore.testing.catalog_commands import BOB, Commands
from bleepstore.testing.outbox_contract import watch


def history(commands: Commands) -> list[c.Command]:
    origin = Origin(principal="bob", request_id="r1", source_ip="192.0.2.1")
    return [
        commands.create_bucket(),
        commands.put("before", b"0"),
        watch(commands),
        commands.put("k", b"1", origin=origin),
        commands.put("k", b"22"),
        commands.versioning(Versioning.ENABLED),
        commands.put("k", b"333", owner=BOB),
        commands.delete("k"),
        c.DeleteObjects(
            **commands.stamp(),
            bucket="photos",
            entries=(c.DeleteEntry(key="k"), c.DeleteEntry(key="k", version_id="null")),
        ),
        commands.create_upload("m", "u1"),
        commands.part("m", "u1", 1, "h1"),
        commands.complete("m", "u1", {1: "h1"}, "h2"),
    ]


def rows(catalog: Catalog) -> list[tuple[object, ...]]:
    with catalog.read() as reader:
        return [
            tuple(row)
            for table in ("outbox", "outbox_end", "state")
            for row in reader.connection.execute(f"SELECT * FROM {table}").fetchall()
        ]


def test_equal_commands_leave_equal_rows_however_they_are_batched() -> None:
    one, other = Catalog(None), Catalog(None)
    heard: list[RecordedEvent] = []
    other.watch(heard.extend)
    other.watch_all(True)
    one.apply(history(Commands()))
    for command in history(Commands()):
        other.apply([command])
    assert rows(one) == rows(other)
    with one.read() as reader:
        waiting = reader.waiting_events("orders", 100)
    assert [(row.number, row.event.name, row.event.key) for row in waiting] == [
        (1, "ObjectCreated:Put", "k"),
        (2, "ObjectCreated:Put", "k"),
        (3, "ObjectCreated:Put", "k"),
        (4, "ObjectRemoved:DeleteMarkerCreated", "k"),
        (5, "ObjectRemoved:DeleteMarkerCreated", "k"),
        (6, "ObjectRemoved:Delete", "k"),
        (7, "ObjectCreated:CompleteMultipartUpload", "m"),
    ]
    assert waiting[0].event.origin.request_id == "r1"
    # Those that are not kept are heard, too.
    assert [one.event.key for one in heard] == ["before", *(row.event.key for row in waiting)]
    assert [one.destinations for one in heard] == [(), *[("orders",)] * 7]


def test_a_refused_command_is_no_event() -> None:
    catalog, commands = Catalog(None), Commands()
    catalog.apply([commands.create_bucket(), watch(commands)])
    heard: list[RecordedEvent] = []
    catalog.watch(heard.extend)
    catalog.apply([commands.delete("none"), commands.delete("k", version_id="null"), commands.abort("k", "u")])
    assert heard == []
    with catalog.read() as reader:
        assert [(one.destination, one.count) for one in reader.outbox()] == []


def test_a_bucket_without_rules_leaves_no_rows() -> None:
    catalog, commands = Catalog(None), Commands()
    catalog.apply([commands.create_bucket(), commands.put("k", b"1"), commands.delete("k")])
    assert rows(catalog)[:-1] == []


def test_rules_of_another_kind_of_configuration_stay() -> None:
    """Notifications and replication share the outbox, and each is configured for itself."""
    catalog, commands = Catalog(None), Commands()
    catalog.apply([commands.create_bucket(), watch(commands)])
    other = EventRule(source="replication", id="2", destination="copies", events=("*",))
    with catalog.transaction() as tables:
        bucket = tables.find_bucket("photos")
        assert bucket is not None
        tables.set_bucket_setting(bucket, BucketSetting("events", (*(bucket.settings.events or ()), other)))
    catalog.apply(
        [
            c.PutBucketConfiguration(
                **commands.stamp(), bucket="photos", kind=ConfigurationKind.NOTIFICATION, document=None
            ),
            commands.put("k", b""),
        ]
    )
    with catalog.read() as reader:
        assert [(one.destination, one.count) for one in reader.outbox()] == [("copies", 1)]
