"""How what a bucket is configured with is stored: one row for each field of `BucketSettings`.

From these rows come the documents that the catalog keeps, and the form of a setting in records. A new setting is a
field of `BucketSettings` and a row here: the command that changes it, the table and what copies a catalog are there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from bleepstore.attributes import dump, read_mapping, write_mapping
from bleepstore.model import NO_SETTINGS, BucketSetting, BucketSettings
from bleepstore.object_lock import DefaultRetention, ObjectLock, RetentionMode


@attrs.frozen
class SettingForm:
    """`to_json` and `from_json` give what a record, or as text a document of the catalog, holds of a value. Equal
    values give equal JSON."""

    to_json: Callable[[Any], Any]
    from_json: Callable[[Any], Any]


def _write_lock(lock: ObjectLock) -> dict[str, Any]:
    default = lock.default
    if default is None:
        return {}
    return {"mode": default.mode.value, "days": default.days, "years": default.years}


def _read_lock(record: Mapping[str, Any]) -> ObjectLock:
    if not record:
        return ObjectLock()
    return ObjectLock(DefaultRetention(RetentionMode(record["mode"]), days=record["days"], years=record["years"]))


SETTINGS: Mapping[str, SettingForm] = {
    "tags": SettingForm(write_mapping, read_mapping),
    "object_lock": SettingForm(_write_lock, _read_lock),
}


def document_of(setting: BucketSetting) -> str | None:
    """The value as the catalog keeps it; None: the bucket has none."""
    return None if setting.value is None else dump(SETTINGS[setting.name].to_json(setting.value))


def value_of(name: str, document: str) -> Any:
    """The value of the setting of this name that `document_of` wrote."""
    return SETTINGS[name].from_json(json.loads(document))


def from_documents(documents: Iterable[tuple[str, str]]) -> BucketSettings:
    """The settings whose names and documents these are."""
    given = {name: value_of(name, text) for name, text in documents}
    return BucketSettings(**given) if given else NO_SETTINGS
