"""By whose key objects of a bucket are encrypted whose writer does not say it."""

from __future__ import annotations

from bleepstore.access import Action, Caller
from bleepstore.commands import PutBucketSetting
from bleepstore.encryption import BucketEncryption
from bleepstore.errors import NoSuchBucketEncryption
from bleepstore.model import BucketSetting
from bleepstore.store.engine import Engine


class BucketEncryptions:
    """The default encryption of a store's buckets. For `caller` see `Buckets`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put_bucket_encryption(self, bucket: str, encryption: BucketEncryption, *, caller: Caller | None = None) -> None:
        """Encrypt what is written into a bucket from now on, if its writer does not say how. What is there already
        stays as it is. Raises NotSupported where nothing can be encrypted."""
        found = self._engine.bucket_for(bucket, Action.PUT_ENCRYPTION_CONFIGURATION, caller)
        self._engine.encrypting.check()
        self._set(bucket, found.id, encryption)

    def get_bucket_encryption(self, bucket: str, *, caller: Caller | None = None) -> BucketEncryption:
        """Raises NoSuchBucketEncryption if the bucket has none."""
        found = self._engine.bucket_for(bucket, Action.GET_ENCRYPTION_CONFIGURATION, caller).settings.encryption
        if found is None:
            raise NoSuchBucketEncryption(bucket)
        return found

    def delete_bucket_encryption(self, bucket: str, *, caller: Caller | None = None) -> None:
        """From now on only what asks for it is encrypted."""
        found = self._engine.bucket_for(bucket, Action.PUT_ENCRYPTION_CONFIGURATION, caller)
        self._set(bucket, found.id, None)

    def _set(self, bucket: str, bucket_id: int, encryption: BucketEncryption | None) -> None:
        setting = BucketSetting("encryption", encryption)
        stamp = self._engine.stamp()
        self._engine.submit(PutBucketSetting(**stamp, bucket=bucket, bucket_id=bucket_id, setting=setting))
