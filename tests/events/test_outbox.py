"""Events are kept with the change, and come to their destinations in order, at least once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bleepstore
from bleepstore import ConfigurationKind, Store
from bleepstore.errors import InvalidArgument
from tests.events.tools import Destination, notify, queue


@pytest.fixture
def destination() -> Destination:
    return Destination()


@pytest.fixture(params=["memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path, destination: Destination) -> Iterator[Store]:
    path = tmp_path / "store" if request.param == "local" else None
    with bleepstore.open(path, event_destinations={"orders": destination}) as store:
        store.create_bucket("photos")
        yield store


@pytest.mark.parametrize("key_filter", [{"prefix": "in/", "suffix": ".jpg"}, {"Prefix": "in/", "Suffix": ".jpg"}])
def test_a_destination_gets_what_its_rule_asks_for(
    store: Store, destination: Destination, key_filter: dict[str, str]
) -> None:
    notify(store, queue("orders", "s3:ObjectCreated:Put", **key_filter))
    for key in ("in/a.jpg", "in/a.txt", "out/a.jpg"):
        store.put_object("photos", key, b"12345")
    store.copy_object("photos", "in/a.jpg", "photos", "in/b.jpg")
    store.delete_object("photos", "in/a.jpg")
    store.jobs.run("events")
    assert destination.seen == [("ObjectCreated:Put", "in/a.jpg")]


def test_a_destination_is_tried_when_it_is_named(store: Store, destination: Destination) -> None:
    notify(store, queue("orders"))
    (document,) = destination.documents
    assert document["Event"] == "s3:TestEvent"
    assert (document["Service"], document["Bucket"]) == ("Amazon S3", "photos")
    destination.error = OSError("it is down")
    with pytest.raises(InvalidArgument, match="Unable to validate the following destination configurations"):
        notify(store, queue("orders", suffix="x"))
    assert store.get_bucket_configuration("photos", ConfigurationKind.NOTIFICATION) == {
        "QueueConfigurations": [queue("orders")]
    }
    notify(store, queue("orders", suffix="x"), skip_destination_validation=True)


def test_a_destination_is_tried_once_however_many_rules_name_it(store: Store, destination: Destination) -> None:
    rules = [queue("orders", id=str(number), prefix=f"{number}/") for number in range(3)]
    for number, rule in enumerate(rules):
        rule["QueueArn"] = f"arn:aws:sqs:us-east-1:{number:012}:orders"
    notify(store, *rules)
    assert len(destination.documents) == 1
    destination.error = OSError("it is down")
    with pytest.raises(InvalidArgument) as refusal:
        notify(store, *rules)
    assert refusal.value.argument_value == ", ".join(rule["QueueArn"] for rule in rules)
    assert destination.calls == 2


def test_a_destination_that_is_not_known_is_refused_and_gets_nothing(store: Store) -> None:
    with pytest.raises(InvalidArgument, match="Unable to validate"):
        notify(store, queue("others"))
    notify(store, queue("others"), skip_destination_validation=True)
    store.put_object("photos", "k", b"")
    assert [(one.name, one.waiting) for one in store.event_destinations()] == [("orders", 0)]


def test_nothing_is_kept_once_the_configuration_is_gone(store: Store, destination: Destination) -> None:
    notify(store, queue("orders"))
    store.put_object("photos", "a", b"")
    store.put_bucket_configuration("photos", ConfigurationKind.NOTIFICATION, {})
    store.put_object("photos", "b", b"")
    store.jobs.run("events")
    assert destination.seen == [("ObjectCreated:Put", "a")]


def test_events_wait_for_a_destination_that_is_down(store: Store, destination: Destination) -> None:
    notify(store, queue("orders"))
    destination.error = OSError("it is down")
    for number in range(5):
        store.put_object("photos", "k", b"x" * number)
    store.jobs.run("events")
    (status,) = store.event_destinations()
    assert (status.waiting, status.error) == (5, "OSError: it is down")
    assert status.failures > 0
    assert status.oldest_ms is not None
    job = next(one for one in store.jobs.status() if one.name == "events")
    assert job.left == 5
    destination.error = None
    store.jobs.run("events")
    assert [record["s3"]["object"]["size"] for record in destination.records] == [0, 1, 2, 3, 4]
    (status,) = store.event_destinations()
    assert (status.waiting, status.failures, status.error, status.oldest_ms) == (0, 0, None, None)


def test_what_a_destination_does_not_take_of_a_batch_comes_again(store: Store, destination: Destination) -> None:
    notify(store, queue("orders"))
    destination.takes = 2
    destination.error = OSError("it is down")
    for number in range(5):
        store.put_object("photos", f"{number}", b"")
    destination.error = None
    store.jobs.run("events")
    assert [key for _, key in destination.seen] == ["0", "1", "2", "3", "4"]


def test_a_commit_wakes_the_delivery(store: Store, destination: Destination) -> None:
    notify(store, queue("orders"))
    store.jobs.run("events")
    with store.jobs.paused():  # it is not the job that finds it
        store.put_object("photos", "k", b"")
        destination.wait_for(lambda: destination.seen == [("ObjectCreated:Put", "k")])


def test_a_destination_that_is_down_holds_up_no_other(tmp_path: Path) -> None:
    down, up = Destination(), Destination()
    with bleepstore.open(event_destinations={"down": down, "up": up}) as store:
        store.create_bucket("photos")
        notify(store, queue("down", prefix="d"), queue("up", id="2", prefix="u"))
        down.error = OSError("it is down")
        store.put_object("photos", "d", b"")
        store.put_object("photos", "u", b"")
        store.jobs.run("events")
        assert up.seen == [("ObjectCreated:Put", "u")]
        assert [(one.name, one.waiting) for one in store.event_destinations()] == [("down", 1), ("up", 0)]


def test_what_waits_outlives_the_process(tmp_path: Path, destination: Destination) -> None:
    options: dict[str, Any] = {"event_destinations": {"orders": destination}}
    with bleepstore.open(tmp_path / "store", **options) as store:
        store.create_bucket("photos")
        notify(store, queue("orders"))
        destination.error = OSError("it is down")
        store.put_object("photos", "k", b"")
        store.jobs.run("events")
    with bleepstore.open(tmp_path / "store") as store:
        (status,) = store.event_destinations()
        assert (status.name, status.is_configured, status.waiting) == ("orders", False, 1)
    destination.error = None
    with bleepstore.open(tmp_path / "store", **options) as store:
        store.jobs.run("events")
    assert destination.seen == [("ObjectCreated:Put", "k")]


def test_too_many_waiting_events_drop_the_oldest(
    store: Store, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bleepstore.catalog.events.MAX_WAITING", 3)
    notify(store, queue("orders"))
    destination.error = OSError("it is down")
    for number in range(5):
        store.put_object("photos", f"{number}", b"")
    (status,) = store.event_destinations()
    assert (status.waiting, status.dropped) == (3, 2)
    destination.error = None
    store.jobs.run("events")
    assert [key for _, key in destination.seen] == ["2", "3", "4"]
