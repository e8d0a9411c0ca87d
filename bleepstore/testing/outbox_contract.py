"""What a catalog must do with events: a part of `bleepstore.testing.catalog_contract`."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from bleepstore import commands as c
from bleepstore.catalog.apply import apply
from bleepstore.catalog.port import CatalogPort
from bleepstore.catalog.records import RecordedEvent
from bleepstore.configurations import ConfigurationKind
from bleepstore.events import EventRule
from bleepstore.testing.catalog_commands import Commands


def watch(commands: Commands, *events: str, destination: str = "orders") -> c.Command:
    """Have events of the bucket `photos` kept: all, if none is named."""
    rule = EventRule(source="notification", id="r", destination=destination, events=events or ("*",))
    return c.PutBucketConfiguration(
        **commands.stamp(), bucket="photos", kind=ConfigurationKind.NOTIFICATION, document="{}", rules=(rule,)
    )


class OutboxContract:
    """See `CatalogContract`."""

    def test_events_wait_in_the_order_of_their_numbers(
        self, make: Callable[[], CatalogPort], commands: Commands
    ) -> None:
        catalog = make()
        catalog.apply([commands.create_bucket(), watch(commands), *(commands.put(f"{n}", b"x") for n in range(3))])
        with catalog.read() as reader:
            waiting = reader.waiting_events("orders", 2)
            (end,) = reader.outbox()
        assert [(one.number, one.rule_id, one.event.key) for one in waiting] == [(1, "r", "0"), (2, "r", "1")]
        assert (end.destination, end.count, end.oldest_ms, end.dropped) == ("orders", 3, waiting[0].event.time_ms, 0)

    def test_what_was_taken_is_forgotten_up_to_its_number(
        self, make: Callable[[], CatalogPort], commands: Commands
    ) -> None:
        catalog = make()
        catalog.apply([commands.create_bucket(), watch(commands), *(commands.put(f"{n}", b"") for n in range(5))])
        catalog.apply([c.ForgetEvents(**commands.stamp(), destination="orders", through=3)])
        with catalog.read() as reader:
            assert [one.number for one in reader.waiting_events("orders", 10)] == [4, 5]
            (end,) = reader.outbox()
        assert (end.count, end.dropped) == (2, 0)
        catalog.apply([c.ForgetEvents(**commands.stamp(), destination="orders", through=5), commands.put("k", b"")])
        with catalog.read() as reader:
            assert [one.number for one in reader.waiting_events("orders", 10)] == [6]

    def test_of_too_many_events_the_oldest_are_dropped_and_counted(
        self, make: Callable[[], CatalogPort], commands: Commands
    ) -> None:
        catalog = make()
        catalog.apply([commands.create_bucket(), watch(commands), *(commands.put(f"{n}", b"") for n in range(2))])
        with catalog.read() as reader:
            event = reader.waiting_events("orders", 1)[0].event
        with catalog.transaction() as tables:
            tables.add_event(event, [("orders", "r"), ("others", "r")], 2)
        with catalog.read() as reader:
            assert [one.number for one in reader.waiting_events("orders", 10)] == [2, 3]
            ends = [(one.destination, one.count, one.dropped) for one in reader.outbox()]
        assert ends == [("orders", 2, 1), ("others", 1, 0)]

    def test_of_too_many_events_those_of_the_account_that_has_most_are_dropped(
        self, make: Callable[[], CatalogPort], commands: Commands
    ) -> None:
        catalog = make()
        catalog.apply([commands.create_bucket(), watch(commands), commands.put("k", b"")])
        with catalog.read() as reader:
            event = reader.waiting_events("orders", 1)[0].event
        with catalog.transaction() as tables:
            for number in range(6):
                flood = attrs.evolve(event, key=f"flood {number}", owner_id="mallory-id")
                tables.add_event(flood, [("orders", "r")], 4)
        with catalog.read() as reader:
            assert [one.event.key for one in reader.waiting_events("orders", 9)] == [
                "k",
                *("flood 3", "flood 4", "flood 5"),
            ]
            (end,) = reader.outbox()
        assert (end.count, end.dropped, end.oldest_ms) == (4, 3, event.time_ms)
        catalog.apply([c.ForgetEvents(**commands.stamp(), destination="orders", through=6)])
        with catalog.transaction() as tables:
            for account in ("a", "b", "b"):
                tables.add_event(attrs.evolve(event, key=account, owner_id=account), [("orders", "r")], 4)
        with catalog.read() as reader:
            assert [one.event.key for one in reader.waiting_events("orders", 9)] == ["flood 5", "a", "b", "b"]
            assert [one.count for one in reader.outbox()] == [4]

    def test_a_listener_is_told_of_what_was_committed(
        self, make: Callable[[], CatalogPort], commands: Commands
    ) -> None:
        catalog = make()
        heard: list[RecordedEvent] = []
        catalog.watch(heard.extend)
        catalog.apply([commands.create_bucket(), commands.put("before", b"")])
        catalog.watch_all(True)
        assert catalog.watches_all
        catalog.apply([commands.put("a", b""), commands.delete("none"), watch(commands), commands.put("b", b"")])
        try:
            with catalog.transaction() as tables:
                apply(tables, commands.put("undone", b""))
                raise KeyError("on purpose")
        except KeyError:
            pass
        catalog.watch_all(False)
        catalog.apply([commands.put("c", b"")])
        assert [(one.event.key, one.destinations) for one in heard] == [
            ("a", ()),
            ("b", ("orders",)),
            ("c", ("orders",)),
        ]
        sequencers = [one.event.sequencer for one in heard]
        assert sequencers == sorted(set(sequencers))
