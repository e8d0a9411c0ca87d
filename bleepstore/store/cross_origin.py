"""The CORS rules of buckets."""

from __future__ import annotations

from collections.abc import Sequence

from bleepstore.access import Action, Caller
from bleepstore.cors import CorsRule, check_cors
from bleepstore.errors import NoSuchCors
from bleepstore.store.engine import Engine


class CrossOrigin:
    """Which pages of other origins may use a store's buckets. For `caller` see `Buckets`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put_bucket_cors(self, bucket: str, rules: Sequence[CorsRule], *, caller: Caller | None = None) -> None:
        """Replace the rules of a bucket, 1 to 100. Raises MalformedConfiguration, InvalidRequest."""
        found = self._engine.bucket_for(bucket, Action.PUT_BUCKET_CORS, caller)
        check_cors(rules)
        self._engine.put_setting(found, "cors", tuple(rules))

    def get_bucket_cors(self, bucket: str, *, caller: Caller | None = None) -> tuple[CorsRule, ...]:
        """Raises NoSuchCors if the bucket has none."""
        rules = self._engine.bucket_for(bucket, Action.GET_BUCKET_CORS, caller).settings.cors
        if rules is None:
            raise NoSuchCors(bucket)
        return rules

    def delete_bucket_cors(self, bucket: str, *, caller: Caller | None = None) -> None:
        """Remove all rules of a bucket."""
        self._engine.put_setting(self._engine.bucket_for(bucket, Action.PUT_BUCKET_CORS, caller), "cors", None)
