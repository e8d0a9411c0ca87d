"""Functions of the program that are called with events, and the fixture that collects them."""

from __future__ import annotations

import gc
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

import bleepstore
from bleepstore import DeleteEntry, Event, Store
from bleepstore.configurations.documents import EVENT
from bleepstore.errors import InvalidArgument
from bleepstore.testing.events import CollectedEvents

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def store() -> Iterator[Store]:
    with bleepstore.open() as store:
        store.create_bucket("photos")
        yield store


def test_a_function_is_called_without_any_configuration(store: Store) -> None:
    heard: list[Event] = []
    with store.on_event(heard.append):
        store.put_object("photos", "a", b"123")
        store.delete_objects("photos", [DeleteEntry(key="a"), DeleteEntry(key="b")])
        store.flush_events()
    assert [(event.name, event.key, event.size) for event in heard] == [
        ("ObjectCreated:Put", "a", 3),
        ("ObjectRemoved:Delete", "a", None),
    ]
    assert heard[0].sequencer < heard[1].sequencer
    assert heard[0].origin.principal == store.owner.id
    assert store.event_destinations() == ()


def test_a_function_is_called_with_what_it_asked_for(store: Store) -> None:
    store.create_bucket("other")
    heard: list[Event] = []
    store.on_event(heard.append, bucket="photos", events=["ObjectRemoved:*"], prefix="in/", suffix=".jpg")
    for bucket, key in (("photos", "in/a.jpg"), ("other", "in/a.jpg"), ("photos", "in/a"), ("photos", "a.jpg")):
        store.put_object(bucket, key, b"")
        store.delete_object(bucket, key)
    store.flush_events()
    assert [(event.name, event.bucket, event.key) for event in heard] == [
        ("ObjectRemoved:Delete", "photos", "in/a.jpg")
    ]


def test_a_function_is_not_called_once_it_is_closed(store: Store) -> None:
    heard: list[Event] = []
    subscription = store.on_event(heard.append)
    store.put_object("photos", "a", b"")
    subscription.close()
    store.put_object("photos", "b", b"")
    store.flush_events()
    assert [event.key for event in heard] == ["a"]
    subscription.close()
    with store.on_event(heard.append):
        store.put_object("photos", "c", b"")
        store.flush_events()
    assert [event.key for event in heard] == ["a", "c"]


def test_a_function_that_raises_is_logged_and_called_again(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def fail(event: Event) -> None:
        heard.append(event.key)
        raise ValueError("it cannot do that")

    subscription = store.on_event(fail)
    other: list[Event] = []
    store.on_event(other.append)
    with caplog.at_level(logging.ERROR, "bleepstore.events"):
        for key in "ab":
            store.put_object("photos", key, b"")
        store.flush_events()
    assert heard == ["a", "b"]
    assert [event.key for event in other] == ["a", "b"]
    assert subscription.failures == 2
    assert "it cannot do that" in caplog.text


def test_a_function_may_use_the_store(store: Store) -> None:
    done = threading.Event()

    def copy(event: Event) -> None:
        if event.key.startswith("in/"):
            store.copy_object("photos", event.key, "photos", event.key.replace("in/", "out/"))
        else:
            done.set()

    store.on_event(copy)
    store.put_object("photos", "in/a", b"1")
    assert done.wait(30)
    assert store.get_object("photos", "out/a").read() == b"1"


def test_a_function_that_is_too_slow_loses_the_oldest_events(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bleepstore.store.listening.MAX_WAITING", 2)
    is_called, may_go_on = threading.Event(), threading.Event()
    heard: list[str] = []

    def slow(event: Event) -> None:
        heard.append(event.key)
        is_called.set()
        assert may_go_on.wait(30)

    subscription = store.on_event(slow)
    store.put_object("photos", "0", b"")
    assert is_called.wait(30)
    for number in range(1, 6):
        store.put_object("photos", f"{number}", b"")
    may_go_on.set()
    store.flush_events()
    assert heard == ["0", "4", "5"]
    assert subscription.dropped == 3
    assert "events were dropped" in caplog.text


def test_the_order_of_events_is_that_of_the_commits(store: Store) -> None:
    """With many writers of one key: what was written last is what is there."""
    with CollectedEvents(store) as events:

        def write(name: int) -> None:
            for number in range(50):
                store.put_object("photos", "k", f"{name}-{number}".encode())

        threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(events) == 200
        sequencers = [event.sequencer for event in events]
        assert sequencers == sorted(set(sequencers))
        assert events[-1].etag == store.head_object("photos", "k").version.etag


def test_a_store_that_was_not_closed_ends_its_functions() -> None:
    store = bleepstore.open()
    store.create_bucket("photos")
    heard: list[Event] = []
    store.on_event(heard.append)
    store.put_object("photos", "a", b"")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del store
        gc.collect()
    assert [warning.category for warning in caught] == [ResourceWarning]
    assert [event.key for event in heard] == ["a"]


def test_names_are_a_sequence(store: Store) -> None:
    with pytest.raises(TypeError, match="a list of str"):
        store.on_event(print, events="ObjectCreated:*")


@pytest.mark.parametrize("name", ["Nope", "s3:ObjectCreated:*", "ObjectCreated", "Nope:*", ""])
def test_a_name_that_no_event_has_is_refused(store: Store, name: str) -> None:
    with pytest.raises(InvalidArgument, match='without "s3:"'):
        store.on_event(print, events=["ObjectRemoved:*", name])


def test_every_name_and_pattern_of_s3_may_be_asked_for(store: Store) -> None:
    for event in EVENT.choices:
        store.on_event(print, events=[event.removeprefix("s3:")]).close()


def test_the_fixture_collects_events(
    s3_store: Store, s3_client: S3Client, s3_bucket: str, s3_events: CollectedEvents
) -> None:
    s3_client.put_object(Bucket=s3_bucket, Key="a b", Body=b"123")
    s3_client.delete_object(Bucket=s3_bucket, Key="a b")
    assert s3_events.names == [("ObjectCreated:Put", "a b"), ("ObjectRemoved:Delete", "a b")]
    assert [record["s3"]["object"]["key"] for record in s3_events.records] == ["a+b", "a+b"]
    assert len(s3_events.wait(2)) == 2
    assert s3_events[0].bucket == s3_bucket
    assert [event.size for event in s3_events] == [3, None]
    with pytest.raises(TimeoutError, match="2 events came"):
        s3_events.wait(3, seconds=0.01)
    s3_events.clear()
    assert len(s3_events) == 0


def test_the_fixture_waits_for_another_thread(s3_store: Store, s3_bucket: str, s3_events: CollectedEvents) -> None:
    thread = threading.Thread(target=s3_store.put_object, args=(s3_bucket, "k", b""))
    thread.start()
    (event,) = s3_events.wait(1)
    assert event.key == "k"
    thread.join()
