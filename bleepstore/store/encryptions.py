"""By whose key objects are encrypted: where their writer does not say it, and after they were written."""

from __future__ import annotations

import attrs

from bleepstore.access import Action, Caller
from bleepstore.catalog.records import FoundObject
from bleepstore.commands import PutBucketSetting, PutObjectEncryption, Result
from bleepstore.encryption import BucketEncryption, Encryption, EncryptionKind, NamedKey
from bleepstore.errors import InvalidRequest, NoSuchBucketEncryption
from bleepstore.model import Bucket, BucketSetting, ObjectVersion
from bleepstore.store.engine import Engine
from bleepstore.store.stored_objects import StoredObjects

#: Amazon's words, which programs look for.
_UNENCRYPTED = (
    "The UpdateObjectEncryption operation doesn't supported unencrypted source objects. "
    "Only source objects encrypted with SSE-S3 or SSE-KMS are supported."
)
_OF_CUSTOMER = (
    "The UpdateObjectEncryption operation doesn't support source objects with the encryption type DSSE-KMS or SSE-C. "
    "Only source objects encrypted with SSE-S3 or SSE-KMS are supported."
)


class Encryptions:
    """The default encryption of a store's buckets, and that of objects that are stored. For `caller` see `Buckets`."""

    def __init__(self, engine: Engine, stored: StoredObjects) -> None:
        self._engine = engine
        self._stored = stored

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

    # -- of objects

    def update_object_encryption(
        self,
        bucket: str,
        key: str,
        encryption: NamedKey,
        *,
        version_id: str | None = None,
        caller: Caller | None = None,
    ) -> ObjectVersion:
        """Have an encrypted object, or a version of it, be encrypted by another named key. Only its data key is
        encrypted anew: bytes, ETag, checksums and times stay as they are, and what is archived is not restored.

        Raises InvalidRequest for what is not encrypted, or with a key of a caller's; AccessDenied while object lock
        protects the version; EncryptionKeyNotFound.
        """
        made: Encryption | None = None

        def submit(found: FoundObject, in_bucket: Bucket) -> Result:
            nonlocal made
            old = found.version.encryption
            if old is None:
                raise InvalidRequest(_UNENCRYPTED)
            if old.kind is EncryptionKind.CUSTOMER:
                raise InvalidRequest(_OF_CUSTOMER)
            made = self._engine.encrypting.rewrap(old, encryption, in_bucket.name, key)
            command = PutObjectEncryption(
                **self._engine.stamp(),
                bucket=bucket,
                bucket_id=in_bucket.id,
                key=key,
                version_id=version_id,
                expected_sequence=found.sequence,
                expected_wrapped_key=old.wrapped_key,
                encryption=made,
            )
            return self._engine.committer.submit(command)

        action = Action.UPDATE_OBJECT_ENCRYPTION
        found, _result = self._stored.change(bucket, key, version_id, action, caller, submit, encryption=encryption)
        return attrs.evolve(found.version, attributes=attrs.evolve(found.version.attributes, encryption=made))
