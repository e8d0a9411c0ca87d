"""What goes with an object is declared once: columns and records follow from that."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import attrs
import pytest
import yaml

import bleepstore
from bleepstore import codec
from bleepstore.attributes import ATTRIBUTES, COLUMNS
from bleepstore.catalog.sqlite import Catalog
from bleepstore.catalog.sqlite.rows import columns_of, from_columns
from bleepstore.commands import PutObject
from bleepstore.lifecycle import Expiration, LifecycleFilter, LifecycleRule
from bleepstore.model import (
    NO_ATTRIBUTES,
    Grant,
    Group,
    Inline,
    ObjectAttributes,
    Owner,
    Permission,
    Restoration,
    SystemMetadata,
)
from bleepstore.object_lock import Retention, RetentionMode
from tests.library.samples import ACL, ENCRYPTION, REPLICATION, SYSTEM

FULL = ObjectAttributes(
    system=SYSTEM,
    metadata={"b": "2", "a": "ü"},
    storage_class="GLACIER",
    grants=ACL.grants,
    tags={"d": "4", "c": "ü"},
    restoration=Restoration(1, 2),
    retention=Retention(RetentionMode.GOVERNANCE, 3),
    legal_hold=True,
    encryption=ENCRYPTION,
    replication=REPLICATION,
)


def test_every_field_has_a_row_and_what_is_absent_is_the_default() -> None:
    assert tuple(field.name for field in attrs.fields(ObjectAttributes)) == COLUMNS
    for attribute in ATTRIBUTES:
        assert attribute.from_json(attribute.absent) == getattr(NO_ATTRIBUTES, attribute.name)
        assert getattr(FULL, attribute.name) != getattr(NO_ATTRIBUTES, attribute.name), (
            "the sample says something of it"
        )


@pytest.mark.parametrize("table", ["object_version", "upload"])
def test_both_tables_have_a_column_for_each(table: str, tmp_path: Path) -> None:
    Catalog(tmp_path / "catalog.db").close()
    connection = apsw.Connection(str(tmp_path / "catalog.db"))
    columns = {row[1]: (row[2], row[3]) for row in connection.execute(f"PRAGMA table_info({table})")}
    connection.close()
    for name in COLUMNS:
        assert columns[name] == ("TEXT", 0), "text, and NULL for what is absent"


def test_columns_give_back_what_was_stored() -> None:
    assert from_columns(tuple(columns_of(FULL))) == FULL
    assert columns_of(NO_ATTRIBUTES) == [None] * len(COLUMNS)
    assert columns_of(ObjectAttributes(system=SystemMetadata(), metadata={})) == [None] * len(COLUMNS)
    assert from_columns((None,) * len(COLUMNS)) is NO_ATTRIBUTES


def test_equal_columns_give_one_instance_unless_they_hold_a_mapping() -> None:
    plain = columns_of(ObjectAttributes(system=SystemMetadata(content_type="text/plain")))
    assert from_columns(tuple(plain)) is from_columns(tuple(plain))
    for given in (ObjectAttributes(metadata={"a": "b"}), ObjectAttributes(tags={"a": "b"})):
        columns = tuple(columns_of(given))
        assert from_columns(columns) is not from_columns(columns), "few objects have the same"


CHANGES: dict[str, Callable[[Any], object]] = {
    "set": lambda texts: texts.__setitem__("a", "c"),
    "delete": lambda texts: texts.__delitem__("a"),
    "update": lambda texts: texts.update(a="c"),
    "|=": lambda texts: texts.__ior__({"a": "c"}),
    "setdefault": lambda texts: texts.setdefault("x", "c"),
    "pop": lambda texts: texts.pop("a", None),
    "popitem": lambda texts: texts.popitem(),
    "clear": lambda texts: texts.clear(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_a_store_returned_cannot_be_changed(change: Callable[[Any], object]) -> None:
    """Other results have the same mapping, and so do buckets that are remembered."""
    tags = {"a": "b"}
    with bleepstore.open() as store:
        store.create_bucket("photos")
        store.put_bucket_tags("photos", tags)
        rule = LifecycleRule(filter=LifecycleFilter(tags=tags), expiration=Expiration(days=1))
        store.put_bucket_lifecycle("photos", [rule])
        store.put_object("photos", "plain", b"")
        written = store.put_object("photos", "full", b"", metadata=tags, tags=tags).attributes
        for _ in range(2):  # what the first look found is kept for the second
            plain, full = (store.head_object("photos", key).version.attributes for key in ("plain", "full"))
            (found,) = store.get_bucket_lifecycle("photos").rules
            mappings = [full.metadata, full.tags, store.get_bucket_tags("photos"), found.filter.tags]
            mappings += [written.metadata, written.tags]
            for mapping in (plain.metadata, plain.tags, NO_ATTRIBUTES.metadata, *mappings):
                with pytest.raises(TypeError, match="change a copy"):
                    change(mapping)
            assert plain.metadata == plain.tags == {}
            assert mappings == [tags] * 6


def test_what_a_store_returned_is_written_as_json_and_pickled_as_a_dict_is() -> None:
    read = from_columns(tuple(columns_of(FULL)))
    assert json.loads(json.dumps(read.metadata)) == read.metadata == FULL.metadata
    for copied in (pickle.loads(pickle.dumps(read)), copy.deepcopy(read), copy.copy(read)):
        assert copied == read
    assert attrs.asdict(read)["tags"] == read.tags == FULL.tags


def test_a_copy_of_what_a_store_returned_can_be_changed() -> None:
    read = from_columns(tuple(columns_of(FULL)))
    texts = read.metadata
    copies: list[Any] = [dict(texts), {**texts}, copy.copy(texts), copy.deepcopy(texts), copy.deepcopy(read).metadata]
    copies += [attrs.asdict(read)["metadata"], attrs.evolve(read, metadata=dict(texts)).metadata]
    for mine in copies:
        assert mine == texts
        mine["b"] = "3"
        assert texts == FULL.metadata != mine


def test_what_a_store_returned_is_written_as_yaml() -> None:
    """(`safe_dump` itself knows neither a dict's subclasses nor enums.)"""
    with bleepstore.open() as store:
        store.create_bucket("photos")
        version = store.put_object("photos", "k", b"", metadata={"a": "b"}, tags={"c": "d"})
    assert yaml.safe_load(yaml.safe_dump(dict(version.metadata))) == {"a": "b"}
    whole = json.loads(json.dumps(attrs.asdict(version)))
    assert yaml.safe_load(yaml.safe_dump(whole)) == whole
    assert (whole["key"], whole["attributes"]["tags"]) == ("k", {"c": "d"})


@pytest.mark.parametrize(
    "attributes",
    [
        ObjectAttributes(grants=()),
        ObjectAttributes(metadata={"empty": ""}),
        ObjectAttributes(grants=(Grant("AllUsers", Permission.READ), Grant(Group.ALL_USERS, Permission.READ))),
    ],
)
def test_what_says_little_is_not_what_is_absent(attributes: ObjectAttributes) -> None:
    columns = columns_of(attributes)
    assert columns != [None] * len(COLUMNS)
    assert from_columns(tuple(columns)) == attributes


def test_equal_attributes_are_stored_as_equal_text() -> None:
    other = attrs.evolve(FULL, metadata={"a": "ü", "b": "2"})
    assert columns_of(other) == columns_of(FULL)
    assert json.loads(columns_of(FULL)[COLUMNS.index("metadata")] or "") == {"a": "ü", "b": "2"}


WRONG: dict[str, list[object]] = {
    "system": [5, [], {"content_type": 5}, {"content_type": None}, {"colour": "red"}],
    "metadata": [5, [["a", "b"]], {"a": 5}, {"a": None}],
    "storage_class": [5, None, ["STANDARD"]],
    "grants": [
        5,
        "x",
        {},
        [[1, "alice", "READ"]],
        [[False, 5, "READ"]],
        [[False, "alice", 5]],
        [[True, "alice", "READ"]],
    ],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_stored_attributes_of_a_wrong_type_are_an_error(name: str, value: object) -> None:
    """A damaged catalog or log must not give an object that breaks what reads it, or something that is not its own."""
    attribute = next(one for one in ATTRIBUTES if one.name == name)
    with pytest.raises((ValueError, TypeError)):
        attribute.from_json(value)
    command = PutObject(
        request_id="r", time_ms=1, bucket="photos", key="k", owner=Owner("a", "A"), size=0, etag="e", data=Inline(b"")
    )
    text, newline, raw = codec.encode_command(command).partition(b"\n")
    record = json.loads(text)
    record["attributes"][name] = value
    with pytest.raises(codec.MalformedRecord):
        codec.decode_command(json.dumps(record).encode() + newline + raw)
