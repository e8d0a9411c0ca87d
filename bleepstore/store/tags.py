"""The tags of objects, of their versions, and of buckets."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from bleepstore.access import Action, Caller
from bleepstore.catalog.records import FoundObject
from bleepstore.commands import PutObjectTags, Result
from bleepstore.errors import NoSuchTagSet
from bleepstore.model import Bucket, ObjectVersion
from bleepstore.store.engine import Engine
from bleepstore.store.stored_objects import StoredObjects
from bleepstore.tags import check_bucket_tags, check_object_tags

_NONE: Mapping[str, str] = {}
_EVENTS = {
    Action.PUT_OBJECT_TAGGING: "ObjectTagging:Put",
    Action.DELETE_OBJECT_TAGGING: "ObjectTagging:Delete",
}


class Tags:
    """What objects and buckets are categorized by. For `caller` see `Buckets`.

    Tags are a mapping of keys to values, up to 10 of an object and 50 of a bucket, and are replaced as a whole. A
    change of an object's tags changes neither its ETag nor when it was modified.
    """

    def __init__(self, engine: Engine, stored: StoredObjects) -> None:
        self._engine = engine
        self._stored = stored

    def get_object_tags(
        self, bucket: str, key: str, *, version_id: str | None = None, caller: Caller | None = None
    ) -> Mapping[str, str]:
        return self.find_tagged(bucket, key, version_id, caller).tags

    def find_tagged(self, bucket: str, key: str, version_id: str | None, caller: Caller | None) -> ObjectVersion:
        """The version whose tags `caller` may read."""
        return self._stored.find(bucket, key, version_id, Action.GET_OBJECT_TAGGING, caller, data=False).version

    def put_object_tags(
        self,
        bucket: str,
        key: str,
        tags: Mapping[str, str],
        *,
        version_id: str | None = None,
        caller: Caller | None = None,
    ) -> ObjectVersion:
        """Replace the tags of an object. Raises InvalidTag, TooManyTags."""
        return self._put(bucket, key, tags, version_id, Action.PUT_OBJECT_TAGGING, caller)

    def delete_object_tags(
        self, bucket: str, key: str, *, version_id: str | None = None, caller: Caller | None = None
    ) -> ObjectVersion:
        """Remove all tags of an object."""
        return self._put(bucket, key, _NONE, version_id, Action.DELETE_OBJECT_TAGGING, caller)

    def _put(
        self,
        bucket: str,
        key: str,
        tags: Mapping[str, str],
        version_id: str | None,
        action: Action,
        caller: Caller | None,
    ) -> ObjectVersion:
        check_object_tags(tags)

        def submit(found: FoundObject, in_bucket: Bucket) -> Result:
            command = PutObjectTags(
                **self._engine.stamp(),
                bucket=bucket,
                bucket_id=in_bucket.id,
                key=key,
                version_id=version_id,
                expected_sequence=found.sequence,
                origin=self._engine.origin_of(caller, _EVENTS[action]),
                tags=tags,
            )
            return self._engine.object_engine.put_tags(command, found)

        found, _result = self._stored.change(bucket, key, version_id, action, caller, submit, tags=tags)
        return attrs.evolve(found.version, attributes=attrs.evolve(found.version.attributes, tags=tags))

    # -- of buckets

    def get_bucket_tags(self, bucket: str, *, caller: Caller | None = None) -> Mapping[str, str]:
        """Raises NoSuchTagSet if the bucket has none."""
        tags = self._engine.bucket_for(bucket, Action.GET_BUCKET_TAGGING, caller).settings.tags
        if tags is None:
            raise NoSuchTagSet(bucket)
        return tags

    def put_bucket_tags(self, bucket: str, tags: Mapping[str, str], *, caller: Caller | None = None) -> None:
        """Replace the tags of a bucket. Raises InvalidTag, TooManyTags."""
        check_bucket_tags(tags)
        self._set(bucket, tags or None, caller)

    def delete_bucket_tags(self, bucket: str, *, caller: Caller | None = None) -> None:
        """Remove all tags of a bucket."""
        self._set(bucket, None, caller)

    def _set(self, bucket: str, tags: Mapping[str, str] | None, caller: Caller | None) -> None:
        self._engine.put_setting(self._engine.bucket_for(bucket, Action.PUT_BUCKET_TAGGING, caller), "tags", tags)
