"""Configurations that are stored, from Python: what is given comes back, wherever the store goes."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import bleepstore
from bleepstore import ConfigurationKind, Store
from bleepstore import configurations as cf
from bleepstore.errors import (
    InvalidArgument,
    MalformedConfiguration,
    NoSuchConfiguration,
    NoSuchReplication,
    NoSuchWebsite,
    TooManyConfigurations,
)

pytestmark = pytest.mark.stores("cluster")

K = ConfigurationKind
WEBSITE = {"IndexDocument": {"Suffix": "ü.html"}}
METRICS = {"Id": "one", "Filter": {"Prefix": "a/"}}


def test_what_a_bucket_without_any_has(store: Store) -> None:
    store.create_bucket("photos")
    found = [store.get_bucket_configuration("photos", kind) for kind in (K.ACCELERATE, K.LOGGING, K.NOTIFICATION)]
    assert found == [{}, {}, {}]
    assert store.get_bucket_configuration("photos", K.ABAC) == {"Status": "Disabled"}
    with pytest.raises(NoSuchWebsite):
        store.get_bucket_configuration("photos", K.WEBSITE)
    with pytest.raises(NoSuchReplication):
        store.get_bucket_configuration("photos", K.REPLICATION)
    with pytest.raises(NoSuchConfiguration):
        store.get_bucket_configuration("photos", K.METRICS, "one")
    assert store.get_bucket("photos").settings.configurations is None


def test_what_is_put_comes_back(store: Store) -> None:
    store.create_bucket("photos")
    assert store.put_bucket_configuration("photos", K.WEBSITE, WEBSITE) == WEBSITE
    store.put_bucket_configuration("photos", K.METRICS, METRICS)
    store.get_bucket_configuration("photos", K.WEBSITE)["IndexDocument"]["Suffix"] = "changed"
    assert store.get_bucket_configuration("photos", K.WEBSITE) == WEBSITE
    assert store.get_bucket_configuration("photos", K.METRICS, "one") == METRICS
    store.delete_bucket_configuration("photos", K.WEBSITE)
    assert store.get_bucket_configuration("photos", K.METRICS, "one") == METRICS
    store.delete_bucket_configuration("photos", K.METRICS, "one")
    with pytest.raises(NoSuchConfiguration):
        store.delete_bucket_configuration("photos", K.METRICS, "one")
    assert store.get_bucket("photos").settings.configurations is None


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ({"IndexDocument": "index.html"}, TypeError),
        ({"IndexDocument": {"Suffix": 3}}, TypeError),
        ({"RoutingRules": "none"}, TypeError),
        ({"Unknown": {}}, MalformedConfiguration),
        ({"IndexDocument": {"Suffix": "\ud800"}}, MalformedConfiguration),
        ("index.html", TypeError),
    ],
)
def test_what_is_no_document(store: Store, document: Any, error: type[Exception]) -> None:
    store.create_bucket("photos")
    with pytest.raises(error):
        store.put_bucket_configuration("photos", K.WEBSITE, document)
    with pytest.raises(NoSuchWebsite):
        store.get_bucket_configuration("photos", K.WEBSITE)


def test_ids_are_for_kinds_that_have_many(store: Store) -> None:
    store.create_bucket("photos")
    with pytest.raises(InvalidArgument):
        store.get_bucket_configuration("photos", K.WEBSITE, "one")
    with pytest.raises(InvalidArgument):
        store.delete_bucket_configuration("photos", K.METRICS)


def test_limits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bleepstore.catalog.configurations.MAX_CONFIGURATIONS", 2)
    monkeypatch.setattr("bleepstore.catalog.configurations.MAX_STORED", 300)
    store.create_bucket("photos")
    for id in ("one", "two", "two"):
        store.put_bucket_configuration("photos", K.METRICS, {"Id": id})
    with pytest.raises(TooManyConfigurations):
        store.put_bucket_configuration("photos", K.METRICS, {"Id": "three"})
    with pytest.raises(TooManyConfigurations):
        store.put_bucket_configuration("photos", K.METRICS, {"Id": "two", "Filter": {"Prefix": "x" * 300}})
    page = store.list_bucket_configurations("photos", K.METRICS, limit=1)
    assert (page.configurations, page.next_id) == ([{"Id": "one"}], "one")
    page = store.list_bucket_configurations("photos", K.METRICS, after="one")
    assert (page.configurations, page.next_id) == ([{"Id": "two"}], None)
    assert cf.MAX_STORED == 1024 * 1024


def test_writers_at_once_lose_nothing(store: Store) -> None:
    store.create_bucket("photos")

    def put(number: int) -> None:
        store.put_bucket_configuration("photos", K.METRICS, {"Id": str(number)})

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.list_bucket_configurations("photos", K.METRICS).configurations) == 8


def test_a_copy_of_the_store_has_them(tmp_path: Any) -> None:
    with bleepstore.open(tmp_path / "s") as store:
        store.create_bucket("photos")
        store.put_bucket_configuration("photos", K.WEBSITE, WEBSITE)
        snapshot = store.snapshot()
        with store.fork() as fork, fork.fork() as again:
            assert again.get_bucket_configuration("photos", K.WEBSITE) == WEBSITE
            again.delete_bucket_configuration("photos", K.WEBSITE)
            assert fork.get_bucket_configuration("photos", K.WEBSITE) == WEBSITE
        store.delete_bucket_configuration("photos", K.WEBSITE)
        store.restore(snapshot)
        assert store.get_bucket_configuration("photos", K.WEBSITE) == WEBSITE
    with bleepstore.open(tmp_path / "s") as store:
        assert store.get_bucket_configuration("photos", K.WEBSITE) == WEBSITE
