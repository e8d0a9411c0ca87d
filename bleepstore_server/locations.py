"""Where objects can be brought from and to: a directory, and a bucket of a store or of any S3 endpoint.

`bleepstore_server.version_folder` has the directory that keeps versions.

Keys are relative to a location. Listings come in the order of the keys' UTF-8 bytes, which is S3's, so that two
locations are compared in bounded memory.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import itertools
import mimetypes
import operator
import os
import re
import secrets
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import attrs
from defusedxml.ElementTree import fromstring

from bleepstore.backends.base import CHUNK
from bleepstore.cleanup import on_error
from bleepstore.digests import Algorithm, Hasher, PartsEtag, encode_value, new_hasher
from bleepstore.errors import StoreError

if TYPE_CHECKING:
    from botocore.awsrequest import AWSResponse
    from mypy_boto3_s3 import S3Client

#: Bytes of a part where the source has no better one, and the most of one that is held in memory.
PART = 16 * 1024 * 1024
MAX_PART = 64 * 1024 * 1024
#: What CopyObject copies at the most.
MAX_COPIED = 5 * 1024**3
_MIN_PART = 5 * 1024 * 1024
_MAX_PARTS = 10_000
_PLAIN_ETAG = re.compile("[0-9a-f]{32}")
_PARTS_ETAG = re.compile(r"[0-9a-f]{32}-\d+")
PARTIAL = ".bleepstore-partial"
#: What is copied with the bytes, by the parameters of PutObject, which GetObject answers by the same names.
COPIED = ("ContentType", "ContentEncoding", "ContentLanguage", "ContentDisposition", "CacheControl", "Metadata")
#: What locks a version, by the same names.
LOCKS = ("ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus")
_CHECKSUMS = ("ChecksumCRC64NVME", "ChecksumCRC32C", "ChecksumCRC32", "ChecksumSHA256", "ChecksumSHA1")


class NotTransferred(StoreError):
    """One object could not be brought over; the others were tried."""


@attrs.frozen
class LocationEntry:
    """What a listing says of an object, or of a version of one. A file has no ETag until it is read."""

    key: str
    size: int
    etag: str | None = None
    version_id: str | None = None
    is_delete_marker: bool = False


class Location(Protocol):
    """What objects and versions have in common."""

    def open(self, entry: LocationEntry) -> contextlib.AbstractContextManager[VerifiedBody]:
        """The bytes of an object as it was listed."""

    def put(self, key: str, body: VerifiedBody) -> None:
        """Store an object, whole and verified or not at all."""

    def remove(self, entry: LocationEntry) -> None:
        """Remove an object as it was listed; a version that is named for good. Raises NotTransferred for an object
        that was overwritten since, where that can be known."""

    def part_size(self, entry: LocationEntry) -> int | None:
        """The size of all parts but the last, if this is a multipart object whose ETag tells its bytes."""


@attrs.frozen
class History:
    """All versions and delete markers of a key, the oldest first."""

    key: str
    versions: tuple[LocationEntry, ...]


class ObjectLocation(Location, Protocol):
    def entries(self) -> Iterator[LocationEntry]:
        """All objects, in the order of their keys."""


class VersionLocation(Location, Protocol):
    """One that keeps versions: `put` adds the latest one of its key."""

    def histories(self) -> Iterator[History]:
        """All keys, in their order."""

    def put_delete_marker(self, key: str) -> None: ...


class VerifiedBody:
    """The bytes of one object on their way. `check` says at their end whether they are those that the source has."""

    def __init__(
        self,
        file: Any,
        size: int,
        *,
        etag: str | None = None,
        part_size: int | None = None,
        crc64: str | None = None,
        described: Mapping[str, Any],
    ) -> None:
        self._file = file
        self.size = size
        self.described = described
        self.part_size = part_size
        #: Called with the number of bytes of each read.
        self.count: Callable[[int], None] = lambda _: None
        self.etag = etag
        self.crc64 = crc64
        self._done = 0
        self._digest: Hasher | PartsEtag | None = None
        if etag is not None and _PLAIN_ETAG.fullmatch(etag):
            self._digest = hashlib.md5(usedforsecurity=False)
        elif crc64 is not None:
            self._digest = new_hasher(Algorithm.CRC64NVME)
        elif part_size is not None:
            self._digest = PartsEtag(itertools.repeat(part_size))

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes unless they end before."""
        pieces = []
        while size and (piece := self._file.read(min(size, CHUNK))):
            if self._digest is not None:
                self._digest.update(piece)
            self._done += len(piece)
            self.count(len(piece))
            size -= len(piece)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def check(self) -> None:
        """Raise NotTransferred if bytes are missing, or are not those that the ETag or the checksum stands for."""
        if self._done != self.size or self._file.read(1):
            raise NotTransferred(f"it has {self._done} bytes, not the {self.size} that were listed: it was changed")
        if self._digest is None:
            return  # a file, or an object that nothing is known of
        if isinstance(self._digest, PartsEtag):
            found, expected = self._digest.etag(), self.etag
        elif self.etag is not None and _PLAIN_ETAG.fullmatch(self.etag):
            found, expected = self._digest.digest().hex(), self.etag
        else:
            found, expected = encode_value(self._digest.digest()), self.crc64
        if found != expected:
            raise NotTransferred(f"the digest of the bytes that came is {found}, not {expected}: they were damaged")


# -- directories

#: Whoever has this file of a store has all its secrets, and whoever replaces it has destroyed the store.
CATALOG = "catalog.db"


class Directory:
    """The files below a folder. Symbolic links are neither followed nor written through.

    The folder of a store, which holds a catalog, and `reserved`, where one may be made, are neither read nor written.
    Raises NotTransferred if the folder is in, or is, one of them.
    """

    def __init__(
        self,
        root: Path,
        refused: Callable[[str, str], None],
        passed_over: Callable[[str, str], None],
        reserved: Path | None = None,
        order: Callable[[os.DirEntry[str]], bytes] | None = None,
    ) -> None:
        self._order = order or key_bytes
        self._refused = refused
        self._passed_over = passed_over
        self._root = root.resolve()
        self._reserved = None if reserved is None else reserved.resolve()
        for folder in (self._root, *self._root.parents):
            if self._is_store(folder):
                raise NotTransferred(f"{root} is in, or is, the folder of a store, {folder}: name another directory")

    def _is_store(self, folder: Path) -> bool:
        try:
            return folder == self._reserved or (folder / CATALOG).exists()
        except OSError:  # nobody gets into it, and to list it says so
            return False

    def entries(self) -> Iterator[LocationEntry]:
        return self._walk(self._root, "")

    def _walk(self, folder: Path, prefix: str) -> Iterator[LocationEntry]:
        try:
            with os.scandir(folder) as scanned:
                found = [(self._order(entry), entry) for entry in scanned]
        except FileNotFoundError:
            return
        except OSError as error:
            self._refused(prefix, str(error))
            return
        for _, entry in sorted(found, key=lambda pair: pair[0]):
            if entry.name.endswith(PARTIAL):
                continue
            key = prefix + entry.name
            if entry.is_symlink():
                self._refused(key, "a symbolic link is not followed")
            elif not _is_text(entry.name):
                self._refused(key.encode(errors="backslashreplace").decode(), "its name is not UTF-8")
            elif entry.is_dir() and self._is_store(folder / entry.name):
                self._passed_over(f"{key}/", "it is the folder of a store")
            elif entry.is_dir():
                yield from self._walk(folder / entry.name, f"{key}/")
            elif entry.is_file():
                yield LocationEntry(key, entry.stat().st_size)
            else:
                self._refused(key, "it is not a file")

    @contextlib.contextmanager
    def open(self, entry: LocationEntry) -> Iterator[VerifiedBody]:
        content_type, encoding = mimetypes.guess_type(entry.key)
        described: dict[str, Any] = {}
        if content_type is not None and encoding is None:
            described["ContentType"] = content_type
        elif encoding is not None:
            described["ContentType"] = {"gzip": "application/gzip"}.get(encoding, "application/octet-stream")
        with (self._root / entry.key).open("rb") as file:
            yield VerifiedBody(file, os.fstat(file.fileno()).st_size, described=described)

    def put(self, key: str, body: VerifiedBody) -> None:
        if key.endswith("/") and not body.size:  # by which consoles show a folder that has nothing in it
            self._path(key.removesuffix("/")).mkdir(parents=True, exist_ok=True)
            body.check()
            return
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not (path.is_file() or path.is_dir()):
            # It would be replaced: a device by a file, which then is what all others write to.
            raise NotTransferred("what has this name is no file, such as a device: nothing is written to it")
        partial = path.with_name(f".{secrets.token_hex(8)}{PARTIAL}")
        with on_error(lambda: partial.unlink(missing_ok=True)):
            with partial.open("xb") as file:
                while chunk := body.read(CHUNK):
                    file.write(chunk)
                body.check()
                file.flush()
                os.fsync(file.fileno())
            if path.is_dir():
                raise NotTransferred("there is a folder of this name: no file can have it too")
            partial.rename(path)

    def remove(self, entry: LocationEntry) -> None:
        path = self._path(entry.key)
        path.unlink(missing_ok=True)
        remove_empty(path, self._root)

    def part_size(self, entry: LocationEntry) -> int | None:
        return None

    def _path(self, key: str) -> Path:
        """The file of a key. Raises NotTransferred for a key that is none, or would lead out of the folder."""
        names = key.split("/")
        if any(name in ("", ".", "..") or "\0" in name or name.endswith(PARTIAL) for name in names):
            raise NotTransferred("no file can have this name")
        if names[-1] == CATALOG:
            raise NotTransferred("a folder with a file of this name would be seen as a store")
        path = self._root
        for name in names:
            path = path / name
            if path.is_symlink():
                raise NotTransferred(f"{path} is a symbolic link, which is not followed")
            if self._is_store(path):
                raise NotTransferred(f"{path} is the folder of a store, which nothing is written into")
        return path


def remove_empty(path: Path, root: Path) -> None:
    """Remove the folders around `path`, below `root`, that nothing is in."""
    for folder in path.parents:
        if folder == root:
            return
        try:
            folder.rmdir()
        except OSError:  # others are in it
            return


def key_bytes(entry: os.DirEntry[str]) -> bytes:
    """Folders come where the keys below them do."""
    name = os.fsencode(entry.name)
    return name + b"/" if entry.is_dir(follow_symlinks=False) else name


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


# -- buckets


class BucketLocation:
    """The objects of a bucket whose keys begin with a prefix, through a boto3 client."""

    def __init__(self, client: S3Client, bucket: str, prefix: str) -> None:
        self.client = client
        self._bucket = bucket
        self._prefix = prefix

    def _named(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _of(self, entry: LocationEntry) -> dict[str, Any]:
        """The parameters that name an object, or a version of one."""
        named = self._named(entry.key)
        return named if entry.version_id is None else {**named, "VersionId": entry.version_id}

    def entries(self) -> Iterator[LocationEntry]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        for page in pages:
            for found in page.get("Contents", ()):
                key = found["Key"].removeprefix(self._prefix)
                yield LocationEntry(key, found["Size"], found["ETag"].strip('"'))

    @contextlib.contextmanager
    def open(self, entry: LocationEntry) -> Iterator[VerifiedBody]:
        answer: Any = self.client.get_object(**self._of(entry), IfMatch=f'"{entry.etag}"', ChecksumMode="ENABLED")
        described = self._described(answer)
        crc64 = answer.get("ChecksumCRC64NVME")  # it is always of the whole object
        with contextlib.closing(answer["Body"]) as stream:
            if answer.get("TagCount"):
                described["Tagging"] = self._tags(entry, answer.get("VersionId"))
            yield VerifiedBody(
                stream,
                answer["ContentLength"],
                etag=entry.etag,
                part_size=self.part_size(entry),
                crc64=crc64,
                described=described,
            )

    def _described(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        return {name: answer[name] for name in COPIED if answer.get(name)}

    def _tags(self, entry: LocationEntry, version_id: str | None) -> str:
        """The tags of what was opened, as the parameter Tagging."""
        named = self._named(entry.key) | ({} if version_id is None else {"VersionId": version_id})
        tags = self.client.get_object_tagging(**named)["TagSet"]
        return urllib.parse.urlencode([(tag["Key"], tag["Value"]) for tag in tags])

    def part_size(self, entry: LocationEntry) -> int | None:
        if entry.etag is None or not _PARTS_ETAG.fullmatch(entry.etag):
            return None
        count = int(entry.etag.partition("-")[2])
        first, last = (
            self.client.head_object(**self._of(entry), PartNumber=number)["ContentLength"] for number in (1, count)
        )
        # Parts may be of any sizes; those of nearly all uploads are equal but for the last.
        return first if first and first * (count - 1) + last == entry.size else None

    def checksums(self, entry: LocationEntry) -> dict[str, str]:
        """The checksums that are of the whole object, by the names of their parameters."""
        answer: Any = self.client.head_object(**self._of(entry), ChecksumMode="ENABLED")
        if answer.get("ChecksumType", "FULL_OBJECT") != "FULL_OBJECT":
            return {}
        return {name: answer[name] for name in _CHECKSUMS if name in answer}

    def copy(self, key: str, source: BucketLocation, entry: LocationEntry) -> None:
        """Have the endpoint copy an object as it was listed, with its metadata and tags."""
        named: Any = source._of(entry)
        self.client.copy_object(**self._named(key), CopySource=named, CopySourceIfMatch=f'"{entry.etag}"')

    def put(self, key: str, body: VerifiedBody) -> None:
        part_size = body.part_size or PART
        if not _MIN_PART <= part_size <= MAX_PART or -(-body.size // part_size) > _MAX_PARTS:
            part_size = max(PART, -(-body.size // _MAX_PARTS))
        if body.part_size is None and body.size <= part_size:
            data = body.read(body.size)
            body.check()
            self.client.put_object(**self._named(key), Body=data, ContentMD5=_md5(data), **body.described)
            return
        upload = self._named(key)
        upload["UploadId"] = self.client.create_multipart_upload(**upload, **body.described)["UploadId"]
        try:
            parts: list[Any] = []
            while (data := body.read(part_size)) or not parts:
                number = len(parts) + 1
                done = self.client.upload_part(**upload, PartNumber=number, Body=data, ContentMD5=_md5(data))
                parts.append({"PartNumber": number, "ETag": done["ETag"]})
            body.check()
            self.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        except BaseException:
            self._abort(upload)
            raise

    def _abort(self, upload: Mapping[str, Any]) -> None:
        """What is raised for another reason is not hidden by an upload that is completed, or an endpoint that is out of
        reach."""
        from botocore.exceptions import BotoCoreError, ClientError  # an extra, which the client came with

        with contextlib.suppress(BotoCoreError, ClientError):
            self.client.abort_multipart_upload(**upload)

    def remove(self, entry: LocationEntry) -> None:
        named: Any = self._of(entry)
        if entry.version_id is None and entry.etag is not None:
            named["IfMatch"] = f'"{entry.etag}"'
        try:
            self.client.delete_object(**named)
        except self.client.exceptions.ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == 412:
                raise NotTransferred("it was overwritten meanwhile, and what is there now stays") from error
            if status != 404 or error.response["Error"]["Code"] != "NoSuchKey":
                raise


class VersionedBucket(BucketLocation):
    """The versions of a bucket, with their storage classes. `locks` says whether retentions that are not over yet, and
    legal holds, go along. No lock is ever bypassed, or changed."""

    def __init__(self, client: S3Client, bucket: str, prefix: str, *, locks: bool = False) -> None:
        super().__init__(client, bucket, prefix)
        self._copied = (*COPIED, "StorageClass", *(LOCKS if locks else ()))

    def histories(self) -> Iterator[History]:
        entries = itertools.starmap(self._entry, versions_in_order(self.client, self._bucket, self._prefix))
        for key, versions in itertools.groupby(entries, operator.attrgetter("key")):
            yield History(key, tuple(reversed(list(versions))))

    def _entry(self, found: Mapping[str, Any], is_delete_marker: bool) -> LocationEntry:
        key, etag = found["Key"].removeprefix(self._prefix), found.get("ETag", "").strip('"') or None
        return LocationEntry(key, found.get("Size", 0), etag, found["VersionId"], is_delete_marker)

    def put_delete_marker(self, key: str) -> None:
        self.client.delete_object(**self._named(key))

    def _described(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        return without_past_retention({name: answer[name] for name in self._copied if answer.get(name)})


def versions_in_order(client: S3Client, bucket: str, prefix: str) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """What ListObjectVersions says of each version, and whether it is a delete marker: the latest of a key first."""
    client.meta.events.register("after-call.s3.ListObjectVersions", _note_order, unique_id="bleepstore-order")
    pages: Any = client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
    for page in pages:
        versions, markers = iter(page.get("Versions", ())), iter(page.get("DeleteMarkers", ()))
        for is_delete_marker in page["Order"]:
            yield next(markers if is_delete_marker else versions), is_delete_marker


def _note_order(http_response: AWSResponse, parsed: dict[str, Any], **_event: object) -> None:
    """Versions and delete markers are in one order in the document, which botocore makes two lists of: note which of
    them are delete markers."""
    if http_response.status_code == 200:
        names = (element.tag.rpartition("}")[2] for element in fromstring(http_response.content))
        parsed["Order"] = [name == "DeleteMarker" for name in names if name in ("Version", "DeleteMarker")]


def without_past_retention(described: dict[str, Any]) -> dict[str, Any]:
    """S3 refuses to write a version with a retention that is over."""
    until = described.get("ObjectLockRetainUntilDate")
    if until is not None and until <= dt.datetime.now(dt.UTC):
        del described["ObjectLockRetainUntilDate"], described["ObjectLockMode"]
    return described


def _md5(data: bytes) -> str:
    return encode_value(hashlib.md5(data, usedforsecurity=False).digest())


def is_equal(
    source: Location,
    one: LocationEntry,
    target: Location,
    other: LocationEntry,
    count: Callable[[int], None] = lambda _: None,
) -> bool:
    """Whether two locations have the same bytes: by size, then by ETag or by a checksum of the whole object.

    Where those say nothing, as for files, the bytes are read, and `count` is called as that of a VerifiedBody is: what
    it raises ends this.
    """
    if one.size != other.size:
        return False
    if one.etag is not None and one.etag == other.etag:
        return True
    if isinstance(source, BucketLocation) and isinstance(target, BucketLocation):
        mine, theirs = source.checksums(one), target.checksums(other)
        common = mine.keys() & theirs.keys()
        if common:
            return all(mine[name] == theirs[name] for name in common)
    for told, teller, unread, reader in ((other, target, one, source), (one, source, other, target)):
        part_size = teller.part_size(told)
        if part_size is not None or (told.etag is not None and _PLAIN_ETAG.fullmatch(told.etag)):
            return _read_etag(reader, unread, part_size, count) == told.etag
    return _read_etag(source, one, None, count) == _read_etag(target, other, None, count)


def _read_etag(location: Location, entry: LocationEntry, part_size: int | None, count: Callable[[int], None]) -> str:
    """The ETag that the bytes of an object have in parts of a size, or in one piece."""
    parts = PartsEtag(itertools.repeat(part_size)) if part_size else None
    md5 = hashlib.md5(usedforsecurity=False)
    with location.open(entry) as body:
        body.count = count
        while chunk := body.read(CHUNK):
            (parts or md5).update(chunk)
    return md5.hexdigest() if parts is None else parts.etag()
