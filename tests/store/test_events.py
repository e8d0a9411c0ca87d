"""Events of each kind of store: whether bytes are stored here, or at a provider under a key of their own."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

import bleepstore
from bleepstore import CompletedPart, DeleteEntry, Store
from bleepstore.testing.events import CollectedEvents
from tests.events.tools import Destination, notify, queue

pytestmark = pytest.mark.stores("local", "providers")


def test_what_is_done_through_the_store_is_an_event(store: Store) -> None:
    store.create_bucket("photos")
    with CollectedEvents(store) as events:
        store.put_object("photos", "a", b"12")
        store.put_object("photos", "a", b"345")
        store.copy_object("photos", "a", "photos", "b")
        store.put_object_tags("photos", "a", {"k": "v"})
        store.delete_object_tags("photos", "a")
        upload = store.create_upload("photos", "c")
        part = store.put_part("photos", "c", upload.upload_id, 1, b"6")
        store.complete_upload("photos", "c", upload.upload_id, [CompletedPart(number=1, etag=part.etag)])
        store.delete_object("photos", "a")
        store.delete_objects("photos", [DeleteEntry(key="b")])
        assert events.names == [
            ("ObjectCreated:Put", "a"),
            ("ObjectCreated:Put", "a"),
            ("ObjectCreated:Copy", "b"),
            ("ObjectTagging:Put", "a"),
            ("ObjectTagging:Delete", "a"),
            ("ObjectCreated:CompleteMultipartUpload", "c"),
            ("ObjectRemoved:Delete", "a"),
            ("ObjectRemoved:Delete", "b"),
        ]
        assert [event.size for event in events][:3] == [2, 3, 3]
        assert {event.origin.principal for event in events} == {store.owner.id}


def test_what_is_only_read_or_refused_is_no_event(store: Store) -> None:
    store.create_bucket("photos")
    store.put_object("photos", "a", b"12")
    with CollectedEvents(store) as events:
        store.get_object("photos", "a").close()
        store.list_objects("photos")
        upload = store.create_upload("photos", "c")
        store.abort_upload("photos", "c", upload.upload_id)
        store.delete_object("photos", "none")
        assert events.names == []


def test_many_writers_and_a_bad_destination_keep_the_order_of_each_key() -> None:
    """The destination fails now and then, and takes a part of a batch: nothing is lost, and nothing passes another."""
    destination = Destination()
    with bleepstore.open(event_destinations={"orders": destination}) as store:
        store.create_bucket("photos")
        notify(store, queue("orders"))
        chance, send = random.Random(7), destination.send

        def send_badly(messages: Any) -> int:
            destination.takes = chance.randint(1, 7)
            destination.error = OSError("on purpose") if chance.random() < 0.2 else None
            return send(messages)

        destination.send = send_badly  # type: ignore[method-assign]  # as a broker in a bad hour

        def write(name: int) -> None:
            for number in range(40):
                store.put_object("photos", f"{number % 4}", f"{name}-{number}".encode())

        threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        while store.event_destinations()[0].waiting:
            store.jobs.run("events")
        for key in "0123":
            of_key = [record for record in destination.records if record["s3"]["object"]["key"] == key]
            sequencers = [record["s3"]["object"]["sequencer"] for record in of_key]
            assert len(set(sequencers)) == 40
            assert list(dict.fromkeys(sequencers)) == sorted(set(sequencers))
            assert of_key[-1]["s3"]["object"]["eTag"] == store.head_object("photos", key).version.etag
