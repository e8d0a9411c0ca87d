"""The lifecycles of buckets: their rules. The job "lifecycle" does what they say."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from bleepstore.access import Action, Caller
from bleepstore.errors import NoSuchLifecycle, NotSupported
from bleepstore.lifecycle import Lifecycle, LifecycleRule, TransitionMinimum, check_lifecycle
from bleepstore.store.engine import Engine

_ID_BYTES = 36  # 48 characters, as S3's own


class Lifecycles:
    """The lifecycle rules of a store's buckets. For `caller` see `Buckets`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put_bucket_lifecycle(
        self,
        bucket: str,
        rules: Sequence[LifecycleRule],
        *,
        transition_minimum: TransitionMinimum = TransitionMinimum.ALL_STORAGE_CLASSES_128K,
        caller: Caller | None = None,
    ) -> Lifecycle:
        """Replace the rules of a bucket, 1 to 1,000, by which objects, older versions and uploads end, and change their
        storage class, at their age. A rule without an id gets one; the rules as they are stored are returned.

        The rules are applied once a day, at midnight (UTC), and within the hour when they are replaced; to have it done
        now, `store.jobs.run("lifecycle")`. Raises MalformedLifecycle, InvalidArgument, InvalidRequest, InvalidTag;
        NotSupported for a change of the storage class where objects are stored under their keys at a provider.
        """
        found = self._engine.bucket_for(bucket, Action.PUT_LIFECYCLE_CONFIGURATION, caller)
        lifecycle = Lifecycle(rules=tuple(rules), transition_minimum=transition_minimum)
        check_lifecycle(lifecycle)
        if any(rule.has_transitions for rule in lifecycle.rules) and not self._engine.object_engine.keeps_versions:
            raise NotSupported(
                "A store in layout 'keys' leaves the storage classes of its objects to its provider. "
                "Transitions need a store in layout 'blobs'."
            )
        named = tuple(
            rule if rule.id else attrs.evolve(rule, id=self._engine.new_name(_ID_BYTES)) for rule in lifecycle.rules
        )
        lifecycle = attrs.evolve(lifecycle, rules=named)
        self._engine.put_setting(found, "lifecycle", lifecycle)
        return lifecycle

    def get_bucket_lifecycle(self, bucket: str, *, caller: Caller | None = None) -> Lifecycle:
        """Raises NoSuchLifecycle if the bucket has none."""
        lifecycle = self._engine.bucket_for(bucket, Action.GET_LIFECYCLE_CONFIGURATION, caller).settings.lifecycle
        if lifecycle is None:
            raise NoSuchLifecycle(bucket)
        return lifecycle

    def delete_bucket_lifecycle(self, bucket: str, *, caller: Caller | None = None) -> None:
        """Remove all rules of a bucket: nothing of it expires any more."""
        found = self._engine.bucket_for(bucket, Action.PUT_LIFECYCLE_CONFIGURATION, caller)
        self._engine.put_setting(found, "lifecycle", None)
