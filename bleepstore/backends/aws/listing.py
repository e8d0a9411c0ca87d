"""What is stored at the endpoint: buckets, blobs for the sweep, and objects to rebuild a catalog from."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import attrs

from bleepstore.backends.aws.client import AwsClient
from bleepstore.backends.aws.errors import ObjectRefused, ProviderNotFound, ProviderPreconditionFailed, status_of
from bleepstore.backends.aws.pins import (
    SYSTEM,
    Pin,
    bare,
    notes_of,
    to_ms,
    version_of,
)
from bleepstore.backends.base import FoundBlob
from bleepstore.backends.gateway.claims import Claims, ClaimVerbs
from bleepstore.backends.gateway.names import OWN, Address
from bleepstore.backends.gateway.settings import GatewaySettings
from bleepstore.errors import AccessDenied, ServiceUnavailable
from bleepstore.model import STANDARD
from bleepstore.threads import map_in_threads

_log = logging.getLogger("bleepstore.gateway")

#: So many objects that may not be read, and none before them that may, are believed to be all.
_REFUSED_AT_FIRST = 20
_S3_ETAG = re.compile("[0-9a-f]{32}(-[0-9]+)?")


_PAGE = 1000  # names of one request
#: So many objects, for each thread, are asked for their metadata before the next are: few at first, for it may be that
#: none can be read.
_FIRST_TURNS = 2
_TURNS = 16

#: What is known of a name that was listed.
_Described = FoundBlob | ObjectRefused | None


class AwsListing(ClaimVerbs, AwsClient):
    """Part of `AwsBackend`."""

    #: Whether tags are the provider's own, and not in our notes.
    keeps_tags: ClassVar[bool] = False

    def __init__(self, settings: GatewaySettings) -> None:
        super().__init__(settings)
        self._claims = Claims(
            settings, self._names, read=self._read_small, write=self._write_small, is_empty=self._is_empty
        )

    # -- what is stored

    def _list(self, folder: Address, after: str = "") -> Iterator[Mapping[str, Any]]:
        parameters: dict[str, Any] = {"Bucket": folder.container, "Prefix": folder.name, "MaxKeys": _PAGE}
        if after:
            parameters["StartAfter"] = after
        while True:
            page = self._call("list_objects_v2", **parameters)
            yield from page.get("Contents", [])
            if not page.get("IsTruncated"):
                return
            parameters["ContinuationToken"] = page["NextContinuationToken"]

    # -- what a catalog is rebuilt from

    def check(self) -> None:
        try:
            if self._settings.container is None:
                self._call("list_buckets")
            else:
                self._call("list_objects_v2", Bucket=self._settings.container, Prefix=self._settings.prefix, MaxKeys=1)
        except ProviderNotFound as missing:
            raise ServiceUnavailable(f"{self.url} does not exist: create the bucket first. ({missing})") from None

    def check_bucket(self, bucket: str) -> None:
        # The answer to HEAD does not say whether it is the object or the bucket that is missing.
        self._call("list_objects_v2", Bucket=self._names.container_of(bucket), MaxKeys=1)

    def _read_small(self, address: Address) -> bytes | None:
        def read() -> bytes:
            with contextlib.closing(
                self._client.get_object(Bucket=address.container, Key=address.name)["Body"]
            ) as body:
                found: bytes = body.read(4096)
                return found

        try:
            return self._retry.run(read)
        except ProviderNotFound:
            return None

    def _write_small(self, address: Address, body: bytes, overwrite: bool) -> bool:
        condition: dict[str, Any] = {} if overwrite else {"IfNoneMatch": "*"}
        try:
            self._call(
                "put_object",
                Bucket=address.container,
                Key=address.name,
                Body=body,
                ContentType="application/json",
                **condition,
            )
        except ProviderPreconditionFailed:
            return False
        return True

    def _is_empty(self, container: str) -> bool:
        return not self._call("list_objects_v2", Bucket=container, MaxKeys=1).get("KeyCount", 0)

    def buckets(self) -> Iterator[str]:
        if self._settings.container is None:
            for found in self._call("list_buckets").get("Buckets", []):
                if found["Name"].startswith(self._settings.prefix):
                    yield self._names.bucket_of_container(found["Name"])
            return
        prefix = self._settings.prefix
        parameters: dict[str, Any] = {"Bucket": self._settings.container, "Prefix": prefix, "Delimiter": "/"}
        while True:
            page = self._call("list_objects_v2", **parameters)
            for found in page.get("CommonPrefixes", []):
                name = found["Prefix"].removeprefix(prefix)
                if name != OWN:
                    yield name.removesuffix("/")
            if not page.get("IsTruncated"):
                return
            parameters["ContinuationToken"] = page["NextContinuationToken"]

    def iter_found(self, bucket: str, after: str = "") -> Iterator[tuple[str, FoundBlob | None]]:
        items = self._list(self._naming.folder_of(bucket), after)
        refused: list[ObjectRefused] = []  # as long as none is readable
        is_one_readable = after != ""
        for name, found in self._describe(bucket, items):
            if isinstance(found, ObjectRefused):
                _log.warning("an object is skipped: %s", found.reason)
                if not is_one_readable and status_of(found.__cause__) != 400:
                    refused.append(found)
                if len(refused) >= _REFUSED_AT_FIRST:
                    break
                yield name, None
            else:
                is_one_readable = is_one_readable or found is not None
                yield name, found
        if refused and not is_one_readable:
            raise refused[0]  # these are credentials that may list and not read

    def names(self, bucket: str, after: str = "") -> Iterator[str]:
        for item in self._list(self._naming.folder_of(bucket), after):
            yield item["Key"]

    def _describe(self, bucket: str, items: Iterator[Mapping[str, Any]]) -> Iterator[tuple[str, _Described]]:
        """(name, blob) of listed names, each asked for its metadata, several at once."""
        container = self._names.container_of(bucket)

        def describe(name: str) -> _Described:
            if not self._naming.is_object(bucket, name):
                return None
            try:
                head = self._head(Bucket=container, Key=name)
            except ProviderNotFound:
                return None
            except ObjectRefused as refused:
                return refused
            return self._found(bucket, Address(container, name), head, None)

        names = (item["Key"] for item in items)
        threads = self._settings.connections
        turns = _FIRST_TURNS
        while some := list(itertools.islice(names, turns * threads)):
            yield from zip(some, map_in_threads(describe, some, threads), strict=True)
            turns = _TURNS

    def _found(self, bucket: str, address: Address, head: Mapping[str, Any], key: str | None) -> FoundBlob | None:
        notes = notes_of(head, head["ContentLength"])
        is_native = self._naming.is_native(bucket, address.name)
        if key is None:
            key = address.name.removeprefix(self._names.root_of(bucket)) if is_native else notes.key
        if key is None:
            return None
        etag = bare(head["ETag"])
        shown = notes.etag or etag
        if not _S3_ETAG.fullmatch(shown):
            shown = hashlib.md5(etag.encode(), usedforsecurity=False).hexdigest() + "-1"
        system = {name: head[parameter] for name, parameter in SYSTEM.items() if head.get(parameter)}
        if head.get("ExpiresString"):
            system["expires"] = head["ExpiresString"]
        pin = Pin(address.container, address.name, etag, notes.write or "", version_of(head))
        return FoundBlob(
            bucket=bucket,
            key=key,
            name=address.name,
            handle=pin.handle,
            size=head["ContentLength"],
            etag=shown,
            stored_ms=to_ms(head["LastModified"]),
            attributes=attrs.evolve(
                notes.attributes(system, head.get("StorageClass", STANDARD)),
                tags=self._tags_of(pin) if self.keeps_tags and head.get("TagCount") else notes.tags,
            ),
            native=is_native,
            keeps_versions=notes.keeps_versions,
        )

    def _tags_of(self, pin: Pin) -> dict[str, str]:
        try:
            answer = self._call("get_object_tagging", **pin.address)
        except (ProviderNotFound, AccessDenied):  # it is gone; or these credentials may not read tags
            return {}
        return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}
